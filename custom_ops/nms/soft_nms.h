// Class-wise soft non-maximum suppression of a batch (Bodla et al., "Soft-NMS", ICCV 2017).
//
// Arguments of the op CascadeTf>BatchedSoftNms: those of CascadeTf>BatchedNms (nms.h), and
//   method    "linear": an IoU o above iou_threshold multiplies the score by 1 - o
//             "gaussian": every IoU o multiplies it by exp(-o^2 / sigma)
//   sigma     above 0
//   score_threshold   at least 0; what has decayed to it or below is dropped
// Results: as those of CascadeTf>BatchedNms, with the decayed scores, best first.
#ifndef CASCADE_TF_NMS_SOFT_NMS_H_
#define CASCADE_TF_NMS_SOFT_NMS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "nms.h"

namespace cascade_tf {

// What an overlap does to the score of the weaker box.
struct Decay {
  bool gaussian;
  float iou_threshold;
  float sigma;

  // The factor for an IoU above 0. float64 inside the exponential: every implementation of exp then rounds to the
  // same float32.
  CASCADE_TF_HOST_DEVICE float operator()(float iou) const {
    if (gaussian) return static_cast<float>(std::exp(-(static_cast<double>(iou) * iou) / sigma));
    return iou > iou_threshold ? 1.0f - iou : 1.0f;
  }
};

// IoU; with a box without area it is 0 or 0 / 0.
CASCADE_TF_HOST_DEVICE float OverlapOf(float ax1, float ay1, float ax2, float ay2, float bx1, float by1, float bx2,
                                       float by2, float area_a, float area_b) {
  const float width = std::max(std::min(ax2, bx2) - std::max(ax1, bx1), 0.0f);
  const float height = std::max(std::min(ay2, by2) - std::max(ay1, by1), 0.0f);
  const float intersection = width * height;
  return intersection / (area_a + area_b - intersection);
}

// The candidates of one class that have not been selected yet, in the order of their indices.
class DecayingBoxes {
 public:
  void Add(const float* box, float score, int32_t index) {
    x1_.push_back(box[0]);
    y1_.push_back(box[1]);
    x2_.push_back(box[2]);
    y2_.push_back(box[3]);
    area_.push_back((box[2] - box[0]) * (box[3] - box[1]));
    remaining_.push_back({score, index});
    if (best_ < 0 || score > remaining_[best_].score) best_ = remaining_.size() - 1;
  }

  // The best remaining candidate, or nullptr.
  const Candidate* best() const { return best_ < 0 ? nullptr : &remaining_[best_]; }

  // Removes the best, decays the others by their overlap with it, and drops those that reach the threshold.
  void SelectBest(const Decay& decay, float score_threshold) {
    const size_t selected = best_;
    best_ = -1;
    // Scores never rise: one at or below the threshold is dropped for good.
    remaining_[selected].score = score_threshold;
    for (size_t i = 0; i < remaining_.size(); ++i) {
      if (!(remaining_[i].score > score_threshold)) continue;
      const float iou = Overlap(selected, i);
      if (iou > 0.0f) remaining_[i].score *= decay(iou);
      if (!(remaining_[i].score > score_threshold)) continue;
      if (best_ < 0 || remaining_[i].score > remaining_[best_].score) best_ = i;
    }
  }

 private:
  float Overlap(size_t a, size_t b) const {
    return OverlapOf(x1_[a], y1_[a], x2_[a], y2_[a], x1_[b], y1_[b], x2_[b], y2_[b], area_[a], area_[b]);
  }

  std::vector<float> x1_, y1_, x2_, y2_, area_;
  std::vector<Candidate> remaining_;
  int64_t best_ = -1;
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_SOFT_NMS_H_
