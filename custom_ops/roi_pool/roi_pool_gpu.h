// RoIPool on a GPU: what the launchers take. See roi_pool.h for the arguments of the op.
#ifndef CASCADE_TF_ROI_POOL_ROI_POOL_GPU_H_
#define CASCADE_TF_ROI_POOL_ROI_POOL_GPU_H_

#include <cstdint>

extern "C" {

// A pooling of one map, by this op or by position (ps_roi_pool_gpu.h). Pointers lead to memory of the device.
struct CascadeTfMapPooling {
  const float* boxes;    // [B, R, 4]
  const void* features;  // [B, h, w, C]; the gradient by position needs none
  int64_t batch;
  int64_t rois;  // of an image
  int64_t channels;
  int height;
  int width;
  int output_height;
  int output_width;
  float stride;
  float pad_ratio;  // 0 by position
  int inclusive_boxes;
  int element_type;  // see packs.h
};

int cascade_tf_roi_pool(const CascadeTfMapPooling* call, void* output, void* stream);

// Every cell sums its own terms in the order of the RoIs: no two runs differ.
int64_t cascade_tf_roi_pool_grad_workspace(const CascadeTfMapPooling* call);
int cascade_tf_roi_pool_grad(const CascadeTfMapPooling* call, const void* upstream, void* gradient, void* workspace,
                             void* stream);

}  // extern "C"

#endif  // CASCADE_TF_ROI_POOL_ROI_POOL_GPU_H_
