// Interface of RoIPool and of its gradient: attributes, shapes. See roi_pool.h for the arguments.
#include "../common/roi_shapes.h"
#include "tensorflow/core/framework/op.h"

namespace cascade_tf {
namespace {

absl::Status RoiPoolShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::DimensionHandle batch, rois, channels;
  int height, width;
  absl::Status status = c->GetAttr("output_height", &height);
  status.Update(c->GetAttr("output_width", &width));
  status.Update(MapAndBoxes(c, 0, 1, &batch, &rois, &channels));
  if (!status.ok()) return status;
  c->set_output(0, c->MakeShape({batch, rois, c->MakeDim(height), c->MakeDim(width), channels}));
  return absl::OkStatus();
}

absl::Status RoiPoolGradShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle upstream;
  tensorflow::shape_inference::DimensionHandle batch, rois, channels;
  absl::Status status = c->WithRank(c->input(0), 5, &upstream);
  status.Update(MapAndBoxes(c, 1, 2, &batch, &rois, &channels));
  if (!status.ok()) return status;
  c->set_output(0, c->input(1));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>RoiPool")
    .Input("features: T")
    .Input("boxes: float")
    .Output("pooled: T")
    .Attr("stride: float")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("pad_ratio: float")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(RoiPoolShape);

REGISTER_OP("CascadeTf>RoiPoolGrad")
    .Input("upstream: T")
    .Input("features: T")
    .Input("boxes: float")
    .Output("gradient: T")
    .Attr("stride: float")
    .Attr("pad_ratio: float")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(RoiPoolGradShape);

}  // namespace cascade_tf
