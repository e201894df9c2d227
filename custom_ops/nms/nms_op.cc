// Interface of batched NMS, hard and soft: attributes, shapes. See nms.h and soft_nms.h for the arguments.
#include "absl/status/status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status OutputShapes(InferenceContext* c) {
  ShapeHandle boxes, scores;
  DimensionHandle batch, unused;
  int max_outputs;
  absl::Status status = c->WithRank(c->input(0), 4, &boxes);
  status.Update(c->WithRank(c->input(1), 3, &scores));
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(boxes, 3), 4, &unused));
  status.Update(c->Merge(c->Dim(boxes, 0), c->Dim(scores, 0), &batch));
  status.Update(c->Merge(c->Dim(boxes, 1), c->Dim(scores, 1), &unused));
  status.Update(c->GetAttr("max_outputs", &max_outputs));
  if (!status.ok()) return status;
  const DimensionHandle box_sets = c->Dim(boxes, 2);
  if (c->ValueKnown(box_sets) && c->Value(box_sets) != 1) {
    status.Update(c->Merge(box_sets, c->Dim(scores, 2), &unused));
    if (!status.ok()) return status;
  }
  for (int output = 0; output < 3; ++output) c->set_output(output, c->Matrix(batch, max_outputs));
  c->set_output(3, c->Vector(batch));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("CascadeTf>BatchedNms")
    .Input("boxes: float")
    .Input("scores: float")
    .Output("box_index: int32")
    .Output("class_index: int32")
    .Output("selected_scores: float")
    .Output("count: int32")
    .Attr("iou_threshold: float")
    .Attr("score_threshold: float")
    .Attr("max_outputs: int >= 1")
    .SetShapeFn(OutputShapes);

REGISTER_OP("CascadeTf>BatchedSoftNms")
    .Input("boxes: float")
    .Input("scores: float")
    .Output("box_index: int32")
    .Output("class_index: int32")
    .Output("selected_scores: float")
    .Output("count: int32")
    .Attr("method: {'linear', 'gaussian'}")
    .Attr("sigma: float")
    .Attr("iou_threshold: float")
    .Attr("score_threshold: float")
    .Attr("max_outputs: int >= 1")
    .SetShapeFn(OutputShapes);

}  // namespace cascade_tf
