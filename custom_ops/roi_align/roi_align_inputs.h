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
          shape.dim_size(2) > 0 && channels > 0 && shape.dim_size(1) < kMaxCells && shape.dim_size(2) < kMaxCells,
      absl::InvalidArgumentError(absl::StrCat("roi_align: features must be [", batch, ", h, w, ", channels,
                                              "] with h, w, C >= 1, got ", shape.DebugString())));
}

inline void CheckMapSizes(tensorflow::OpKernelContext* context, const tensorflow::Tensor& sizes, int64_t batch,
                          int num_levels) {
  OP_REQUIRES(context,
              sizes.NumElements() == 0 || (sizes.dims() == 3 && sizes.dim_size(0) == batch &&
                                           sizes.dim_size(1) == num_levels && sizes.dim_size(2) == 2),
              absl::InvalidArgumentError(absl::StrCat("roi_align: map_sizes must be empty or [", batch, ", ",
                                                      num_levels, ", 2], got ", sizes.shape().DebugString())));
}

// The inputs of the op; checked, as are those of its gradient, unless the context's status says otherwise.
struct RoiAlignInputs {
  tensorflow::OpInputList features;
  const tensorflow::Tensor *boxes, *levels, *map_sizes;
};

inline void ReadInputs(tensorflow::OpKernelContext* context, RoiAlignInputs* inputs) {
  OP_REQUIRES_OK(context, context->input_list("features", &inputs->features));
  OP_REQUIRES_OK(context, context->input("boxes", &inputs->boxes));
  OP_REQUIRES_OK(context, context->input("levels", &inputs->levels));
  OP_REQUIRES_OK(context, context->input("map_sizes", &inputs->map_sizes));
  CheckRois(context, *inputs->boxes, *inputs->levels);
  if (!context->status().ok()) return;
  CheckMapSizes(context, *inputs->map_sizes, inputs->boxes->dim_size(0), inputs->features.size());
  if (!context->status().ok()) return;
  const tensorflow::TensorShape& first = inputs->features[0].shape();
  OP_REQUIRES(context, first.dims() == 4,
              absl::InvalidArgumentError(
                  absl::StrCat("roi_align: features must be [B, h, w, C], got ", first.DebugString())));
  for (const tensorflow::Tensor& feature : inputs->features) {
    CheckFeature(context, feature.shape(), inputs->boxes->dim_size(0), first.dim_size(3));
    if (!context->status().ok()) return;
  }
}

struct RoiAlignGradInputs {
  const tensorflow::Tensor *upstream, *boxes, *levels, *map_sizes;
  std::vector<tensorflow::TensorShape> shapes;  // of the features
  tensorflow::OpInputList others;               // none, or as many
};

inline void ReadInputs(tensorflow::OpKernelContext* context, RoiAlignGradInputs* inputs) {
  tensorflow::OpInputList shapes;
  OP_REQUIRES_OK(context, context->input("upstream", &inputs->upstream));
  OP_REQUIRES_OK(context, context->input("boxes", &inputs->boxes));
  OP_REQUIRES_OK(context, context->input("levels", &inputs->levels));
  OP_REQUIRES_OK(context, context->input("map_sizes", &inputs->map_sizes));
  OP_REQUIRES_OK(context, context->input_list("feature_shapes", &shapes));
  OP_REQUIRES_OK(context, context->input_list("others", &inputs->others));
  OP_REQUIRES(context, inputs->others.size() == 0 || inputs->others.size() == shapes.size(),
              absl::InvalidArgumentError(absl::StrCat("roi_align: got ", inputs->others.size(),
                                                      " other gradients, expected none or ", shapes.size())));
  CheckRois(context, *inputs->boxes, *inputs->levels);
  if (!context->status().ok()) return;
  const int64_t batch = inputs->boxes->dim_size(0), num_rois = inputs->boxes->dim_size(1);
  CheckMapSizes(context, *inputs->map_sizes, batch, shapes.size());
  if (!context->status().ok()) return;
  const tensorflow::TensorShape& upstream = inputs->upstream->shape();
  OP_REQUIRES(context, upstream.dims() == 5 && upstream.dim_size(0) == batch && upstream.dim_size(1) == num_rois,
              absl::InvalidArgumentError(absl::StrCat("roi_align: upstream must be [", batch, ", ", num_rois,
                                                      ", height, width, C], got ", upstream.DebugString())));
  inputs->shapes.resize(shapes.size());
  for (int i = 0; i < shapes.size(); ++i) {
    OP_REQUIRES(context, shapes[i].dims() == 1,
                absl::InvalidArgumentError(
                    absl::StrCat("roi_align: feature_shapes must be vectors, got ", shapes[i].shape().DebugString())));
    OP_REQUIRES_OK(context, tensorflow::TensorShapeUtils::MakeShape(shapes[i].vec<int>(), &inputs->shapes[i]));
    CheckFeature(context, inputs->shapes[i], batch, upstream.dim_size(4));
    if (!context->status().ok()) return;
    OP_REQUIRES(context, inputs->others.size() == 0 || inputs->others[i].shape() == inputs->shapes[i],
                absl::InvalidArgumentError(absl::StrCat("roi_align: got another gradient of shape ",
                                                        inputs->others[i].shape().DebugString(), ", expected ",
                                                        inputs->shapes[i].DebugString())));
  }
}

// The gradient of a level, in the memory of the other one where nothing else reads that.
inline absl::Status AllocateGradient(tensorflow::OpKernelContext* context, const RoiAlignGradInputs& inputs, int level,
                                     tensorflow::Tensor** gradient) {
  if (inputs.others.size() == 0) return context->allocate_output(level, inputs.shapes[level], gradient);
  const int input = context->num_inputs() - inputs.others.size() + level;
  return context->forward_input_or_allocate_output({input}, level, inputs.shapes[level], gradient);
}

// What an image has of the map of a level.
inline MapSize SizeOfImage(const tensorflow::Tensor& sizes, int64_t image, int level, MapSize map) {
  if (sizes.NumElements() == 0) return map;
  return SizeOfImage(sizes.flat<int>().data() + 2 * (image * sizes.dim_size(1) + level), map);
}

// The taps of a box on a map of that size; returns false if the box is not usable.
inline bool MakeRoiTaps(const RoiAlignSettings& settings, const float* box, float stride, MapSize map, AxisTaps* rows,
                        AxisTaps* columns) {
  float cells[4];
  if (!MakeCells(box, stride, settings.aligned, cells)) return false;
  const int ratio = settings.sampling_ratio;
  MakeTaps(MakeExtent(cells[1], cells[3], settings.output_height, ratio, settings.aligned), settings.output_height,
           map.height, rows);
  MakeTaps(MakeExtent(cells[0], cells[2], settings.output_width, ratio, settings.aligned), settings.output_width,
           map.width, columns);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_ALIGN_ROI_ALIGN_INPUTS_H_
