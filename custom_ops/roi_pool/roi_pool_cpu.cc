// RoIPool on the CPU: RoIs are independent, so threads take ranges of them.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "roi_pool_inputs.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

// Channels whose largest values stay in registers while the cells of a bin pass.
constexpr int kMaxBlock = 64;

// True for a NaN beside numbers.
[[gnu::always_inline]] inline float Larger(float best, float value) {
  return (value > best) | (value != value) ? value : best;
}

// out[c] = largest over a rectangle of cells, for `count` channels; kFull: count is kMaxBlock.
template <bool kFull, typename Element>
[[gnu::always_inline]] inline void MaxOfBlock(const Element* first, int rows, int columns, int64_t row_stride,
                                              int64_t cell_stride, int64_t count, Element* __restrict__ out) {
  float best[kMaxBlock];
  const int64_t size = kFull ? kMaxBlock : count;
  for (int64_t c = 0; c < size; ++c) best[c] = ToFloat(first[c]);
  for (int row = 0; row < rows; ++row) {
    const Element* cell = first + row * row_stride;
    for (int column = 0; column < columns; ++column, cell += cell_stride) {
      for (int64_t c = 0; c < size; ++c) best[c] = Larger(best[c], ToFloat(cell[c]));
    }
  }
  for (int64_t c = 0; c < size; ++c) Store(best[c], out + c);
}

template <typename Element>
[[gnu::always_inline]] inline void MaxOfChannels(const Element* first, int rows, int columns, int64_t row_stride,
                                                 int64_t channels, Element* out) {
  int64_t c = 0;
  for (; c + kMaxBlock <= channels; c += kMaxBlock) {
    MaxOfBlock<true>(first + c, rows, columns, row_stride, channels, kMaxBlock, out + c);
  }
  if (c < channels) MaxOfBlock<false>(first + c, rows, columns, row_stride, channels, channels - c, out + c);
}

CASCADE_TF_VECTORIZED
void MaxOfCells(const float* first, int rows, int columns, int64_t row_stride, int64_t channels, float* out) {
  MaxOfChannels(first, rows, columns, row_stride, channels, out);
}

CASCADE_TF_VECTORIZED
void MaxOfCells(const Bfloat16* first, int rows, int columns, int64_t row_stride, int64_t channels, Bfloat16* out) {
  MaxOfChannels(first, rows, columns, row_stride, channels, out);
}

template <typename T>
class RoiPoolOp : public tensorflow::OpKernel {
 public:
  explicit RoiPoolOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &output_height_));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &output_width_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const tensorflow::Tensor &features = context->input(0), &boxes = context->input(1);
    OP_REQUIRES_OK(context, CheckBoxes("roi_pool", boxes));
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1);
    OP_REQUIRES_OK(context, CheckMap("roi_pool", features.shape(), batch));
    const int64_t channels = features.dim_size(3);
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(
                                {batch, num_rois, output_height_, output_width_, channels}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    // Rough number of cycles: a bin has some ten cells.
    const int64_t cost = 500 + int64_t{output_height_} * output_width_ * (50 + channels);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_rois, cost,
                      [&](int64_t begin, int64_t end) { PoolRange(features, boxes, begin, end, output); });
  }

 private:
  using Element = typename InMemory<T>::type;

  void PoolRange(const tensorflow::Tensor& features, const tensorflow::Tensor& boxes, int64_t begin, int64_t end,
                 tensorflow::Tensor* output) const {
    const int64_t num_rois = boxes.dim_size(1), channels = features.dim_size(3);
    const int height = static_cast<int>(features.dim_size(1)), width = static_cast<int>(features.dim_size(2));
    const int64_t size = int64_t{output_height_} * output_width_ * channels;
    std::vector<CellRange> rows(output_height_), columns(output_width_);
    for (int64_t roi = begin; roi < end; ++roi) {
      Element* out = WriteTo<T>(output) + roi * size;
      if (!MakeMaxBins(settings_, boxes.flat<float>().data() + 4 * roi, height, width, &rows, &columns)) {
        std::memset(out, 0, size * sizeof(Element));
        continue;
      }
      const Element* map = ReadFrom<T>(features) + roi / num_rois * height * width * channels;
      for (const CellRange& row : rows) {
        for (const CellRange& column : columns) {
          PoolBin(map, width, channels, row, column, out);
          out += channels;
        }
      }
    }
  }

  static void PoolBin(const Element* map, int width, int64_t channels, CellRange row, CellRange column, Element* out) {
    if (row.empty() || column.empty()) {
      std::memset(out, 0, channels * sizeof(Element));
      return;
    }
    const Element* first = map + (int64_t{row.begin} * width + column.begin) * channels;
    MaxOfCells(first, row.end - row.begin, column.end - column.begin, width * channels, channels, out);
  }

  RoiPoolSettings settings_;
  int output_height_, output_width_;
};

#define CASCADE_TF_REGISTER(T)                                                                             \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiPool").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RoiPoolOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
