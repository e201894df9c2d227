// Pasting of masks as TensorFlow's kernel for GPUs. The checks are those of the CPU's kernel.
#include "../common/gpu_kernel.h"
#include "paste_masks_gpu.h"
#include "paste_masks_inputs.h"

namespace cascade_tf {
namespace {

class PasteMasksGpuOp : public tensorflow::OpKernel {
 public:
  explicit PasteMasksGpuOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadThreshold(context, &threshold_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    CascadeTfPasteMasks call = {};
    CheckPasteInputs(context, &call.height, &call.width);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &masks = context->input(0), &boxes = context->input(1);
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape({masks.dim_size(0), call.height, call.width}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    call.masks = masks.flat<float>().data();
    call.boxes = boxes.flat<float>().data();
    call.pasted = reinterpret_cast<uint8_t*>(output->flat<bool>().data());
    call.count = masks.dim_size(0);
    call.mask_height = static_cast<int>(masks.dim_size(1));
    call.mask_width = static_cast<int>(masks.dim_size(2));
    call.threshold = threshold_;
    OP_REQUIRES_OK(context, LaunchStatus("paste_masks", cascade_tf_paste_masks(&call, StreamOf(context))));
  }

 private:
  float threshold_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>PasteMasks").Device(tensorflow::DEVICE_GPU).HostMemory("image_size"),
                        PasteMasksGpuOp);

}  // namespace
}  // namespace cascade_tf
