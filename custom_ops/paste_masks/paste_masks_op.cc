// Interface of the pasting of masks: attributes, shapes. See paste_masks.h for the arguments.
#include "absl/status/status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

absl::Status PastedShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle masks, boxes, image_size, image;
  tensorflow::shape_inference::DimensionHandle count, unused;
  absl::Status status = c->WithRank(c->input(0), 3, &masks);
  status.Update(c->WithRank(c->input(1), 2, &boxes));
  status.Update(c->WithRank(c->input(2), 1, &image_size));
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(boxes, 1), 4, &unused));
  status.Update(c->WithValue(c->Dim(image_size, 0), 2, &unused));
  status.Update(c->Merge(c->Dim(masks, 0), c->Dim(boxes, 0), &count));
  status.Update(c->MakeShapeFromShapeTensor(2, &image));
  status.Update(c->WithRank(image, 2, &image));
  if (!status.ok()) return status;
  c->set_output(0, c->MakeShape({count, c->Dim(image, 0), c->Dim(image, 1)}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>PasteMasks")
    .Input("masks: float")
    .Input("boxes: float")
    .Input("image_size: int32")
    .Output("pasted: bool")
    .Attr("threshold: float")
    .SetShapeFn(PastedShape);

}  // namespace cascade_tf
