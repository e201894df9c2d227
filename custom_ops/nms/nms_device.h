// What hard and soft suppression on a GPU share.
#ifndef CASCADE_TF_NMS_NMS_DEVICE_H_
#define CASCADE_TF_NMS_NMS_DEVICE_H_

#include "../common/host_device.h"
#include "nms.h"
#include "nms_gpu.h"

namespace cascade_tf {

// The box of candidate n * K + k of an image.
CASCADE_TF_HOST_DEVICE const float* BoxOf(const CascadeTfNms& call, int64_t image, int64_t index) {
  const int64_t n = index / call.num_classes, k = index % call.num_classes;
  return call.boxes + ((image * call.num_boxes + n) * call.box_sets + k % call.box_sets) * 4;
}

CASCADE_TF_HOST_DEVICE bool IsCandidate(const CascadeTfNms& call, int64_t image, int64_t index, float score) {
  return score > call.score_threshold && IsFinite(BoxOf(call, image, index));
}

CASCADE_TF_HOST_DEVICE void WriteSelected(const CascadeTfNms& call, int64_t image, int place, float score,
                                          int32_t index) {
  const int64_t to = image * call.max_outputs + place;
  call.box_index[to] = static_cast<int32_t>(index / call.num_classes);
  call.class_index[to] = static_cast<int32_t>(index % call.num_classes);
  call.selected_scores[to] = score;
}

// Zeros in all places, before something is selected.
struct ClearOutputs {
  CascadeTfNms call;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    call.box_index[i] = 0;
    call.class_index[i] = 0;
    call.selected_scores[i] = 0.0f;
    if (i % call.max_outputs == 0) call.count[i / call.max_outputs] = 0;
  }
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_NMS_DEVICE_H_
