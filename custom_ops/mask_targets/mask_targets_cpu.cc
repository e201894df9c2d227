// Cutting out of masks on the CPU: threads take ranges of boxes.

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "mask_targets.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

inline float PixelAt(const uint8_t* row, int x) { return static_cast<float>((row[x >> 3] >> (7 - (x & 7))) & 1); }

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
    OP_REQUIRES_OK(context, context->GetAttr("output_size", &output_size_));
    OP_REQUIRES(context, output_size_ >= 1 && output_size_ <= kMaxOutput,
                absl::InvalidArgumentError(
                    absl::StrCat("crop_masks: output_size must be in 1..", kMaxOutput, ", got ", output_size_)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &masks = context->input(0), &boxes = context->input(2);
    CheckShapes(context);
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
  static constexpr int kMaxOutput = 1024;

  static void CheckShapes(OpKernelContext* context) {
    const Tensor &masks = context->input(0), &image_size = context->input(1), &boxes = context->input(2),
                 &object_index = context->input(3), &valid = context->input(4);
    OP_REQUIRES(context, masks.dims() == 4,
                absl::InvalidArgumentError(absl::StrCat("crop_masks: masks must be [B, G, H, W / 8], got ",
                                                        masks.shape().DebugString())));
    const int64_t batch = masks.dim_size(0);
    OP_REQUIRES(context, image_size.dims() == 2 && image_size.dim_size(0) == batch && image_size.dim_size(1) == 2,
                absl::InvalidArgumentError(absl::StrCat("crop_masks: image_size must be [", batch, ", 2], got ",
                                                        image_size.shape().DebugString())));
    OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(0) == batch && boxes.dim_size(2) == 4,
                absl::InvalidArgumentError(absl::StrCat("crop_masks: boxes must be [", batch, ", S, 4], got ",
                                                        boxes.shape().DebugString())));
    for (const Tensor* tensor : {&object_index, &valid}) {
      OP_REQUIRES(context,
                  tensor->dims() == 2 && tensor->dim_size(0) == batch && tensor->dim_size(1) == boxes.dim_size(1),
                  absl::InvalidArgumentError(absl::StrCat("crop_masks: object_index and valid must be [B, S] as boxes ",
                                                          boxes.shape().DebugString(), ", got ",
                                                          tensor->shape().DebugString())));
    }
  }

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
    float pixels[4];
    for (int i = 0; i < 4; ++i) {
      pixels[i] = box[i] - 0.5f;
      if (!IsUsable(pixels[i])) return;
    }
    const AxisExtent x = MakeExtent(pixels[0], pixels[2], output_size_, 0, true);
    const AxisExtent y = MakeExtent(pixels[1], pixels[3], output_size_, 0, true);
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
