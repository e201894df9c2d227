// Hard and soft suppression as TensorFlow's kernels for GPUs. The checks are those of the CPU's kernels.
#include "../common/gpu_kernel.h"
#include "nms_gpu.h"
#include "nms_kernel.h"

namespace cascade_tf {
namespace {

class SuppressionGpuOp : public tensorflow::OpKernel {
 public:
  SuppressionGpuOp(tensorflow::OpKernelConstruction* context, std::string name)
      : OpKernel(context), name_(std::move(name)) {
    ReadSettings(context, name_, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor &boxes = context->input(0), &scores = context->input(1);
    CheckCandidates(context, name_, boxes, scores);
    if (!context->status().ok()) return;
    const int64_t batch = scores.dim_size(0), results = settings_.max_outputs;
    tensorflow::Tensor *box_index, *class_index, *selected_scores, *count;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, results}, &box_index));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch, results}, &class_index));
    OP_REQUIRES_OK(context, context->allocate_output(2, {batch, results}, &selected_scores));
    OP_REQUIRES_OK(context, context->allocate_output(3, {batch}, &count));
    if (batch == 0) return;
    CascadeTfNms call = {};
    call.boxes = boxes.flat<float>().data();
    call.scores = scores.flat<float>().data();
    call.box_index = box_index->flat<int>().data();
    call.class_index = class_index->flat<int>().data();
    call.selected_scores = selected_scores->flat<float>().data();
    call.count = count->flat<int>().data();
    call.batch = batch;
    call.num_boxes = scores.dim_size(1);
    call.num_classes = scores.dim_size(2);
    call.box_sets = boxes.dim_size(2);
    call.max_outputs = settings_.max_outputs;
    call.iou_threshold = settings_.iou_threshold;
    call.score_threshold = settings_.score_threshold;
    Launch(context, &call);
  }

 protected:
  virtual void Launch(tensorflow::OpKernelContext* context, CascadeTfNms* call) const = 0;

  SuppressionSettings settings_;
  std::string name_;
};

class BatchedNmsGpuOp : public SuppressionGpuOp {
 public:
  explicit BatchedNmsGpuOp(tensorflow::OpKernelConstruction* context) : SuppressionGpuOp(context, "batched_nms") {}

 protected:
  void Launch(tensorflow::OpKernelContext* context, CascadeTfNms* call) const override {
    tensorflow::Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cascade_tf_nms_workspace(call), &workspace));
    const int error = cascade_tf_nms(call, workspace.data(), StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("batched_nms", error));
  }
};

class BatchedSoftNmsGpuOp : public SuppressionGpuOp {
 public:
  explicit BatchedSoftNmsGpuOp(tensorflow::OpKernelConstruction* context)
      : SuppressionGpuOp(context, "batched_soft_nms") {
    ReadDecay(context, settings_, &decay_);
  }

 protected:
  void Launch(tensorflow::OpKernelContext* context, CascadeTfNms* call) const override {
    call->sigma = decay_.sigma;
    call->gaussian = decay_.gaussian;
    tensorflow::Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cascade_tf_soft_nms_workspace(call), &workspace));
    const int error = cascade_tf_soft_nms(call, workspace.data(), StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("batched_soft_nms", error));
  }

 private:
  Decay decay_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedNms").Device(tensorflow::DEVICE_GPU), BatchedNmsGpuOp);
REGISTER_KERNEL_BUILDER(Name("CascadeTf>BatchedSoftNms").Device(tensorflow::DEVICE_GPU), BatchedSoftNmsGpuOp);

}  // namespace
}  // namespace cascade_tf
