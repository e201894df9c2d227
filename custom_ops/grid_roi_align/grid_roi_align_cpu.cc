// The grid RoIAlign on the CPU: RoIs are independent, so threads take ranges of them.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "grid_roi_align_inputs.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

// point[c] = the bilinear sample between four cells
template <typename Element>
[[gnu::always_inline]] inline void BilinearSample(const Element* upper_row, const Element* lower_row, int64_t left,
                                                  int64_t right, const float* weights, int64_t channels,
                                                  float* __restrict__ point) {
  const Element *a = upper_row + left, *b = upper_row + right, *c = lower_row + left, *d = lower_row + right;
  const float wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  for (int64_t i = 0; i < channels; ++i) {
    point[i] = ((wa * ToFloat(a[i]) + wb * ToFloat(b[i])) + wc * ToFloat(c[i])) + wd * ToFloat(d[i]);
  }
}

// A row of the grid: points[q] for all columns, zero outside of the map.
template <typename Element>
[[gnu::always_inline]] inline void SampleRow(const Element* map, const GridPoint& row,
                                             const std::vector<GridPoint>& columns, int64_t row_stride,
                                             int64_t channels, float* points) {
  const Element *first = map + row.lower * row_stride, *second = map + row.upper * row_stride;
  for (const GridPoint& column : columns) {
    if (row.inside && column.inside) {
      const float weights[] = {row.lower_weight * column.lower_weight, row.lower_weight * column.upper_weight,
                               row.upper_weight * column.lower_weight, row.upper_weight * column.upper_weight};
      BilinearSample(first, second, column.lower * channels, column.upper * channels, weights, channels, points);
    } else {
      std::memset(points, 0, channels * sizeof(float));
    }
    points += channels;
  }
}

CASCADE_TF_VECTORIZED
void SampleGridRow(const float* map, const GridPoint& row, const std::vector<GridPoint>& columns, int64_t row_stride,
                   int64_t channels, float* points) {
  SampleRow(map, row, columns, row_stride, channels, points);
}

CASCADE_TF_VECTORIZED
void SampleGridRow(const Bfloat16* map, const GridPoint& row, const std::vector<GridPoint>& columns,
                   int64_t row_stride, int64_t channels, float* points) {
  SampleRow(map, row, columns, row_stride, channels, points);
}

// out[i] = mean of the four corners of each bin, of which the points in `above` and `below` are rows.
template <typename Element>
[[gnu::always_inline]] inline void MeanOfCorners(const float* above, const float* below, int64_t channels,
                                                 int64_t count, Element* __restrict__ out) {
  for (int64_t i = 0; i < count; ++i) {
    const float sum = ((above[i] + above[i + channels]) + below[i]) + below[i + channels];
    Store(sum * 0.25f, out + i);
  }
}

CASCADE_TF_VECTORIZED
void AverageGridRows(const float* above, const float* below, int64_t channels, int64_t count, float* out) {
  MeanOfCorners(above, below, channels, count, out);
}

CASCADE_TF_VECTORIZED
void AverageGridRows(const float* above, const float* below, int64_t channels, int64_t count, Bfloat16* out) {
  MeanOfCorners(above, below, channels, count, out);
}

CASCADE_TF_VECTORIZED
void RoundGridRow(const float* __restrict__ points, int64_t count, Bfloat16* __restrict__ out) {
  for (int64_t i = 0; i < count; ++i) Store(points[i], out + i);
}

void RoundGridRow(const float* points, int64_t count, float* out) { std::memcpy(out, points, count * sizeof(float)); }

template <typename T>
class GridRoiAlignOp : public tensorflow::OpKernel {
 public:
  explicit GridRoiAlignOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadGridSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &output_height_));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &output_width_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::OpInputList features;
    const tensorflow::Tensor *boxes, *levels;
    OP_REQUIRES_OK(context, context->input_list("features", &features));
    OP_REQUIRES_OK(context, context->input("boxes", &boxes));
    OP_REQUIRES_OK(context, context->input("levels", &levels));
    OP_REQUIRES_OK(context, CheckGridRois(*boxes, *levels));
    const int64_t batch = boxes->dim_size(0), num_rois = boxes->dim_size(1);
    OP_REQUIRES_OK(context, CheckMap("grid_roi_align", features[0].shape(), batch));
    const int64_t channels = features[0].dim_size(3), more = settings_.average ? 0 : 1;
    for (const tensorflow::Tensor& feature : features) {
      OP_REQUIRES_OK(context, CheckGridMap(feature.shape(), batch, channels));
    }
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape(
                       {batch, num_rois, output_height_ + more, output_width_ + more, channels}, &shape));
    tensorflow::Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    // Rough number of cycles.
    const int64_t cost = 500 + (int64_t{output_height_} + 1) * (int64_t{output_width_} + 1) * (20 + channels);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_rois, cost,
                      [&](int64_t begin, int64_t end) { PoolRange(features, *boxes, *levels, begin, end, output); });
  }

 private:
  using Element = typename InMemory<T>::type;

  void PoolRange(const tensorflow::OpInputList& features, const tensorflow::Tensor& boxes,
                 const tensorflow::Tensor& levels, int64_t begin, int64_t end, tensorflow::Tensor* output) const {
    const int64_t num_rois = boxes.dim_size(1), channels = output->dim_size(4);
    const int64_t size = output->dim_size(2) * output->dim_size(3) * channels;
    std::vector<GridPoint> rows(output_height_ + size_t{1}), columns(output_width_ + size_t{1});
    std::vector<float> points(2 * columns.size() * channels);
    for (int64_t roi = begin; roi < end; ++roi) {
      const int level = NearestLevel(levels.flat<int>()(roi), features.size());
      const tensorflow::Tensor& feature = features[level];
      const int height = static_cast<int>(feature.dim_size(1)), width = static_cast<int>(feature.dim_size(2));
      const float* box = boxes.flat<float>().data() + 4 * roi;
      Element* out = WriteTo<T>(output) + roi * size;
      if (!MakeGridPoints(settings_, box, settings_.strides[level], height, width, &rows, &columns)) {
        std::memset(out, 0, size * sizeof(Element));
        continue;
      }
      const Element* map = ReadFrom<T>(feature) + roi / num_rois * height * width * channels;
      PoolRoi(map, rows, columns, width * channels, channels, points.data(), out);
    }
  }

  // `points` is room for two rows of the grid.
  void PoolRoi(const Element* map, const std::vector<GridPoint>& rows, const std::vector<GridPoint>& columns,
               int64_t row_stride, int64_t channels, float* points, Element* out) const {
    const int64_t grid_row = columns.size() * channels, bin_row = grid_row - channels;
    float *above = points, *below = points + grid_row;
    for (size_t p = 0; p < rows.size(); ++p) {
      SampleGridRow(map, rows[p], columns, row_stride, channels, below);
      if (!settings_.average) {
        RoundGridRow(below, grid_row, out);
        out += grid_row;
      } else if (p > 0) {
        AverageGridRows(above, below, channels, bin_row, out);
        out += bin_row;
      }
      std::swap(above, below);
    }
  }

  GridRoiAlignSettings settings_;
  int output_height_, output_width_;
};

#define CASCADE_TF_REGISTER(T)                                                                                  \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>GridRoiAlign").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          GridRoiAlignOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
