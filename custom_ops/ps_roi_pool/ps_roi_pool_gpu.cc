// Position-sensitive pooling and its gradient as TensorFlow's kernels for GPUs. The checks are those of the CPU's kernels.
#include "../common/gpu_kernel.h"
#include "ps_roi_pool_gpu.h"
#include "ps_roi_pool_inputs.h"

namespace cascade_tf {
namespace {

template <typename T>
CascadeTfMapPooling MakeCall(const PsRoiPoolSettings& settings, const tensorflow::Tensor& boxes,
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
  call.inclusive_boxes = settings.inclusive_boxes;
  call.element_type = TypeOnGpu<T>::value;
  return call;
}

template <typename T>
class PsRoiPoolGpuOp : public tensorflow::OpKernel {
 public:
  explicit PsRoiPoolGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &output_height_));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &output_width_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const int64_t bins = int64_t{output_height_} * output_width_;
    CheckPsRoiPoolInputs(context, bins);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &features = context->input(0), &boxes = context->input(1);
    CascadeTfMapPooling call = MakeCall<T>(settings_, boxes, features.shape(), output_height_, output_width_);
    call.features = features.data();
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(
                                {call.batch, call.rois, output_height_, output_width_, call.channels / bins}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    OP_REQUIRES_OK(context, LaunchStatus("ps_roi_pool", cascade_tf_ps_roi_pool(&call, output->data(), StreamOf(context))));
  }

 private:
  PsRoiPoolSettings settings_;
  int output_height_, output_width_;
};

template <typename T>
class PsRoiPoolGradGpuOp : public tensorflow::OpKernel {
 public:
  explicit PsRoiPoolGradGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::TensorShape shape;
    CheckPsRoiPoolGradInputs(context, &shape);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &upstream = context->input(0), &boxes = context->input(1);
    CascadeTfMapPooling call =
        MakeCall<T>(settings_, boxes, shape, upstream.dim_size(2), upstream.dim_size(3));
    tensorflow::Tensor* gradient;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &gradient));
    if (gradient->NumElements() == 0) return;
    tensorflow::Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cascade_tf_ps_roi_pool_grad_workspace(&call), &workspace));
    const int error = cascade_tf_ps_roi_pool_grad(&call, upstream.data(), gradient->data(), workspace.data(),
                                               StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("ps_roi_pool", error));
  }

 private:
  PsRoiPoolSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                             \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>PsRoiPool").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), \
                          PsRoiPoolGpuOp<T>)                                                                 \
  REGISTER_KERNEL_BUILDER(                                                                                 \
      Name("CascadeTf>PsRoiPoolGrad").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T").HostMemory("features_shape"),              \
      PsRoiPoolGradGpuOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(Eigen::half);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
