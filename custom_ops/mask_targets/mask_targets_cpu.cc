// Cutting out of masks on the CPU: threads take ranges of boxes.

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "mask_targets_inputs.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

// Adds one row of samples to the sums of `bins` bins.
CASCADE_TF_VECTORIZED
void AddSampleRow(const uint8_t* top, const uint8_t* bottom, float top_weight, float bottom_weight,
                  const PixelPair* columns, int bins, int ratio, float* sums) {
  for (int bin = 0; bin < bins; ++bin) {
    float sum = sums[bin];
    for (int sample = 0; sample < ratio; ++sample, ++columns) {
      const PixelPair x = *columns;
      sum += (top_weight * x.lower_weight) * PixelAt(top, x.lower) +
             (top_weight * x.upper_weight) * PixelAt(top, x.upper) +
             (bottom_weight * x.lower_weight) * PixelAt(bottom, x.lower) +
             (bottom_weight * x.upper_weight) * PixelAt(bottom, x.upper);
    }
    sums[bin] = sum;
  }
}

class CropMasksOp : public tensorflow::OpKernel {
 public:
  explicit CropMasksOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    output_size_ = ReadOutputSize(context);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &masks = context->input(0), &boxes = context->input(2);
    CheckMaskShapes(context);
    if (!context->status().ok()) return;
    CheckValues(context);
    if (!context->status().ok()) return;
    Tensor* output;
    tensorflow::TensorShape shape;
    const int64_t batch = boxes.dim_size(0), num_boxes = boxes.dim_size(1);
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape({batch, num_boxes, output_size_, output_size_}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    output->flat<float>().setZero();

    const int* size = context->input(1).flat<int>().data();
    const float* box = boxes.flat<float>().data();
    const int* object_index = context->input(3).flat<int>().data();
    const bool* valid = context->input(4).flat<bool>().data();
    const int64_t row_bytes = masks.dim_size(3), mask_bytes = masks.dim_size(2) * row_bytes;
    const int64_t bins = int64_t{output_size_} * output_size_;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_boxes, 200 * bins,
                      [&](int64_t begin, int64_t end) {
                        std::vector<PixelPair> rows, columns;
                        for (int64_t i = begin; i < end; ++i) {
                          if (!valid[i]) continue;
                          const int64_t image = i / num_boxes, object = image * masks.dim_size(1) + object_index[i];
                          Crop(masks.flat<uint8_t>().data() + object * mask_bytes, row_bytes, size + 2 * image,
                               box + 4 * i, &rows, &columns, output->flat<float>().data() + i * bins);
                        }
                      });
  }

 private:
  // Every index that Crop uses follows from these values.
  static void CheckValues(OpKernelContext* context) {
    const Tensor &masks = context->input(0), &image_size = context->input(1), &object_index = context->input(3),
                 &valid = context->input(4);
    const int64_t height = masks.dim_size(2), width = 8 * masks.dim_size(3);
    for (int64_t image = 0; image < masks.dim_size(0); ++image) {
      const int h = image_size.matrix<int>()(image, 0), w = image_size.matrix<int>()(image, 1);
      OP_REQUIRES(context, h >= 0 && w >= 0 && h <= height && w <= width,
                  absl::InvalidArgumentError(absl::StrCat("crop_masks: image_size must be within the masks' ", height,
                                                          " x ", width, " pixels, got ", h, " x ", w)));
      for (int64_t i = 0; i < valid.dim_size(1); ++i) {
        const int object = object_index.matrix<int>()(image, i);
        OP_REQUIRES(context, !valid.matrix<bool>()(image, i) || (object >= 0 && object < masks.dim_size(1)),
                    absl::InvalidArgumentError(absl::StrCat("crop_masks: object_index must be in 0..G-1 with G = ",
                                                            masks.dim_size(1), ", got ", object)));
      }
    }
  }

  void Crop(const uint8_t* mask, int64_t row_bytes, const int* size, const float* box, std::vector<PixelPair>* rows,
            std::vector<PixelPair>* columns, float* out) const {
    if (size[0] == 0 || size[1] == 0) return;
    AxisExtent x, y;
    if (!MakeMaskExtents(box, output_size_, &x, &y)) return;
    MakePixelPairs(y, output_size_, size[0], rows);
    MakePixelPairs(x, output_size_, size[1], columns);
    const float count = static_cast<float>(std::max(x.ratio * y.ratio, 1));
    const PixelPair* row = rows->data();
    for (int bin_row = 0; bin_row < output_size_; ++bin_row, out += output_size_) {
      for (int sample = 0; sample < y.ratio; ++sample, ++row) {
        AddSampleRow(mask + row->lower * row_bytes, mask + row->upper * row_bytes, row->lower_weight,
                     row->upper_weight, columns->data(), output_size_, x.ratio, out);
      }
      for (int bin = 0; bin < output_size_; ++bin) out[bin] = out[bin] / count >= 0.5f ? 1.0f : 0.0f;
    }
  }

  int output_size_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>CropMasks").Device(tensorflow::DEVICE_CPU), CropMasksOp);

}  // namespace
}  // namespace cascade_tf
