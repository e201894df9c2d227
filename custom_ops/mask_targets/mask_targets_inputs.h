// Checks of the inputs that the kernels for CPU and GPU share.
#ifndef CASCADE_TF_MASK_TARGETS_MASK_TARGETS_INPUTS_H_
#define CASCADE_TF_MASK_TARGETS_MASK_TARGETS_INPUTS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "mask_targets.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace cascade_tf {

// The attribute, checked; 0 where the context's status says that it is wrong.
inline int ReadOutputSize(tensorflow::OpKernelConstruction* context) {
  constexpr int kMaxOutput = 1024;
  int size = 0;
  const absl::Status status = context->GetAttr("output_size", &size);
  if (!status.ok() || size < 1 || size > kMaxOutput) {
    context->CtxFailure(status.ok() ? absl::InvalidArgumentError(absl::StrCat(
                                          "crop_masks: output_size must be in 1..", kMaxOutput, ", got ", size))
                                    : status);
    return 0;
  }
  return size;
}

inline void CheckMaskShapes(tensorflow::OpKernelContext* context) {
  const tensorflow::Tensor &masks = context->input(0), &image_size = context->input(1), &boxes = context->input(2),
               &object_index = context->input(3), &valid = context->input(4);
  OP_REQUIRES(context, masks.dims() == 4,
              absl::InvalidArgumentError(absl::StrCat("crop_masks: masks must be [B, G, H, W / 8], got ",
                                                      masks.shape().DebugString())));
  const int64_t batch = masks.dim_size(0);
  OP_REQUIRES(context, image_size.dims() == 2 && image_size.dim_size(0) == batch && image_size.dim_size(1) == 2,
              absl::InvalidArgumentError(absl::StrCat("crop_masks: image_size must be [", batch, ", 2], got ",
                                                      image_size.shape().DebugString())));
  OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(0) == batch && boxes.dim_size(2) == 4,
              absl::InvalidArgumentError(absl::StrCat("crop_masks: boxes must be [", batch, ", S, 4], got ",
                                                      boxes.shape().DebugString())));
  for (const tensorflow::Tensor* tensor : {&object_index, &valid}) {
    OP_REQUIRES(context,
                tensor->dims() == 2 && tensor->dim_size(0) == batch && tensor->dim_size(1) == boxes.dim_size(1),
                absl::InvalidArgumentError(absl::StrCat("crop_masks: object_index and valid must be [B, S] as boxes ",
                                                        boxes.shape().DebugString(), ", got ",
                                                        tensor->shape().DebugString())));
  }
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_MASK_TARGETS_MASK_TARGETS_INPUTS_H_
