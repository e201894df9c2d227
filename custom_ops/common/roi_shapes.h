// Shape functions that the ops share which pool boxes from one feature map.
#ifndef CASCADE_TF_COMMON_ROI_SHAPES_H_
#define CASCADE_TF_COMMON_ROI_SHAPES_H_

#include "absl/status/status.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace cascade_tf {

// Checks features [B, h, w, C] and boxes [B, R, 4] at the two given inputs; gives B, R and C.
inline absl::Status MapAndBoxes(tensorflow::shape_inference::InferenceContext* c, int features_input,
                                int boxes_input, tensorflow::shape_inference::DimensionHandle* batch,
                                tensorflow::shape_inference::DimensionHandle* rois,
                                tensorflow::shape_inference::DimensionHandle* channels) {
  tensorflow::shape_inference::ShapeHandle features, boxes;
  tensorflow::shape_inference::DimensionHandle unused;
  absl::Status status = c->WithRank(c->input(features_input), 4, &features);
  status.Update(c->WithRank(c->input(boxes_input), 3, &boxes));
  if (!status.ok()) return status;
  status.Update(c->WithValue(c->Dim(boxes, 2), 4, &unused));
  status.Update(c->Merge(c->Dim(features, 0), c->Dim(boxes, 0), batch));
  if (!status.ok()) return status;
  *rois = c->Dim(boxes, 1);
  *channels = c->Dim(features, 3);
  return absl::OkStatus();
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_ROI_SHAPES_H_
