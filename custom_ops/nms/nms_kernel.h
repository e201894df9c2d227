// What the kernels of hard and soft suppression share: the checks of the inputs and the layout of the results.
#ifndef CASCADE_TF_NMS_NMS_KERNEL_H_
#define CASCADE_TF_NMS_NMS_KERNEL_H_

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nms.h"
#include "soft_nms.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace cascade_tf {

struct SuppressionSettings {
  float iou_threshold;
  float score_threshold;
  int max_outputs;
};

// `name` begins the messages: what the Python function is called.
inline void ReadSettings(tensorflow::OpKernelConstruction* context, const std::string& name,
                         SuppressionSettings* settings) {
  OP_REQUIRES_OK(context, context->GetAttr("iou_threshold", &settings->iou_threshold));
  OP_REQUIRES_OK(context, context->GetAttr("score_threshold", &settings->score_threshold));
  OP_REQUIRES_OK(context, context->GetAttr("max_outputs", &settings->max_outputs));
  OP_REQUIRES(context, settings->iou_threshold >= 0.0f && settings->iou_threshold <= 1.0f,
              absl::InvalidArgumentError(
                  absl::StrCat(name, ": iou_threshold must be in 0..1, got ", settings->iou_threshold)));
}

// Soft suppression's own, beside those of SuppressionSettings.
inline void ReadDecay(tensorflow::OpKernelConstruction* context, const SuppressionSettings& settings, Decay* decay) {
  std::string method;
  OP_REQUIRES_OK(context, context->GetAttr("method", &method));
  OP_REQUIRES_OK(context, context->GetAttr("sigma", &decay->sigma));
  OP_REQUIRES(context, decay->sigma > 0.0f,
              absl::InvalidArgumentError(absl::StrCat("batched_soft_nms: sigma must be positive, got ", decay->sigma)));
  OP_REQUIRES(context, settings.score_threshold >= 0.0f,
              absl::InvalidArgumentError(absl::StrCat("batched_soft_nms: score_threshold must be at least 0, got ",
                                                      settings.score_threshold)));
  decay->gaussian = method == "gaussian";
  decay->iou_threshold = settings.iou_threshold;
}

inline void CheckCandidates(tensorflow::OpKernelContext* context, const std::string& name,
                            const tensorflow::Tensor& boxes, const tensorflow::Tensor& scores) {
  OP_REQUIRES(context, boxes.dims() == 4 && boxes.dim_size(3) == 4,
              absl::InvalidArgumentError(
                  absl::StrCat(name, ": boxes must be [B, N, Q, 4], got ", boxes.shape().DebugString())));
  OP_REQUIRES(context,
              scores.dims() == 3 && scores.dim_size(0) == boxes.dim_size(0) &&
                  scores.dim_size(1) == boxes.dim_size(1) &&
                  (boxes.dim_size(2) == 1 || boxes.dim_size(2) == scores.dim_size(2)),
              absl::InvalidArgumentError(absl::StrCat(name, ": scores must be [B, N, K] with Q = 1 or K for boxes ",
                                                      boxes.shape().DebugString(), ", got ",
                                                      scores.shape().DebugString())));
  OP_REQUIRES(context, scores.NumElements() <= std::numeric_limits<int32_t>::max(),
              absl::InvalidArgumentError(
                  absl::StrCat(name, ": scores have too many elements: ", scores.shape().DebugString())));
}

class SuppressionOp : public tensorflow::OpKernel {
 public:
  SuppressionOp(tensorflow::OpKernelConstruction* context, std::string name)
      : OpKernel(context), name_(std::move(name)) {
    ReadSettings(context, name_, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor& boxes = context->input(0);
    const tensorflow::Tensor& scores = context->input(1);
    CheckCandidates(context, name_, boxes, scores);
    if (!context->status().ok()) return;
    WriteOutputs(context, scores.dim_size(0), scores.dim_size(2), Survivors(context, boxes, scores));
  }

 protected:
  // The survivors of each image with their indices n * K + k, best first, at most max_outputs.
  virtual std::vector<std::vector<Candidate>> Survivors(tensorflow::OpKernelContext* context,
                                                        const tensorflow::Tensor& boxes,
                                                        const tensorflow::Tensor& scores) const = 0;

  SuppressionSettings settings_;

 private:
  void WriteOutputs(tensorflow::OpKernelContext* context, int64_t batch, int64_t num_classes,
                    const std::vector<std::vector<Candidate>>& survivors) const {
    tensorflow::Tensor *box_index, *class_index, *selected_scores, *count;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, settings_.max_outputs}, &box_index));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch, settings_.max_outputs}, &class_index));
    OP_REQUIRES_OK(context, context->allocate_output(2, {batch, settings_.max_outputs}, &selected_scores));
    OP_REQUIRES_OK(context, context->allocate_output(3, {batch}, &count));
    box_index->flat<int>().setZero();
    class_index->flat<int>().setZero();
    selected_scores->flat<float>().setZero();
    for (int64_t image = 0; image < batch; ++image) {
      for (size_t i = 0; i < survivors[image].size(); ++i) {
        const Candidate& candidate = survivors[image][i];
        box_index->matrix<int>()(image, i) = static_cast<int>(candidate.index / num_classes);
        class_index->matrix<int>()(image, i) = static_cast<int>(candidate.index % num_classes);
        selected_scores->matrix<float>()(image, i) = candidate.score;
      }
      count->vec<int>()(image) = static_cast<int>(survivors[image].size());
    }
  }

  std::string name_;
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_NMS_NMS_KERNEL_H_
