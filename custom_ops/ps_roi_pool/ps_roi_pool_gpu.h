// Position-sensitive pooling on a GPU: what the launchers take. See ps_roi_pool.h for the arguments of the op.
#ifndef CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_GPU_H_
#define CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_GPU_H_

#include "../roi_pool/roi_pool_gpu.h"

extern "C" {

int cascade_tf_ps_roi_pool(const CascadeTfMapPooling* call, void* output, void* stream);

// Every cell sums its own terms in the order of the RoIs: no two runs differ.
int64_t cascade_tf_ps_roi_pool_grad_workspace(const CascadeTfMapPooling* call);
int cascade_tf_ps_roi_pool_grad(const CascadeTfMapPooling* call, const void* upstream, void* gradient, void* workspace,
                                void* stream);

}  // extern "C"

#endif  // CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_GPU_H_
