// What the kernels of the grid RoIAlign and of its gradient share: settings and the checks of the inputs.
#ifndef CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_INPUTS_H_
#define CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_INPUTS_H_

#include "grid_roi_align.h"

namespace cascade_tf {

inline void ReadGridSettings(tensorflow::OpKernelConstruction* context, GridRoiAlignSettings* settings) {
  int num_levels;
  OP_REQUIRES_OK(context, context->GetAttr("num_levels", &num_levels));
  OP_REQUIRES_OK(context, context->GetAttr("strides", &settings->strides));
  OP_REQUIRES_OK(context, context->GetAttr("pad_ratio", &settings->pad_ratio));
  OP_REQUIRES_OK(context, context->GetAttr("inclusive_boxes", &settings->inclusive_boxes));
  OP_REQUIRES_OK(context, context->GetAttr("average", &settings->average));
  OP_REQUIRES(context, static_cast<int>(settings->strides.size()) == num_levels,
              absl::InvalidArgumentError(absl::StrCat("grid_roi_align: ", num_levels,
                                                      " levels need as many strides, got ", settings->strides.size())));
  for (const float stride : settings->strides) OP_REQUIRES_OK(context, CheckStride("grid_roi_align", stride));
  OP_REQUIRES_OK(context, CheckPadRatio("grid_roi_align", settings->pad_ratio));
}

inline absl::Status CheckGridRois(const tensorflow::Tensor& boxes, const tensorflow::Tensor& levels) {
  const absl::Status status = CheckBoxes("grid_roi_align", boxes);
  if (!status.ok()) return status;
  if (levels.dims() == 2 && levels.dim_size(0) == boxes.dim_size(0) && levels.dim_size(1) == boxes.dim_size(1)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("grid_roi_align: levels must be [B, R] as boxes ",
                                                 boxes.shape().DebugString(), ", got ", levels.shape().DebugString()));
}

inline absl::Status CheckGridMap(const tensorflow::TensorShape& shape, int64_t batch, int64_t channels) {
  const absl::Status status = CheckMap("grid_roi_align", shape, batch);
  if (!status.ok() || shape.dim_size(3) == channels) return status;
  return absl::InvalidArgumentError(absl::StrCat("grid_roi_align: features must be [", batch, ", h, w, ", channels,
                                                 "] with h, w, C >= 1, got ", shape.DebugString()));
}

inline int NearestLevel(int level, size_t num_levels) {
  return std::min(std::max(level, 0), static_cast<int>(num_levels) - 1);
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_INPUTS_H_
