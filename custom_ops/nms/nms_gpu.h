// Suppression on a GPU: what the launchers take. See nms.h and soft_nms.h for the arguments of the ops.
#ifndef CASCADE_TF_NMS_NMS_GPU_H_
#define CASCADE_TF_NMS_NMS_GPU_H_

#include <cstdint>

extern "C" {

// Pointers lead to memory of the device.
struct CascadeTfNms {
  const float* boxes;   // [B, N, Q, 4]
  const float* scores;  // [B, N, K]
  int32_t* box_index;   // [B, D]
  int32_t* class_index;
  float* selected_scores;
  int32_t* count;  // [B]
  int64_t batch;
  int64_t num_boxes;
  int64_t num_classes;
  int64_t box_sets;  // Q, 1 or K
  int max_outputs;   // D
  float iou_threshold;
  float score_threshold;
  float sigma;   // of soft suppression alone
  int gaussian;  // the same
};

int64_t cascade_tf_nms_workspace(const CascadeTfNms* call);
int cascade_tf_nms(const CascadeTfNms* call, void* workspace, void* stream);

int64_t cascade_tf_soft_nms_workspace(const CascadeTfNms* call);
int cascade_tf_soft_nms(const CascadeTfNms* call, void* workspace, void* stream);

}  // extern "C"

#endif  // CASCADE_TF_NMS_NMS_GPU_H_
