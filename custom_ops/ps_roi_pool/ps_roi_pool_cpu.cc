// Position-sensitive pooling on the CPU, in two steps.
//
// The classes of a bin lie far apart among a cell's channels. So the map is first written anew with the classes of
// each bin side by side, which reads and writes each cell once; then threads take ranges of RoIs.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "ps_roi_pool_inputs.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

// out[bin][class] = cell[class][bin]
template <typename Element>
[[gnu::always_inline]] inline void GroupByBin(const Element* __restrict__ cell, int64_t bins, int64_t classes,
                                              Element* __restrict__ out) {
  for (int64_t bin = 0; bin < bins; ++bin) {
    for (int64_t d = 0; d < classes; ++d) out[bin * classes + d] = cell[d * bins + bin];
  }
}

// out[d] = mean over a rectangle of cells; `sum` is room for the classes of a wider type.
template <typename Element>
[[gnu::always_inline]] inline void MeanOfRectangle(const Element* first, int rows, int columns, int64_t row_stride,
                                                   int64_t cell_stride, int64_t classes, float* __restrict__ sum,
                                                   Element* __restrict__ out) {
  std::memset(sum, 0, classes * sizeof(float));
  for (int row = 0; row < rows; ++row) {
    const Element* cell = first + row * row_stride;
    for (int column = 0; column < columns; ++column, cell += cell_stride) {
      for (int64_t d = 0; d < classes; ++d) sum[d] += ToFloat(cell[d]);
    }
  }
  const float area = static_cast<float>(int64_t{rows} * columns);
  for (int64_t d = 0; d < classes; ++d) Store(sum[d] / area, out + d);
}

CASCADE_TF_VECTORIZED
void MeanOfCells(const float* first, int rows, int columns, int64_t row_stride, int64_t cell_stride, int64_t classes,
                 float* sum, float* out) {
  MeanOfRectangle(first, rows, columns, row_stride, cell_stride, classes, sum, out);
}

CASCADE_TF_VECTORIZED
void MeanOfCells(const Bfloat16* first, int rows, int columns, int64_t row_stride, int64_t cell_stride,
                 int64_t classes, float* sum, Bfloat16* out) {
  MeanOfRectangle(first, rows, columns, row_stride, cell_stride, classes, sum, out);
}

template <typename T>
class PsRoiPoolOp : public tensorflow::OpKernel {
 public:
  explicit PsRoiPoolOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &output_height_));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &output_width_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    const int64_t bins = int64_t{output_height_} * output_width_;
    CheckPsRoiPoolInputs(context, bins);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &features = context->input(0), &boxes = context->input(1);
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1), channels = features.dim_size(3);
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(
                                {batch, num_rois, output_height_, output_width_, channels / bins}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    tensorflow::Tensor grouped;
    OP_REQUIRES_OK(context, context->allocate_temp(features.dtype(), features.shape(), &grouped));
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    const Element* values = ReadFrom<T>(features);
    Element* by_bin = WriteTo<T>(&grouped);
    tensorflow::Shard(workers.num_threads, workers.workers, features.NumElements() / channels, 2 * channels,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t cell = begin; cell < end; ++cell) {
                          GroupByBin(values + cell * channels, bins, channels / bins, by_bin + cell * channels);
                        }
                      });
    // Rough number of cycles: a bin has some ten cells.
    const int64_t cost = 500 + bins * (100 + 2 * channels / bins);
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_rois, cost,
                      [&](int64_t begin, int64_t end) { PoolRange(grouped, boxes, begin, end, output); });
  }

 private:
  using Element = typename InMemory<T>::type;

  void PoolRange(const tensorflow::Tensor& grouped, const tensorflow::Tensor& boxes, int64_t begin, int64_t end,
                 tensorflow::Tensor* output) const {
    const int64_t num_rois = boxes.dim_size(1), channels = grouped.dim_size(3);
    const int height = static_cast<int>(grouped.dim_size(1)), width = static_cast<int>(grouped.dim_size(2));
    const int64_t classes = output->dim_size(4);
    std::vector<CellRange> rows(output_height_), columns(output_width_);
    std::vector<float> sum(classes);
    for (int64_t roi = begin; roi < end; ++roi) {
      Element* out = WriteTo<T>(output) + roi * channels;
      if (!MakeMeanBins(settings_, boxes.flat<float>().data() + 4 * roi, height, width, &rows, &columns)) {
        std::memset(out, 0, channels * sizeof(Element));
        continue;
      }
      const Element* map = ReadFrom<T>(grouped) + roi / num_rois * height * width * channels;
      // A bin's channels begin where its results do.
      for (const CellRange& row : rows) {
        for (const CellRange& column : columns) {
          if (row.empty() || column.empty()) {
            std::memset(out, 0, classes * sizeof(Element));
          } else {
            const Element* first = map + (int64_t{row.begin} * width + column.begin) * channels;
            MeanOfCells(first, row.end - row.begin, column.end - column.begin, width * channels, channels, classes,
                        sum.data(), out);
          }
          out += classes;
          map += classes;
        }
      }
    }
  }

  PsRoiPoolSettings settings_;
  int output_height_, output_width_;
};

#define CASCADE_TF_REGISTER(T)                                                                               \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>PsRoiPool").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          PsRoiPoolOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
