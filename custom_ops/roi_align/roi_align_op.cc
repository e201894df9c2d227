// Interface of RoIAlign and of its gradient: attributes, shapes. See roi_align.h for the arguments.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

#define CASCADE_TF_RETURN_IF_ERROR(expression)  \
  do {                                          \
    const absl::Status status = (expression);   \
    if (!status.ok()) return status;            \
  } while (false)

// Checks boxes and levels at the two given inputs and merges their leading dimensions.
absl::Status RoiDimensions(InferenceContext* c, int boxes_input, DimensionHandle* batch, DimensionHandle* rois) {
  ShapeHandle boxes, levels;
  DimensionHandle unused;
  CASCADE_TF_RETURN_IF_ERROR(c->WithRank(c->input(boxes_input), 3, &boxes));
  CASCADE_TF_RETURN_IF_ERROR(c->WithRank(c->input(boxes_input + 1), 2, &levels));
  CASCADE_TF_RETURN_IF_ERROR(c->WithValue(c->Dim(boxes, 2), 4, &unused));
  CASCADE_TF_RETURN_IF_ERROR(c->Merge(c->Dim(boxes, 0), c->Dim(levels, 0), batch));
  return c->Merge(c->Dim(boxes, 1), c->Dim(levels, 1), rois);
}

absl::Status ForwardShape(InferenceContext* c) {
  int num_levels, height, width;
  CASCADE_TF_RETURN_IF_ERROR(c->GetAttr("num_levels", &num_levels));
  CASCADE_TF_RETURN_IF_ERROR(c->GetAttr("output_height", &height));
  CASCADE_TF_RETURN_IF_ERROR(c->GetAttr("output_width", &width));
  DimensionHandle batch, rois, channels = c->UnknownDim();
  CASCADE_TF_RETURN_IF_ERROR(RoiDimensions(c, num_levels, &batch, &rois));
  for (int level = 0; level < num_levels; ++level) {
    ShapeHandle feature;
    CASCADE_TF_RETURN_IF_ERROR(c->WithRank(c->input(level), 4, &feature));
    CASCADE_TF_RETURN_IF_ERROR(c->Merge(batch, c->Dim(feature, 0), &batch));
    CASCADE_TF_RETURN_IF_ERROR(c->Merge(channels, c->Dim(feature, 3), &channels));
  }
  c->set_output(0, c->MakeShape({batch, rois, c->MakeDim(height), c->MakeDim(width), channels}));
  return absl::OkStatus();
}

absl::Status GradientShape(InferenceContext* c) {
  int num_levels, num_others;
  CASCADE_TF_RETURN_IF_ERROR(c->GetAttr("num_levels", &num_levels));
  CASCADE_TF_RETURN_IF_ERROR(c->GetAttr("num_others", &num_others));
  if (num_others != 0 && num_others != num_levels) {
    return absl::InvalidArgumentError(
        absl::StrCat("roi_align: got ", num_others, " other gradients, expected none or ", num_levels));
  }
  ShapeHandle upstream;
  CASCADE_TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 5, &upstream));
  DimensionHandle batch, rois;
  CASCADE_TF_RETURN_IF_ERROR(RoiDimensions(c, 1, &batch, &rois));
  for (int level = 0; level < num_levels; ++level) {
    ShapeHandle feature;
    CASCADE_TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(4 + level, &feature));
    CASCADE_TF_RETURN_IF_ERROR(c->WithRank(feature, 4, &feature));
    if (num_others > 0) CASCADE_TF_RETURN_IF_ERROR(c->Merge(feature, c->input(4 + num_levels + level), &feature));
    c->set_output(level, feature);
  }
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>RoiAlign")
    .Input("features: num_levels * T")
    .Input("boxes: float")
    .Input("levels: int32")
    .Input("map_sizes: int32")
    .Output("pooled: T")
    .Attr("num_levels: int >= 1")
    .Attr("strides: list(float)")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("sampling_ratio: int >= 0")
    .Attr("aligned: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(ForwardShape);

REGISTER_OP("CascadeTf>RoiAlignGrad")
    .Input("upstream: T")
    .Input("boxes: float")
    .Input("levels: int32")
    .Input("map_sizes: int32")
    .Input("feature_shapes: num_levels * int32")
    .Input("others: num_others * T")
    .Output("gradients: num_levels * T")
    .Attr("num_levels: int >= 1")
    .Attr("num_others: int >= 0 = 0")
    .Attr("strides: list(float)")
    .Attr("sampling_ratio: int >= 0")
    .Attr("aligned: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(GradientShape);

}  // namespace cascade_tf
