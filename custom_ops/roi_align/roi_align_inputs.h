// What the kernels of RoIAlign and of its gradient share: settings, the checks of the inputs, the taps of an RoI.
#ifndef CASCADE_TF_ROI_ALIGN_ROI_ALIGN_INPUTS_H_
#define CASCADE_TF_ROI_ALIGN_ROI_ALIGN_INPUTS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "roi_align.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace cascade_tf {

struct RoiAlignSettings {
  std::vector<float> strides;
  int output_height;
  int output_width;
  int sampling_ratio;
  bool aligned;
};

inline void ReadSettings(tensorflow::OpKernelConstruction* context, RoiAlignSettings* settings) {
  int num_levels;
  OP_REQUIRES_OK(context, context->GetAttr("num_levels", &num_levels));
  OP_REQUIRES_OK(context, context->GetAttr("strides", &settings->strides));
  OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &settings->sampling_ratio));
  OP_REQUIRES_OK(context, context->GetAttr("aligned", &settings->aligned));
  OP_REQUIRES(context, static_cast<int>(settings->strides.size()) == num_levels,
              absl::InvalidArgumentError(absl::StrCat("roi_align: ", num_levels, " levels need as many strides, got ",
                                                      settings->strides.size())));
  OP_REQUIRES(context, settings->sampling_ratio <= kMaxRatio,
              absl::InvalidArgumentError(absl::StrCat("roi_align: sampling_ratio must be at most ", kMaxRatio, ", got ",
                                                      settings->sampling_ratio)));
  for (const float stride : settings->strides) {
    OP_REQUIRES(context, stride > 0.0f && std::isfinite(stride),
                absl::InvalidArgumentError(absl::StrCat("roi_align: strides must be positive, got ", stride)));
  }
}

inline void CheckRois(tensorflow::OpKernelContext* context, const tensorflow::Tensor& boxes,
                      const tensorflow::Tensor& levels) {
  OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(2) == 4,
              absl::InvalidArgumentError(
                  absl::StrCat("roi_align: boxes must be [B, R, 4], got ", boxes.shape().DebugString())));
  OP_REQUIRES(
      context,
      levels.dims() == 2 && levels.dim_size(0) == boxes.dim_size(0) && levels.dim_size(1) == boxes.dim_size(1),
      absl::InvalidArgumentError(absl::StrCat("roi_align: levels must be [B, R] as boxes ",
                                              boxes.shape().DebugString(), ", got ", levels.shape().DebugString())));
}

// Checks one feature map's shape, given as it is or as the gradient op's input.
inline void CheckFeature(tensorflow::OpKernelContext* context, const tensorflow::TensorShape& shape, int64_t batch,
                         int64_t channels) {
  OP_REQUIRES(
      context,
      shape.dims() == 4 && shape.dim_size(0) == batch && shape.dim_size(3) == channels && shape.dim_size(1) > 0 &&
          shape.dim_size(2) > 0 && shape.dim_size(1) < kMaxCells && shape.dim_size(2) < kMaxCells,
      absl::InvalidArgumentError(absl::StrCat("roi_align: features must be [", batch, ", h, w, ", channels,
                                              "] with h, w >= 1, got ", shape.DebugString())));
}

inline void CheckMapSizes(tensorflow::OpKernelContext* context, const tensorflow::Tensor& sizes, int64_t batch,
                          int num_levels) {
  OP_REQUIRES(context,
              sizes.NumElements() == 0 || (sizes.dims() == 3 && sizes.dim_size(0) == batch &&
                                           sizes.dim_size(1) == num_levels && sizes.dim_size(2) == 2),
              absl::InvalidArgumentError(absl::StrCat("roi_align: map_sizes must be empty or [", batch, ", ",
                                                      num_levels, ", 2], got ", sizes.shape().DebugString())));
}

// Cells of a map.
struct MapSize {
  int height;
  int width;
};

// What an image has of the map of a level.
inline MapSize SizeOfImage(const tensorflow::Tensor& sizes, int64_t image, int level, MapSize map) {
  if (sizes.NumElements() == 0) return map;
  const int* own = sizes.flat<int>().data() + 2 * (image * sizes.dim_size(1) + level);
  return {std::min(std::max(own[0], 1), map.height), std::min(std::max(own[1], 1), map.width)};
}

inline int ClampLevel(int level, size_t num_levels) {
  return std::min(std::max(level, 0), static_cast<int>(num_levels) - 1);
}

// The taps of a box on a map of that size; returns false if the box is not usable.
inline bool MakeRoiTaps(const RoiAlignSettings& settings, const float* box, float stride, MapSize map, AxisTaps* rows,
                        AxisTaps* columns) {
  const float shift = settings.aligned ? 0.5f : 0.0f;
  float cells[4];
  for (int i = 0; i < 4; ++i) {
    cells[i] = box[i] / stride - shift;
    if (!IsUsable(cells[i])) return false;
  }
  const int ratio = settings.sampling_ratio;
  MakeTaps(MakeExtent(cells[1], cells[3], settings.output_height, ratio, settings.aligned), settings.output_height,
           map.height, rows);
  MakeTaps(MakeExtent(cells[0], cells[2], settings.output_width, ratio, settings.aligned), settings.output_width,
           map.width, columns);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_ALIGN_ROI_ALIGN_INPUTS_H_
