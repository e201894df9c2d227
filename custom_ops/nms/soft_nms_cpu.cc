// Batched soft NMS on the CPU: threads take images. The classes of an image take turns, so that only as many
// candidates are selected as there are results.
#include "nms_kernel.h"
#include "soft_nms.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

class BatchedSoftNmsOp : public SuppressionOp {
 public:
  explicit BatchedSoftNmsOp(OpKernelConstruction* context) : SuppressionOp(context, "batched_soft_nms") {
    ReadDecay(context, settings_, &decay_);
  }

 protected:
  std::vector<std::vector<Candidate>> Survivors(OpKernelContext* context, const Tensor& boxes,
                                                const Tensor& scores) const override {
    const int64_t batch = scores.dim_size(0);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    std::vector<std::vector<Candidate>> survivors(batch);
    const int64_t cost_per_image = 1000 + scores.dim_size(1) * (scores.dim_size(2) + settings_.max_outputs);
    tensorflow::Shard(workers.num_threads, workers.workers, batch, cost_per_image, [&](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) survivors[image] = Select(Collect(boxes, scores, image));
    });
    return survivors;
  }

 private:
  // The candidates of one image by class.
  std::vector<DecayingBoxes> Collect(const Tensor& boxes, const Tensor& scores, int64_t image) const {
    const int64_t num_boxes = scores.dim_size(1), num_classes = scores.dim_size(2), box_sets = boxes.dim_size(2);
    const float* score = scores.flat<float>().data() + image * num_boxes * num_classes;
    const float* box = boxes.flat<float>().data() + image * num_boxes * box_sets * 4;
    std::vector<DecayingBoxes> by_class(num_classes);
    for (int64_t n = 0; n < num_boxes; ++n) {
      for (int64_t k = 0; k < num_classes; ++k) {
        const int32_t index = static_cast<int32_t>(n * num_classes + k);
        if (!(score[index] > settings_.score_threshold)) continue;
        const float* own_box = box + (n * box_sets + k % box_sets) * 4;
        if (IsFinite(own_box)) by_class[k].Add(own_box, score[index], index);
      }
    }
    return by_class;
  }

  std::vector<Candidate> Select(std::vector<DecayingBoxes> by_class) const {
    std::vector<Candidate> survivors;
    while (static_cast<int>(survivors.size()) < settings_.max_outputs) {
      DecayingBoxes* next = nullptr;
      for (DecayingBoxes& one : by_class) {
        if (one.best() != nullptr && (next == nullptr || IsBetter(*one.best(), *next->best()))) next = &one;
      }
      if (next == nullptr) break;
      survivors.push_back(*next->best());
      next->SelectBest(decay_, settings_.score_threshold);
    }
    return survivors;
  }

  Decay decay_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedSoftNms").Device(tensorflow::DEVICE_CPU), BatchedSoftNmsOp);

}  // namespace
}  // namespace cascade_tf
