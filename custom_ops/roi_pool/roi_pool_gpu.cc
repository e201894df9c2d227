// RoIPool and its gradient as TensorFlow's kernels for GPUs. The checks are those of the CPU's kernels.
#include "../common/gpu_kernel.h"
#include "roi_pool_gpu.h"
#include "roi_pool_inputs.h"

namespace cascade_tf {
namespace {

template <typename T>
CascadeTfMapPooling MakeCall(const RoiPoolSettings& settings, const tensorflow::Tensor& boxes,
                             const tensorflow::TensorShape& features, int64_t output_height, int64_t output_width) {
  CascadeTfMapPooling call = {};
  call.boxes = boxes.flat<float>().data();
  call.batch = boxes.dim_size(0);
  call.rois = boxes.dim_size(1);
  call.channels = features.dim_size(3);
  call.height = static_cast<int>(features.dim_size(1));
  call.width = static_cast<int>(features.dim_size(2));
  call.output_height = static_cast<int>(output_height);
  call.output_width = static_cast<int>(output_width);
  call.stride = settings.stride;
  call.pad_ratio = settings.pad_ratio;
  call.inclusive_boxes = settings.inclusive_boxes;
  call.element_type = TypeOnGpu<T>::value;
  return call;
}

template <typename T>
class RoiPoolGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiPoolGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &output_height_));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &output_width_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor &features = context->input(0), &boxes = context->input(1);
    OP_REQUIRES_OK(context, CheckBoxes("roi_pool", boxes));
    OP_REQUIRES_OK(context, CheckMap("roi_pool", features.shape(), boxes.dim_size(0)));
    OP_REQUIRES(context, features.dim_size(1) * features.dim_size(2) <= std::numeric_limits<int32_t>::max(),
                absl::InvalidArgumentError(absl::StrCat("roi_pool: on a GPU, features may have at most 2^31 - 1 cells, got ",
                                                        features.shape().DebugString())));
    CascadeTfMapPooling call = MakeCall<T>(settings_, boxes, features.shape(), output_height_, output_width_);
    call.features = features.data();
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(
                                {call.batch, call.rois, output_height_, output_width_, call.channels}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    OP_REQUIRES_OK(context, LaunchStatus("roi_pool", cascade_tf_roi_pool(&call, output->data(), StreamOf(context))));
  }

 private:
  RoiPoolSettings settings_;
  int output_height_, output_width_;
};

template <typename T>
class RoiPoolGradGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiPoolGradGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    CheckRoiPoolGradInputs(context);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &upstream = context->input(0), &features = context->input(1), &boxes = context->input(2);
    const tensorflow::TensorShape& shape = features.shape();
    CascadeTfMapPooling call =
        MakeCall<T>(settings_, boxes, shape, upstream.dim_size(2), upstream.dim_size(3));
    call.features = features.data();
    tensorflow::Tensor* gradient;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &gradient));
    if (gradient->NumElements() == 0) return;
    tensorflow::Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cascade_tf_roi_pool_grad_workspace(&call), &workspace));
    const int error = cascade_tf_roi_pool_grad(&call, upstream.data(), gradient->data(), workspace.data(),
                                               StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("roi_pool", error));
  }

 private:
  RoiPoolSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                             \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiPool").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), \
                          RoiPoolGpuOp<T>)                                                                 \
  REGISTER_KERNEL_BUILDER(                                                                                 \
      Name("CascadeTf>RoiPoolGrad").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"),              \
      RoiPoolGradGpuOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(Eigen::half);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
