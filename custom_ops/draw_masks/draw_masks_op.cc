// Interface of the drawing of masks: attributes, shapes. See draw_masks.h for the arguments.
#include "absl/status/status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

absl::Status DrawnShape(tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle handle, polygons, runs, size;
  tensorflow::shape_inference::DimensionHandle count, unused;
  absl::Status status = c->WithRank(c->input(0), 2, &handle);
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(handle, 1), 2, &unused));
  status.Update(c->WithRank(c->input(1), 1, &handle));
  status.Update(c->WithRank(c->input(2), 1, &polygons));
  status.Update(c->WithRank(c->input(3), 1, &handle));
  status.Update(c->WithRank(c->input(4), 1, &runs));
  status.Update(c->WithRank(c->input(7), 0, &handle));
  if (!status.ok()) return status;
  status.Update(c->Merge(c->Dim(polygons, 0), c->Dim(runs, 0), &count));
  for (const int input : {5, 6, 8}) {
    status.Update(c->WithRank(c->input(input), 1, &size));
    if (!status.ok()) return status;
    status.Update(c->WithValue(c->Dim(size, 0), 2, &unused));
  }
  if (!status.ok()) return status;
  c->set_output(0, c->UnknownShapeOfRank(3));
  c->set_output(1, c->Vector(count));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>DrawMasks")
    .Input("corners: double")
    .Input("polygon_corners: int32")
    .Input("object_polygons: int32")
    .Input("runs: int32")
    .Input("object_runs: int32")
    .Input("original_size: int32")
    .Input("size: int32")
    .Input("flip: bool")
    .Input("frame: int32")
    .Output("masks: uint8")
    .Output("drawn: bool")
    .SetShapeFn(DrawnShape);

}  // namespace cascade_tf
