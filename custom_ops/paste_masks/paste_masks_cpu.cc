// Pasting of masks on the CPU: threads take ranges of masks.
#include <cstring>

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "paste_masks_inputs.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

// One row of pixels between two rows of cells, whose values start with the border cell. `out` is the image's row,
// zero so far.
CASCADE_TF_VECTORIZED
void PasteRow(const float* top, const float* bottom, float top_weight, float bottom_weight, const PixelAxis& columns,
              float threshold, bool* out) {
  for (const CellRun& run : columns.runs) {
    const float a = top[run.cell], b = top[run.cell + 1], c = bottom[run.cell], d = bottom[run.cell + 1];
    if (IsHopeless(a, b, c, d, threshold)) continue;
    const int count = run.end - run.begin;
    bool* __restrict__ pixel = out + run.begin;
    if (IsCertain(a, b, c, d, threshold)) {
      std::memset(pixel, 1, count);
      continue;
    }
    const float* __restrict__ left = columns.lower.data() + (run.begin - columns.first);
    const float* __restrict__ right = columns.upper.data() + (run.begin - columns.first);
    for (int i = 0; i < count; ++i) {
      pixel[i] = Interpolate(a, b, c, d, left[i], right[i], top_weight, bottom_weight) >= threshold;
    }
  }
}

class PasteMasksOp : public tensorflow::OpKernel {
 public:
  explicit PasteMasksOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadThreshold(context, &threshold_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    int height, width;
    CheckPasteInputs(context, &height, &width);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &masks = context->input(0), &boxes = context->input(1);
    tensorflow::Tensor* output;
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape({masks.dim_size(0), height, width}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    const int64_t pixels = int64_t{height} * width;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, masks.dim_size(0), 1000 + pixels / 4,
                      [&](int64_t begin, int64_t end) {
                        PixelAxis rows, columns;
                        for (int64_t n = begin; n < end; ++n) {
                          Paste(masks, boxes.flat<float>().data() + 4 * n, n, height, width, &rows, &columns,
                                output->flat<bool>().data() + n * pixels);
                        }
                      });
  }

 private:
  void Paste(const tensorflow::Tensor& masks, const float* box, int64_t index, int height, int width, PixelAxis* rows,
             PixelAxis* columns, bool* out) const {
    std::memset(out, 0, int64_t{height} * width * sizeof(bool));
    if (!HasArea(box)) return;
    const int mask_height = static_cast<int>(masks.dim_size(1)), mask_width = static_cast<int>(masks.dim_size(2));
    const int64_t stride = mask_width + 2;
    std::vector<float> padded((mask_height + 2) * stride, 0.0f);
    const float* mask = masks.flat<float>().data() + index * mask_height * mask_width;
    for (int row = 0; row < mask_height; ++row) {
      std::copy_n(mask + int64_t{row} * mask_width, mask_width, padded.data() + (row + 1) * stride + 1);
    }
    MakePixelAxis(box[1], box[3], height, mask_height, rows);
    MakePixelAxis(box[0], box[2], width, mask_width, columns);
    for (const CellRun& run : rows->runs) {
      const float* top = padded.data() + run.cell * stride;
      for (int row = run.begin; row < run.end; ++row) {
        PasteRow(top, top + stride, rows->lower[row - rows->first], rows->upper[row - rows->first], *columns,
                 threshold_, out + int64_t{row} * width);
      }
    }
  }

  float threshold_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>PasteMasks").Device(tensorflow::DEVICE_CPU), PasteMasksOp);

}  // namespace
}  // namespace cascade_tf
