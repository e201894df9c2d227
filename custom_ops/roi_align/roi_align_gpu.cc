// RoIAlign and its gradient as TensorFlow's kernels for GPUs. The checks are those of the CPU's kernels.
#include "../common/gpu_kernel.h"
#include "roi_align_gpu.h"
#include "roi_align_inputs.h"

namespace cascade_tf {
namespace {

// What the launchers of both directions need beside the maps.
template <typename T>
CascadeTfRoiAlign MakeCall(const RoiAlignSettings& settings, const tensorflow::Tensor& boxes,
                           const tensorflow::Tensor& levels, const tensorflow::Tensor& map_sizes, int64_t channels) {
  CascadeTfRoiAlign call = {};
  call.boxes = boxes.flat<float>().data();
  call.levels = levels.flat<int>().data();
  call.map_sizes = map_sizes.NumElements() == 0 ? nullptr : map_sizes.flat<int>().data();
  call.batch = boxes.dim_size(0);
  call.rois = boxes.dim_size(1);
  call.channels = channels;
  call.element_type = TypeOnGpu<T>::value;
  call.num_levels = static_cast<int>(settings.strides.size());
  call.output_height = settings.output_height;
  call.output_width = settings.output_width;
  call.sampling_ratio = settings.sampling_ratio;
  call.aligned = settings.aligned;
  std::copy(settings.strides.begin(), settings.strides.end(), call.strides);
  return call;
}

void ReadGpuSettings(tensorflow::OpKernelConstruction* context, RoiAlignSettings* settings) {
  ReadSettings(context, settings);
  if (!context->status().ok()) return;
  OP_REQUIRES(context, settings->strides.size() <= kCascadeTfMaxLevels,
              absl::InvalidArgumentError(absl::StrCat("roi_align: on a GPU there may be at most ", kCascadeTfMaxLevels,
                                                      " levels, got ", settings->strides.size())));
}

template <typename T>
class RoiAlignGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiAlignGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadGpuSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &settings_.output_height));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &settings_.output_width));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    RoiAlignInputs inputs;
    ReadInputs(context, &inputs);
    if (!context->status().ok()) return;
    const int64_t channels = inputs.features[0].dim_size(3);
    CascadeTfRoiAlign call = MakeCall<T>(settings_, *inputs.boxes, *inputs.levels, *inputs.map_sizes, channels);
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape(
                       {call.batch, call.rois, settings_.output_height, settings_.output_width, channels}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    for (int i = 0; i < call.num_levels; ++i) {
      call.features[i] = inputs.features[i].data();
      call.heights[i] = static_cast<int>(inputs.features[i].dim_size(1));
      call.widths[i] = static_cast<int>(inputs.features[i].dim_size(2));
    }
    const int error = cascade_tf_roi_align(&call, output->data(), StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("roi_align", error));
  }

 private:
  RoiAlignSettings settings_;
};

template <typename T>
class RoiAlignGradGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiAlignGradGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadGpuSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    RoiAlignGradInputs inputs;
    ReadInputs(context, &inputs);
    if (!context->status().ok()) return;
    RoiAlignSettings settings = settings_;
    settings.output_height = static_cast<int>(inputs.upstream->dim_size(2));
    settings.output_width = static_cast<int>(inputs.upstream->dim_size(3));
    CascadeTfRoiAlign call =
        MakeCall<T>(settings, *inputs.boxes, *inputs.levels, *inputs.map_sizes, inputs.upstream->dim_size(4));
    for (int i = 0; i < call.num_levels; ++i) {
      tensorflow::Tensor* gradient;
      OP_REQUIRES_OK(context, AllocateGradient(context, inputs, i, &gradient));
      call.gradients[i] = gradient->data();
      call.features[i] = inputs.others.size() == 0 ? nullptr : inputs.others[i].data();
      call.heights[i] = static_cast<int>(inputs.shapes[i].dim_size(1));
      call.widths[i] = static_cast<int>(inputs.shapes[i].dim_size(2));
    }
    tensorflow::Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cascade_tf_roi_align_grad_workspace(&call), &workspace));
    const int error =
        cascade_tf_roi_align_grad(&call, inputs.upstream->data(), workspace.data(), StreamOf(context));
    OP_REQUIRES_OK(context, LaunchStatus("roi_align", error));
  }

 private:
  RoiAlignSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                              \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlign").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), \
                          RoiAlignGpuOp<T>)                                                                 \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlignGrad")                                                    \
                              .Device(tensorflow::DEVICE_GPU)                                               \
                              .TypeConstraint<T>("T")                                                       \
                              .HostMemory("feature_shapes"),                                                \
                          RoiAlignGradGpuOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(Eigen::half);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
