// What the kernels of hard and soft suppression share: the checks of the inputs and the layout of the results.
#ifndef CASCADE_TF_NMS_NMS_KERNEL_H_
#define CASCADE_TF_NMS_NMS_KERNEL_H_

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nms.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace cascade_tf {

class SuppressionOp : public tensorflow::OpKernel {
 public:
  // `name` begins the messages: what the Python function is called.
  SuppressionOp(tensorflow::OpKernelConstruction* context, std::string name)
      : OpKernel(context), name_(std::move(name)) {
    OP_REQUIRES_OK(context, context->GetAttr("iou_threshold", &iou_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("score_threshold", &score_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("max_outputs", &max_outputs_));
    OP_REQUIRES(context, iou_threshold_ >= 0.0f && iou_threshold_ <= 1.0f,
                absl::InvalidArgumentError(
                    absl::StrCat(name_, ": iou_threshold must be in 0..1, got ", iou_threshold_)));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor& boxes = context->input(0);
    const tensorflow::Tensor& scores = context->input(1);
    OP_REQUIRES(context, boxes.dims() == 4 && boxes.dim_size(3) == 4,
                absl::InvalidArgumentError(
                    absl::StrCat(name_, ": boxes must be [B, N, Q, 4], got ", boxes.shape().DebugString())));
    OP_REQUIRES(context,
                scores.dims() == 3 && scores.dim_size(0) == boxes.dim_size(0) &&
                    scores.dim_size(1) == boxes.dim_size(1) &&
                    (boxes.dim_size(2) == 1 || boxes.dim_size(2) == scores.dim_size(2)),
                absl::InvalidArgumentError(absl::StrCat(name_, ": scores must be [B, N, K] with Q = 1 or K for boxes ",
                                                        boxes.shape().DebugString(), ", got ",
                                                        scores.shape().DebugString())));
    OP_REQUIRES(context, scores.NumElements() <= std::numeric_limits<int32_t>::max(),
                absl::InvalidArgumentError(
                    absl::StrCat(name_, ": scores have too many elements: ", scores.shape().DebugString())));
    WriteOutputs(context, scores.dim_size(0), scores.dim_size(2), Survivors(context, boxes, scores));
  }

 protected:
  // The survivors of each image with their indices n * K + k, best first, at most max_outputs.
  virtual std::vector<std::vector<Candidate>> Survivors(tensorflow::OpKernelContext* context,
                                                        const tensorflow::Tensor& boxes,
                                                        const tensorflow::Tensor& scores) const = 0;

  float iou_threshold_;
  float score_threshold_;
  int max_outputs_;

 private:
  void WriteOutputs(tensorflow::OpKernelContext* context, int64_t batch, int64_t num_classes,
                    const std::vector<std::vector<Candidate>>& survivors) const {
    tensorflow::Tensor *box_index, *class_index, *selected_scores, *count;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, max_outputs_}, &box_index));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch, max_outputs_}, &class_index));
    OP_REQUIRES_OK(context, context->allocate_output(2, {batch, max_outputs_}, &selected_scores));
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
