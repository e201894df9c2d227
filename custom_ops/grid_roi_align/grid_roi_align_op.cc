// Interface of the grid RoIAlign and of its gradient: attributes, shapes. See grid_roi_align.h for the arguments.
#include "../common/roi_shapes.h"
#include "tensorflow/core/framework/op.h"

namespace cascade_tf {
namespace {

absl::Status GridRoiAlignShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::DimensionHandle batch, rois, unused, channels = c->UnknownDim();
  tensorflow::shape_inference::ShapeHandle levels;
  int num_levels, height, width;
  bool average;
  absl::Status status = c->GetAttr("num_levels", &num_levels);
  status.Update(c->GetAttr("output_height", &height));
  status.Update(c->GetAttr("output_width", &width));
  status.Update(c->GetAttr("average", &average));
  if (!status.ok()) return status;
  for (int level = 0; level < num_levels; ++level) {
    tensorflow::shape_inference::DimensionHandle of_level;
    status.Update(MapAndBoxes(c, level, num_levels, &batch, &rois, &of_level));
    if (!status.ok()) return status;
    status.Update(c->Merge(channels, of_level, &channels));
  }
  status.Update(c->WithRank(c->input(num_levels + 1), 2, &levels));
  if (!status.ok()) return status;
  status.Update(c->Merge(c->Dim(levels, 0), batch, &unused));
  status.Update(c->Merge(c->Dim(levels, 1), rois, &unused));
  if (!status.ok()) return status;
  const int64_t more = average ? 0 : 1;
  c->set_output(0, c->MakeShape({batch, rois, c->MakeDim(height + more), c->MakeDim(width + more), channels}));
  return absl::OkStatus();
}

absl::Status GridRoiAlignGradShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle unused;
  int num_levels;
  absl::Status status = c->GetAttr("num_levels", &num_levels);
  status.Update(c->WithRank(c->input(0), 5, &unused));
  status.Update(c->WithRank(c->input(1), 3, &unused));
  status.Update(c->WithRank(c->input(2), 2, &unused));
  if (!status.ok()) return status;
  for (int level = 0; level < num_levels; ++level) {
    tensorflow::shape_inference::ShapeHandle feature;
    status.Update(c->MakeShapeFromShapeTensor(3 + level, &feature));
    if (!status.ok()) return status;
    status.Update(c->WithRank(feature, 4, &feature));
    if (!status.ok()) return status;
    c->set_output(level, feature);
  }
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>GridRoiAlign")
    .Input("features: num_levels * T")
    .Input("boxes: float")
    .Input("levels: int32")
    .Output("pooled: T")
    .Attr("num_levels: int >= 1")
    .Attr("strides: list(float)")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("average: bool")
    .Attr("pad_ratio: float")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16} = DT_FLOAT")
    .SetShapeFn(GridRoiAlignShape);

REGISTER_OP("CascadeTf>GridRoiAlignGrad")
    .Input("upstream: T")
    .Input("boxes: float")
    .Input("levels: int32")
    .Input("feature_shapes: num_levels * int32")
    .Output("gradients: num_levels * T")
    .Attr("num_levels: int >= 1")
    .Attr("strides: list(float)")
    .Attr("average: bool")
    .Attr("pad_ratio: float")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16} = DT_FLOAT")
    .SetShapeFn(GridRoiAlignGradShape);

}  // namespace cascade_tf
