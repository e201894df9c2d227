// Batched NMS on the CPU: threads take pairs (image, class), then the best of each image are merged.
#include "nms_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

class BatchedNmsOp : public SuppressionOp {
 public:
  explicit BatchedNmsOp(OpKernelConstruction* context) : SuppressionOp(context, "batched_nms") {}

 protected:
  std::vector<std::vector<Candidate>> Survivors(OpKernelContext* context, const Tensor& boxes,
                                                const Tensor& scores) const override {
    const int64_t batch = scores.dim_size(0), num_classes = scores.dim_size(2);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    std::vector<std::vector<Candidate>> kept(batch * num_classes);
    const int64_t cost_per_class = 1000 + scores.dim_size(1) * 50;
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_classes, cost_per_class,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t unit = begin; unit < end; ++unit) {
                          kept[unit] = Suppress(boxes, scores, unit / num_classes, unit % num_classes);
                        }
                      });
    std::vector<std::vector<Candidate>> survivors(batch);
    for (int64_t image = 0; image < batch; ++image) survivors[image] = Merge(&kept[image * num_classes], num_classes);
    return survivors;
  }

 private:
  // The survivors of one class of one image, at most max_outputs: more can never be among the image's best.
  std::vector<Candidate> Suppress(const Tensor& boxes, const Tensor& scores, int64_t image, int64_t class_index) const {
    const int64_t num_boxes = scores.dim_size(1), num_classes = scores.dim_size(2), box_sets = boxes.dim_size(2);
    const float* score = scores.flat<float>().data() + image * num_boxes * num_classes + class_index;
    const float* box = boxes.flat<float>().data() + (image * num_boxes * box_sets + class_index % box_sets) * 4;
    std::vector<Candidate> candidates;
    for (int64_t n = 0; n < num_boxes; ++n) {
      const float value = score[n * num_classes];
      if (value > score_threshold_ && IsFinite(box + n * box_sets * 4)) candidates.push_back({value, n});
    }
    std::sort(candidates.begin(), candidates.end(), IsBetter);
    std::vector<Candidate> survivors;
    KeptBoxes kept;
    for (const Candidate& candidate : candidates) {
      const float* candidate_box = box + candidate.index * box_sets * 4;
      if (kept.Overlaps(candidate_box, iou_threshold_)) continue;
      kept.Add(candidate_box);
      survivors.push_back({candidate.score, candidate.index * num_classes + class_index});
      if (static_cast<int>(survivors.size()) == max_outputs_) break;
    }
    return survivors;
  }

  // The best of all classes of an image.
  std::vector<Candidate> Merge(const std::vector<Candidate>* by_class, int64_t num_classes) const {
    std::vector<Candidate> all;
    for (int64_t k = 0; k < num_classes; ++k) all.insert(all.end(), by_class[k].begin(), by_class[k].end());
    const int64_t best = std::min<int64_t>(all.size(), max_outputs_);
    std::partial_sort(all.begin(), all.begin() + best, all.end(), IsBetter);
    all.resize(best);
    return all;
  }
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedNms").Device(tensorflow::DEVICE_CPU), BatchedNmsOp);

}  // namespace
}  // namespace cascade_tf
