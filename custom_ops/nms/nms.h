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
#include <limits>
#include <vector>

#include "../common/elements.h"

namespace cascade_tf {

struct Candidate {
  float score;
  int32_t index;  // n * K + k
};

// The order of visits and of the result.
CASCADE_TF_HOST_DEVICE bool IsBetter(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.index < b.index);
}

CASCADE_TF_HOST_DEVICE bool IsFinite(const float* box) {
  bool finite = true;
  for (int i = 0; i < 4; ++i) finite = finite && std::fabs(box[i]) <= std::numeric_limits<float>::max();
  return finite;
}

// A number that is the lower, the higher the score; -0 and 0 are equal. No number has all bits set.
CASCADE_TF_HOST_DEVICE uint32_t ScoreKey(float score) {
  const uint32_t bits = BitsOfFloat(score + 0.0f);
  return bits >> 31 ? bits : ~bits & 0x7fffffff;
}

struct PreparedBox {
  float x1, y1, x2, y2, area;

  // A flipped box has no area.
  CASCADE_TF_HOST_DEVICE explicit PreparedBox(const float* box)
      : x1(box[0]),
        y1(box[1]),
        x2(std::max(box[0], box[2])),
        y2(std::max(box[1], box[3])),
        area((x2 - x1) * (y2 - y1)) {}
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_NMS_H_
