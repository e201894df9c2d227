// Checks of the inputs that the kernels for CPU and GPU share.
#ifndef CASCADE_TF_PASTE_MASKS_PASTE_MASKS_INPUTS_H_
#define CASCADE_TF_PASTE_MASKS_PASTE_MASKS_INPUTS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "paste_masks.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace cascade_tf {

inline void ReadThreshold(tensorflow::OpKernelConstruction* context, float* threshold) {
  OP_REQUIRES_OK(context, context->GetAttr("threshold", threshold));
  OP_REQUIRES(context, *threshold > 0.0f && *threshold <= 1.0f,
              absl::InvalidArgumentError(
                  absl::StrCat("paste_masks: threshold must be above 0 and at most 1, got ", *threshold)));
}

// Checks the inputs; gives the size of the image, which is in memory of the host.
inline void CheckPasteInputs(tensorflow::OpKernelContext* context, int* height, int* width) {
  // Float32 counts pixels exactly up to here.
  constexpr int kMaxSize = 1 << 24;
  const tensorflow::Tensor &masks = context->input(0), &boxes = context->input(1), &image_size = context->input(2);
  OP_REQUIRES(context, masks.dims() == 3 && masks.dim_size(1) > 0 && masks.dim_size(2) > 0 &&
                           masks.dim_size(1) < kMaxSize && masks.dim_size(2) < kMaxSize,
              absl::InvalidArgumentError(absl::StrCat("paste_masks: masks must be [N, P, Q] with P, Q >= 1, got ",
                                                      masks.shape().DebugString())));
  OP_REQUIRES(context, boxes.dims() == 2 && boxes.dim_size(1) == 4 && boxes.dim_size(0) == masks.dim_size(0),
              absl::InvalidArgumentError(absl::StrCat("paste_masks: boxes must be [", masks.dim_size(0),
                                                      ", 4] for masks ", masks.shape().DebugString(), ", got ",
                                                      boxes.shape().DebugString())));
  OP_REQUIRES(context, image_size.dims() == 1 && image_size.NumElements() == 2,
              absl::InvalidArgumentError(absl::StrCat("paste_masks: image_size must be (height, width), got shape ",
                                                      image_size.shape().DebugString())));
  const int h = image_size.vec<int>()(0), w = image_size.vec<int>()(1);
  OP_REQUIRES(context, h >= 0 && w >= 0 && h < kMaxSize && w < kMaxSize,
              absl::InvalidArgumentError(
                  absl::StrCat("paste_masks: image_size must be in 0..", kMaxSize - 1, ", got ", h, " x ", w)));
  *height = h;
  *width = w;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PASTE_MASKS_PASTE_MASKS_INPUTS_H_
