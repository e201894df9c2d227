// Interface of position-sensitive pooling and of its gradient: attributes, shapes. See ps_roi_pool.h for the arguments.
#include "../common/roi_shapes.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/op.h"

namespace cascade_tf {
namespace {

absl::Status PsRoiPoolShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::DimensionHandle batch, rois, channels;
  int height, width;
  absl::Status status = c->GetAttr("output_height", &height);
  status.Update(c->GetAttr("output_width", &width));
  status.Update(MapAndBoxes(c, 0, 1, &batch, &rois, &channels));
  if (!status.ok()) return status;
  tensorflow::shape_inference::DimensionHandle classes = c->UnknownDim();
  if (c->ValueKnown(channels)) {
    const int64_t bins = int64_t{height} * width;
    if (c->Value(channels) % bins != 0) {
      return absl::InvalidArgumentError(absl::StrCat("ps_roi_pool: channels must be a multiple of ", bins, ", got ",
                                                     c->Value(channels)));
    }
    classes = c->MakeDim(c->Value(channels) / bins);
  }
  c->set_output(0, c->MakeShape({batch, rois, c->MakeDim(height), c->MakeDim(width), classes}));
  return absl::OkStatus();
}

absl::Status PsRoiPoolGradShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle upstream, boxes, features;
  absl::Status status = c->WithRank(c->input(0), 5, &upstream);
  status.Update(c->WithRank(c->input(1), 3, &boxes));
  status.Update(c->MakeShapeFromShapeTensor(2, &features));
  if (!status.ok()) return status;
  status.Update(c->WithRank(features, 4, &features));
  if (!status.ok()) return status;
  c->set_output(0, features);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>PsRoiPool")
    .Input("features: T")
    .Input("boxes: float")
    .Output("pooled: T")
    .Attr("stride: float")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(PsRoiPoolShape);

REGISTER_OP("CascadeTf>PsRoiPoolGrad")
    .Input("upstream: T")
    .Input("boxes: float")
    .Input("features_shape: int32")
    .Output("gradient: T")
    .Attr("stride: float")
    .Attr("inclusive_boxes: bool")
    .Attr("T: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn(PsRoiPoolGradShape);

}  // namespace cascade_tf
