// What the kernels of RoIPool and of its gradient share: settings, the checks of the inputs.
#ifndef CASCADE_TF_ROI_POOL_ROI_POOL_INPUTS_H_
#define CASCADE_TF_ROI_POOL_ROI_POOL_INPUTS_H_

#include <limits>

#include "../common/roi_inputs.h"
#include "roi_pool.h"

namespace cascade_tf {

inline void ReadSettings(tensorflow::OpKernelConstruction* context, RoiPoolSettings* settings) {
  OP_REQUIRES_OK(context, context->GetAttr("stride", &settings->stride));
  OP_REQUIRES_OK(context, context->GetAttr("pad_ratio", &settings->pad_ratio));
  OP_REQUIRES_OK(context, context->GetAttr("inclusive_boxes", &settings->inclusive_boxes));
  OP_REQUIRES_OK(context, CheckStride("roi_pool", settings->stride));
  OP_REQUIRES_OK(context, CheckPadRatio("roi_pool", settings->pad_ratio));
}

// Checks the inputs of the gradient op.
inline void CheckRoiPoolGradInputs(tensorflow::OpKernelContext* context) {
  const tensorflow::Tensor &upstream = context->input(0), &features = context->input(1), &boxes = context->input(2);
  OP_REQUIRES_OK(context, CheckBoxes("roi_pool", boxes));
  const int64_t batch = boxes.dim_size(0);
  OP_REQUIRES_OK(context, CheckMap("roi_pool", features.shape(), batch));
  OP_REQUIRES(context, features.dim_size(1) * features.dim_size(2) <= std::numeric_limits<int32_t>::max(),
              absl::InvalidArgumentError(absl::StrCat("roi_pool: features must have at most 2^31 cells, got ",
                                                      features.shape().DebugString())));
  OP_REQUIRES_OK(context, CheckUpstream("roi_pool", upstream, batch, boxes.dim_size(1)));
  OP_REQUIRES(context, upstream.dim_size(4) == features.dim_size(3),
              absl::InvalidArgumentError(absl::StrCat("roi_pool: upstream ", upstream.shape().DebugString(),
                                                      " must have as many channels as features ",
                                                      features.shape().DebugString())));
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_POOL_ROI_POOL_INPUTS_H_
