// Checks that the kernels share which pool boxes from feature maps; `op` is the name that errors begin with.
#ifndef CASCADE_TF_COMMON_ROI_INPUTS_H_
#define CASCADE_TF_COMMON_ROI_INPUTS_H_

#include <cmath>

#include "../roi_align/roi_align.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "pixel_corners.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace cascade_tf {

inline absl::Status CheckStride(const char* op, float stride) {
  if (stride > 0.0f && std::isfinite(stride)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": stride must be positive, got ", stride));
}

inline absl::Status CheckPadRatio(const char* op, float pad_ratio) {
  if (pad_ratio >= 0.0f && std::isfinite(pad_ratio)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(op, ": pad_ratio must be at least 0, got ", pad_ratio));
}

inline absl::Status CheckBoxes(const char* op, const tensorflow::Tensor& boxes) {
  if (boxes.dims() == 3 && boxes.dim_size(2) == 4) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(op, ": boxes must be [B, R, 4], got ", boxes.shape().DebugString()));
}

// A feature map's shape, given as it is or as the gradient op's input.
inline absl::Status CheckMap(const char* op, const tensorflow::TensorShape& shape, int64_t batch) {
  if (shape.dims() == 4 && shape.dim_size(0) == batch && shape.dim_size(1) > 0 && shape.dim_size(2) > 0 &&
      shape.dim_size(3) > 0 && shape.dim_size(1) < kMaxCells && shape.dim_size(2) < kMaxCells) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(op, ": features must be [", batch,
                                                 ", h, w, C] with h, w, C >= 1, got ", shape.DebugString()));
}

// Looks at the sizes one by one: a shape of them, made to compare with, could have more elements than can be counted.
inline absl::Status CheckUpstream(const char* op, const tensorflow::Tensor& upstream, int64_t batch,
                                  int64_t num_rois) {
  if (upstream.dims() == 5 && upstream.dim_size(0) == batch && upstream.dim_size(1) == num_rois) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(op, ": upstream must be [", batch, ", ", num_rois,
                                                 ", height, width, channels], got ", upstream.shape().DebugString()));
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_ROI_INPUTS_H_
