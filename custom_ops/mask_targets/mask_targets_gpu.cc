// The cutting out of masks as TensorFlow's kernel for GPUs. The checks of shapes are those of the CPU's kernel.
#include "../common/gpu_kernel.h"
#include "mask_targets_gpu.h"
#include "mask_targets_inputs.h"

namespace cascade_tf {
namespace {

class CropMasksGpuOp : public tensorflow::OpKernel {
 public:
  explicit CropMasksGpuOp(tensorflow::OpKernelConstruction* context)
      : OpKernel(context), output_size_(ReadOutputSize(context)) {}

  void Compute(tensorflow::OpKernelContext* context) override {
    CheckMaskShapes(context);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &masks = context->input(0), &boxes = context->input(2);
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(
                                {boxes.dim_size(0), boxes.dim_size(1), output_size_, output_size_}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    CascadeTfCropMasks call = {};
    call.masks = masks.flat<uint8_t>().data();
    call.image_size = context->input(1).flat<int>().data();
    call.boxes = boxes.flat<float>().data();
    call.object_index = context->input(3).flat<int>().data();
    call.valid = reinterpret_cast<const uint8_t*>(context->input(4).flat<bool>().data());
    call.targets = output->flat<float>().data();
    call.batch = masks.dim_size(0);
    call.objects = masks.dim_size(1);
    call.height = masks.dim_size(2);
    call.row_bytes = masks.dim_size(3);
    call.num_boxes = boxes.dim_size(1);
    call.output_size = output_size_;
    OP_REQUIRES_OK(context, LaunchStatus("crop_masks", cascade_tf_crop_masks(&call, StreamOf(context))));
  }

 private:
  int output_size_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>CropMasks").Device(tensorflow::DEVICE_GPU), CropMasksGpuOp);

}  // namespace
}  // namespace cascade_tf
