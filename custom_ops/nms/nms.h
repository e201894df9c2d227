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
// A box with a coordinate that is not finite is never a candidate; a box without area overlaps nothing.
#ifndef CASCADE_TF_NMS_NMS_H_
#define CASCADE_TF_NMS_NMS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace cascade_tf {

struct Candidate {
  float score;
  int64_t index;
};

// The order of visits and of the result.
inline bool IsBetter(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.index < b.index);
}

// Kept boxes in structure-of-arrays form, so that the compiler vectorises the comparison with all of them.
class KeptBoxes {
 public:
  void Add(const float* box) {
    x1_.push_back(box[0]);
    y1_.push_back(box[1]);
    x2_.push_back(std::max(box[0], box[2]));
    y2_.push_back(std::max(box[1], box[3]));
    area_.push_back((x2_.back() - x1_.back()) * (y2_.back() - y1_.back()));
  }

  // Whether a kept box has an IoU with `box` that is strictly above the threshold. 0 / 0 is not.
  bool Overlaps(const float* box, float threshold) const {
    constexpr size_t kBlock = 64;
    const float x1 = box[0], y1 = box[1], x2 = std::max(box[0], box[2]), y2 = std::max(box[1], box[3]);
    const float area = (x2 - x1) * (y2 - y1);
    for (size_t begin = 0; begin < area_.size(); begin += kBlock) {
      const size_t end = std::min(begin + kBlock, area_.size());
      int hits = 0;
      for (size_t i = begin; i < end; ++i) {
        const float width = std::max(std::min(x2, x2_[i]) - std::max(x1, x1_[i]), 0.0f);
        const float height = std::max(std::min(y2, y2_[i]) - std::max(y1, y1_[i]), 0.0f);
        const float intersection = width * height;
        hits += intersection / (area + area_[i] - intersection) > threshold;
      }
      if (hits > 0) return true;
    }
    return false;
  }

 private:
  std::vector<float> x1_, y1_, x2_, y2_, area_;
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_NMS_H_
