// Interface of the resizing of an image: attributes, shapes. See resize.h for the arguments.
#include "absl/status/status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

absl::Status ResizedShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle image, size, flip;
  tensorflow::shape_inference::DimensionHandle unused;
  absl::Status status = c->WithRank(c->input(0), 3, &image);
  status.Update(c->WithRank(c->input(1), 1, &size));
  status.Update(c->WithRank(c->input(2), 0, &flip));
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(image, 2), 3, &unused));
  status.Update(c->WithValue(c->Dim(size, 0), 2, &unused));
  if (!status.ok()) return status;
  c->set_output(0, c->MakeShape({c->UnknownDim(), c->UnknownDim(), c->MakeDim(3)}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>ResizeAndPad")
    .Input("image: uint8")
    .Input("size: int32")
    .Input("flip: bool")
    .Output("resized: uint8")
    .Attr("multiple: int >= 1")
    .SetShapeFn(ResizedShape);

}  // namespace cascade_tf
