// What the kernels of position-sensitive pooling and of its gradient share: settings, the checks of the inputs.
#ifndef CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_INPUTS_H_
#define CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_INPUTS_H_

#include "../common/roi_inputs.h"
#include "ps_roi_pool.h"
#include "tensorflow/core/util/overflow.h"

namespace cascade_tf {

inline void ReadSettings(tensorflow::OpKernelConstruction* context, PsRoiPoolSettings* settings) {
  OP_REQUIRES_OK(context, context->GetAttr("stride", &settings->stride));
  OP_REQUIRES_OK(context, context->GetAttr("inclusive_boxes", &settings->inclusive_boxes));
  OP_REQUIRES_OK(context, CheckStride("ps_roi_pool", settings->stride));
}

// Checks the inputs of the op, which makes so many bins.
inline void CheckPsRoiPoolInputs(tensorflow::OpKernelContext* context, int64_t bins) {
  const tensorflow::Tensor &features = context->input(0), &boxes = context->input(1);
  OP_REQUIRES_OK(context, CheckBoxes("ps_roi_pool", boxes));
  OP_REQUIRES_OK(context, CheckMap("ps_roi_pool", features.shape(), boxes.dim_size(0)));
  OP_REQUIRES(context, features.dim_size(3) % bins == 0,
              absl::InvalidArgumentError(absl::StrCat("ps_roi_pool: channels must be a multiple of ", bins, ", got ",
                                                      features.dim_size(3))));
}

// Checks the inputs of the gradient op; gives the shape of the features.
inline void CheckPsRoiPoolGradInputs(tensorflow::OpKernelContext* context, tensorflow::TensorShape* shape) {
  const tensorflow::Tensor &upstream = context->input(0), &boxes = context->input(1), &sizes = context->input(2);
  OP_REQUIRES_OK(context, CheckBoxes("ps_roi_pool", boxes));
  OP_REQUIRES(context, sizes.dims() == 1,
              absl::InvalidArgumentError(absl::StrCat("ps_roi_pool: features_shape must be a vector, got ",
                                                      sizes.shape().DebugString())));
  OP_REQUIRES_OK(context, tensorflow::TensorShapeUtils::MakeShape(sizes.vec<int>(), shape));
  const int64_t batch = boxes.dim_size(0);
  OP_REQUIRES_OK(context, CheckMap("ps_roi_pool", *shape, batch));
  OP_REQUIRES_OK(context, CheckUpstream("ps_roi_pool", upstream, batch, boxes.dim_size(1)));
  const int64_t bins = tensorflow::MultiplyWithoutOverflow(upstream.dim_size(2), upstream.dim_size(3));
  OP_REQUIRES(context, tensorflow::MultiplyWithoutOverflow(bins, upstream.dim_size(4)) == shape->dim_size(3),
              absl::InvalidArgumentError(absl::StrCat("ps_roi_pool: features must have as many channels as upstream ",
                                                      upstream.shape().DebugString(), " has bins and classes, got ",
                                                      shape->DebugString())));
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_INPUTS_H_
