// Resizing on the CPU: threads take ranges of rows. A row of the result is made from rows of the source at once, so
// that no whole image is ever in float32.
#include <cstring>
#include <vector>

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "resize.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

constexpr int kColours = 3;

// out[i] = sum over taps of weights[t] * rows[t * stride + i]
CASCADE_TF_VECTORIZED
void BlendRows(const uint8_t* __restrict__ rows, int64_t stride, const float* weights, int taps,
               float* __restrict__ out) {
  if (taps == 2) {
    const uint8_t* next = rows + stride;
    const float a = weights[0], b = weights[1];
    for (int64_t i = 0; i < stride; ++i) out[i] = a * static_cast<float>(rows[i]) + b * static_cast<float>(next[i]);
    return;
  }
  for (int64_t i = 0; i < stride; ++i) out[i] = weights[0] * static_cast<float>(rows[i]);
  for (int tap = 1; tap < taps; ++tap) {
    const uint8_t* row = rows + tap * stride;
    const float weight = weights[tap];
    for (int64_t i = 0; i < stride; ++i) out[i] += weight * static_cast<float>(row[i]);
  }
}

// A pixel with a lane more than it has colours: it is read and written as a whole, and the next one corrects what
// was written too much.
typedef float Pixel __attribute__((vector_size(16)));
typedef int Levels __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(4)));

inline Pixel ReadPixel(const float* row) {
  Pixel pixel;
  std::memcpy(&pixel, row, sizeof(pixel));
  return pixel;
}

// Writes kColours + 1 bytes for each pixel; `row` has a float more than its pixels.
CASCADE_TF_VECTORIZED
void BlendColumns(const float* __restrict__ row, const int* first, const float* weights, int taps, int pixels,
                  uint8_t* __restrict__ out) {
  for (int i = 0; i < pixels; ++i, weights += taps, out += kColours) {
    const float* source = row + int64_t{kColours} * first[i];
    Pixel sum = weights[0] * ReadPixel(source);
    for (int tap = 1; tap < taps; ++tap) sum += weights[tap] * ReadPixel(source + kColours * tap);
    // Means of bytes are neither negative nor much above 255, so cutting off is rounding down, to a byte.
    const Bytes bytes = __builtin_convertvector(__builtin_convertvector(sum + 0.5f, Levels), Bytes);
    std::memcpy(out, &bytes, sizeof(bytes));
  }
}

class ResizeAndPadOp : public tensorflow::OpKernel {
 public:
  explicit ResizeAndPadOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("multiple", &multiple_));
    OP_REQUIRES(context, multiple_ >= 1,
                absl::InvalidArgumentError(
                    absl::StrCat("resize_and_pad: multiple must be at least 1, got ", multiple_)));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor &image = context->input(0), &size = context->input(1), &flip = context->input(2);
    OP_REQUIRES(context, image.dims() == 3 && image.dim_size(2) == kColours && image.NumElements() > 0 &&
                             image.dim_size(0) < kMaxSize && image.dim_size(1) < kMaxSize,
                absl::InvalidArgumentError(absl::StrCat("resize_and_pad: image must be [H, W, 3] with H, W >= 1, got ",
                                                        image.shape().DebugString())));
    OP_REQUIRES(context, size.dims() == 1 && size.NumElements() == 2 && flip.dims() == 0,
                absl::InvalidArgumentError(absl::StrCat(
                    "resize_and_pad: size must be (height, width) and flip a scalar, got shapes ",
                    size.shape().DebugString(), " and ", flip.shape().DebugString())));
    const int height = size.vec<int>()(0), width = size.vec<int>()(1);
    OP_REQUIRES(context, height >= 1 && width >= 1 && height < kMaxSize && width < kMaxSize && multiple_ < kMaxSize,
                absl::InvalidArgumentError(absl::StrCat("resize_and_pad: size must be in 1..", kMaxSize - 1, ", got ",
                                                        height, " x ", width)));
    tensorflow::Tensor* output;
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape({Padded(height), Padded(width), kColours}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    const ResizeTaps rows = MakeResizeTaps(static_cast<int>(image.dim_size(0)), height, false);
    const ResizeTaps columns = MakeResizeTaps(static_cast<int>(image.dim_size(1)), width, flip.scalar<bool>()());
    const int64_t cost = image.dim_size(1) * kColours * rows.count / 4 + int64_t{width} * 4 * columns.count;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, output->dim_size(0), cost, [&](int64_t begin, int64_t end) {
      MakeRows(image, rows, columns, begin, end, output);
    });
  }

 private:
  // Float32 counts pixels exactly up to here.
  static constexpr int kMaxSize = 1 << 24;

  int64_t Padded(int64_t side) const { return (side + multiple_ - 1) / multiple_ * multiple_; }

  static void MakeRows(const tensorflow::Tensor& image, const ResizeTaps& rows, const ResizeTaps& columns,
                       int64_t begin, int64_t end, tensorflow::Tensor* output) {
    const int64_t stride = image.dim_size(1) * kColours, out_stride = output->dim_size(1) * kColours;
    const int64_t height = static_cast<int64_t>(rows.first.size());
    const int pixels = static_cast<int>(columns.first.size());
    const uint8_t* source = image.flat<uint8_t>().data();
    std::vector<float> blended(stride + 1, 0.0f);
    std::vector<uint8_t> line(out_stride + 1, 0);
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* out = output->flat<uint8_t>().data() + row * out_stride;
      if (row >= height) {
        std::memset(out, 0, out_stride);
        continue;
      }
      BlendRows(source + rows.first[row] * stride, stride, rows.weights.data() + row * rows.count, rows.count,
                blended.data());
      BlendColumns(blended.data(), columns.first.data(), columns.weights.data(), columns.count, pixels, line.data());
      line[int64_t{pixels} * kColours] = 0;
      std::memcpy(out, line.data(), out_stride);
    }
  }

  int multiple_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>ResizeAndPad").Device(tensorflow::DEVICE_CPU), ResizeAndPadOp);

}  // namespace
}  // namespace cascade_tf
