// Class-wise greedy non-maximum suppression of a batch.
//
// Arguments of the op CascadeTf>BatchedNms
//   boxes      [B, N, Q, 4] float32 (x1, y1, x2, y2); Q = 1 (all classes share the boxes) or K
//   scores     [B, N, K] float32
//   iou_threshold     0 .. 1; a higher IoU suppresses
//   score_threshold   a candidate's score exceeds it; NaN and minus infinity never do
//   max_outputs       D
// Results, best first, zeros in the padding; equal scores are ordered by n * K + k
//   box_index [B, D] int32, class_index [B, D] int32, selected_scores [B, D] float32, count [B] int32
//
// A box with a coordinate that is not finite is never a candidate; a box without area overlaps nothing. There are no
// other types: boxes and scores are float32 in every mixed precision.
#ifndef CASCADE_TF_NMS_NMS_H_
#define CASCADE_TF_NMS_NMS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace cascade_tf {

struct Candidate {
  float score;
  int32_t index;  // n * K + k
};

// The order of visits and of the result.
inline bool IsBetter(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.index < b.index);
}

inline bool IsFinite(const float* box) {
  return std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(box[2]) && std::isfinite(box[3]);
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_NMS_H_
