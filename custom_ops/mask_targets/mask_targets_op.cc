// Interface of the cutting out of masks: attributes, shapes. See mask_targets.h for the arguments.
#include "absl/status/status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

absl::Status CroppedShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle masks, image_size, boxes, object_index, valid;
  tensorflow::shape_inference::DimensionHandle batch, count, unused;
  int output_size;
  absl::Status status = c->WithRank(c->input(0), 4, &masks);
  status.Update(c->WithRank(c->input(1), 2, &image_size));
  status.Update(c->WithRank(c->input(2), 3, &boxes));
  status.Update(c->WithRank(c->input(3), 2, &object_index));
  status.Update(c->WithRank(c->input(4), 2, &valid));
  status.Update(c->GetAttr("output_size", &output_size));
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(boxes, 2), 4, &unused));
  status.Update(c->WithValue(c->Dim(image_size, 1), 2, &unused));
  status.Update(c->Merge(c->Dim(masks, 0), c->Dim(boxes, 0), &batch));
  status.Update(c->Merge(c->Dim(image_size, 0), c->Dim(boxes, 0), &unused));
  status.Update(c->Merge(object_index, valid, &valid));
  if (!status.ok()) return status;
  status.Update(c->Merge(batch, c->Dim(valid, 0), &batch));
  status.Update(c->Merge(c->Dim(boxes, 1), c->Dim(valid, 1), &count));
  if (!status.ok()) return status;
  c->set_output(0, c->MakeShape({batch, count, output_size, output_size}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>CropMasks")
    .Input("masks: uint8")
    .Input("image_size: int32")
    .Input("boxes: float")
    .Input("object_index: int32")
    .Input("valid: bool")
    .Output("targets: float")
    .Attr("output_size: int >= 1")
    .SetShapeFn(CroppedShape);

}  // namespace cascade_tf
