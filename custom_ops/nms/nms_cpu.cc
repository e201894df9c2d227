// Batched NMS on the CPU: threads take pairs (image, class), then the best of each image are merged.
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nms.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

bool IsFinite(const float* box) {
  return std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(box[2]) && std::isfinite(box[3]);
}

class BatchedNmsOp : public OpKernel {
 public:
  explicit BatchedNmsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("iou_threshold", &iou_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("score_threshold", &score_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("max_outputs", &max_outputs_));
    OP_REQUIRES(context, iou_threshold_ >= 0.0f && iou_threshold_ <= 1.0f,
                absl::InvalidArgumentError(
                    absl::StrCat("batched_nms: iou_threshold must be in 0..1, got ", iou_threshold_)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& boxes = context->input(0);
    const Tensor& scores = context->input(1);
    OP_REQUIRES(context, boxes.dims() == 4 && boxes.dim_size(3) == 4,
                absl::InvalidArgumentError(
                    absl::StrCat("batched_nms: boxes must be [B, N, Q, 4], got ", boxes.shape().DebugString())));
    OP_REQUIRES(context,
                scores.dims() == 3 && scores.dim_size(0) == boxes.dim_size(0) &&
                    scores.dim_size(1) == boxes.dim_size(1) &&
                    (boxes.dim_size(2) == 1 || boxes.dim_size(2) == scores.dim_size(2)),
                absl::InvalidArgumentError(absl::StrCat("batched_nms: scores must be [B, N, K] with Q = 1 or K for boxes ",
                                                        boxes.shape().DebugString(), ", got ",
                                                        scores.shape().DebugString())));
    OP_REQUIRES(context, scores.NumElements() <= std::numeric_limits<int32_t>::max(),
                absl::InvalidArgumentError(
                    absl::StrCat("batched_nms: scores have too many elements: ", scores.shape().DebugString())));
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
    WriteOutputs(context, batch, num_classes, kept);
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

  void WriteOutputs(OpKernelContext* context, int64_t batch, int64_t num_classes,
                    const std::vector<std::vector<Candidate>>& kept) const {
    Tensor *box_index, *class_index, *selected_scores, *count;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, max_outputs_}, &box_index));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch, max_outputs_}, &class_index));
    OP_REQUIRES_OK(context, context->allocate_output(2, {batch, max_outputs_}, &selected_scores));
    OP_REQUIRES_OK(context, context->allocate_output(3, {batch}, &count));
    box_index->flat<int>().setZero();
    class_index->flat<int>().setZero();
    selected_scores->flat<float>().setZero();
    std::vector<Candidate> all;
    for (int64_t image = 0; image < batch; ++image) {
      all.clear();
      for (int64_t k = 0; k < num_classes; ++k) {
        const std::vector<Candidate>& survivors = kept[image * num_classes + k];
        all.insert(all.end(), survivors.begin(), survivors.end());
      }
      const int64_t best = std::min<int64_t>(all.size(), max_outputs_);
      std::partial_sort(all.begin(), all.begin() + best, all.end(), IsBetter);
      for (int64_t i = 0; i < best; ++i) {
        box_index->matrix<int>()(image, i) = static_cast<int>(all[i].index / num_classes);
        class_index->matrix<int>()(image, i) = static_cast<int>(all[i].index % num_classes);
        selected_scores->matrix<float>()(image, i) = all[i].score;
      }
      count->vec<int>()(image) = static_cast<int>(best);
    }
  }

  float iou_threshold_;
  float score_threshold_;
  int max_outputs_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedNms").Device(tensorflow::DEVICE_CPU), BatchedNmsOp);

}  // namespace
}  // namespace cascade_tf
