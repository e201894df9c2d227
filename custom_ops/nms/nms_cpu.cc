// Batched NMS on the CPU: threads take images. All classes of an image are visited in one order from the best score
// down, so that as many candidates are looked at as the results need.
#include <limits>

#include "../common/vectorize.h"
#include "nms_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

// Boxes side by side, for comparisons of a box with all of them at once.
struct BoxBlock {
  static constexpr int kSize = 32;
  float x1[kSize], y1[kSize], x2[kSize], y2[kSize], area[kSize];

  // Empty places overlap nothing.
  BoxBlock() {
    std::fill_n(x1, kSize, std::numeric_limits<float>::max());
    std::fill_n(y1, kSize, std::numeric_limits<float>::max());
    std::fill_n(x2, kSize, std::numeric_limits<float>::lowest());
    std::fill_n(y2, kSize, std::numeric_limits<float>::lowest());
    std::fill_n(area, kSize, 0.0f);
  }
};

[[gnu::always_inline]] inline float Intersection(const PreparedBox& box, const BoxBlock& block, int i) {
  const float width = std::max(std::min(box.x2, block.x2[i]) - std::max(box.x1, block.x1[i]), 0.0f);
  const float height = std::max(std::min(box.y2, block.y2[i]) - std::max(box.y1, block.y1[i]), 0.0f);
  return width * height;
}

// Whether a box of the blocks has an IoU with `box` that is strictly above the threshold. 0 / 0 is not.
CASCADE_TF_VECTORIZED
bool AnyOverlaps(const PreparedBox& box, const BoxBlock* blocks, size_t num_blocks, float threshold) {
  const PreparedBox one = box;
  for (const BoxBlock* block = blocks; block != blocks + num_blocks; ++block) {
    int near = 0;
    for (int i = 0; i < BoxBlock::kSize; ++i) {
      const float intersection = Intersection(one, *block, i);
      const float total = one.area + block->area[i] - intersection;
      // Rounding keeps order: where the quotient is above the threshold, this holds, and it takes no division.
      near += static_cast<int>(intersection > 0.0f) & static_cast<int>(intersection >= threshold * total);
    }
    if (near == 0) continue;
    int hits = 0;
    for (int i = 0; i < BoxBlock::kSize; ++i) {
      const float intersection = Intersection(one, *block, i);
      hits += intersection / (one.area + block->area[i] - intersection) > threshold;
    }
    if (hits > 0) return true;
  }
  return false;
}

// The boxes of one class that were kept.
class KeptBoxes {
 public:
  bool Overlap(const PreparedBox& box, float threshold) const {
    return AnyOverlaps(box, blocks_.data(), blocks_.size(), threshold);
  }

  void Add(const PreparedBox& box) {
    const int place = count_++ % BoxBlock::kSize;
    if (place == 0) blocks_.emplace_back();
    BoxBlock& block = blocks_.back();
    block.x1[place] = box.x1;
    block.y1[place] = box.y1;
    block.x2[place] = box.x2;
    block.y2[place] = box.y2;
    block.area[place] = box.area;
  }

 private:
  std::vector<BoxBlock> blocks_;
  size_t count_ = 0;
};

// Candidates in the order of their visits, of which only the beginning is sorted.
class Visits {
 public:
  void Add(float score, int32_t index) {
    keys_.push_back(uint64_t{ScoreKey(score)} << 32 | static_cast<uint32_t>(index));
  }

  size_t size() const { return keys_.size(); }

  // The index n * K + k of a visit; visits are asked for one after another.
  int32_t operator[](size_t visit) {
    if (visit == sorted_) SortMore();
    return static_cast<int32_t>(keys_[visit] & 0xffffffff);
  }

 private:
  void SortMore() {
    const size_t end = std::min(keys_.size(), sorted_ + std::max(sorted_, kFirstSorted));
    if (end < keys_.size()) std::nth_element(keys_.begin() + sorted_, keys_.begin() + end, keys_.end());
    std::sort(keys_.begin() + sorted_, keys_.begin() + end);
    sorted_ = end;
  }

  static constexpr size_t kFirstSorted = 512;
  std::vector<uint64_t> keys_;
  size_t sorted_ = 0;
};

class BatchedNmsOp : public SuppressionOp {
 public:
  explicit BatchedNmsOp(OpKernelConstruction* context) : SuppressionOp(context, "batched_nms") {}

 protected:
  std::vector<std::vector<Candidate>> Survivors(OpKernelContext* context, const Tensor& boxes,
                                                const Tensor& scores) const override {
    const int64_t batch = scores.dim_size(0);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    std::vector<std::vector<Candidate>> survivors(batch);
    const int64_t cost_per_image = 1000 + scores.dim_size(1) * (scores.dim_size(2) + 50);
    tensorflow::Shard(workers.num_threads, workers.workers, batch, cost_per_image, [&](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) survivors[image] = Select(boxes, scores, image);
    });
    return survivors;
  }

 private:
  std::vector<Candidate> Select(const Tensor& boxes, const Tensor& scores, int64_t image) const {
    const int64_t num_boxes = scores.dim_size(1), num_classes = scores.dim_size(2), box_sets = boxes.dim_size(2);
    const float* score = scores.flat<float>().data() + image * num_boxes * num_classes;
    const float* box = boxes.flat<float>().data() + image * num_boxes * box_sets * 4;
    Visits visits = Collect(score, num_boxes * num_classes);
    std::vector<KeptBoxes> kept(num_classes);
    std::vector<Candidate> survivors;
    for (size_t visit = 0; visit < visits.size() && static_cast<int>(survivors.size()) < settings_.max_outputs; ++visit) {
      const int32_t index = visits[visit], n = index / num_classes, k = index % num_classes;
      const float* own_box = box + (n * box_sets + k % box_sets) * 4;
      if (!IsFinite(own_box)) continue;
      const PreparedBox prepared(own_box);
      if (kept[k].Overlap(prepared, settings_.iou_threshold)) continue;
      kept[k].Add(prepared);
      survivors.push_back({score[index], index});
    }
    return survivors;
  }

  // What is above the threshold.
  Visits Collect(const float* scores, int64_t count) const {
    Visits visits;
    for (int64_t i = 0; i < count; ++i) {
      if (scores[i] > settings_.score_threshold) visits.Add(scores[i], static_cast<int32_t>(i));
    }
    return visits;
  }
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedNms").Device(tensorflow::DEVICE_CPU), BatchedNmsOp);

}  // namespace
}  // namespace cascade_tf
