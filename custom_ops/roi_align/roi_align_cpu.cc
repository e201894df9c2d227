// RoIAlign on the CPU: RoIs are independent, so threads take ranges of them.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "roi_align_inputs.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// sum[c] (+)= sum over the N cells i of weights[i] * cells[i][c]
template <int N, bool kAdd, typename Element>
[[gnu::always_inline]] inline void AddCells(const Element* const* cells, const float* weights, int64_t channels,
                                            float* __restrict__ sum) {
  const Element* cell[N];
  float weight[N];
  for (int i = 0; i < N; ++i) {
    cell[i] = cells[i];
    weight[i] = weights[i];
  }
  for (int64_t c = 0; c < channels; ++c) {
    float products[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) products[i] = weight[i] * ToFloat(cell[i][c]);
    // Four in pairs: another order would round otherwise.
    float value = products[0];
    if constexpr (N == 4) value = (products[0] + products[1]) + (products[2] + products[3]);
    sum[c] = (kAdd ? sum[c] : 0.0f) + value;
  }
}

template <typename Element>
[[gnu::always_inline]] inline void SumCells(const Element* const* cells, const float* weights, int count,
                                            int64_t channels, float* __restrict__ sum) {
  int i = 0;
  if (count >= 4) {
    AddCells<4, false>(cells, weights, channels, sum);
    i = 4;
  } else {
    std::memset(sum, 0, channels * sizeof(float));
  }
  for (; i + 4 <= count; i += 4) AddCells<4, true>(cells + i, weights + i, channels, sum);
  for (; i < count; ++i) AddCells<1, true>(cells + i, weights + i, channels, sum);
}

// out[c] = sum over i of weights[i] * cells[i][c]; `sum` is room for the channels of a wider type.
CASCADE_TF_VECTORIZED
void WeightedSum(const float* const* cells, const float* weights, int count, int64_t channels, float*, float* out) {
  SumCells(cells, weights, count, channels, out);
}

CASCADE_TF_VECTORIZED
void WeightedSum(const Bfloat16* const* cells, const float* weights, int count, int64_t channels,
                 float* __restrict__ sum, Bfloat16* __restrict__ out) {
  SumCells(cells, weights, count, channels, sum);
  for (int64_t c = 0; c < channels; ++c) Store(sum[c], out + c);
}

// Pools one RoI after another, with storage that is reused.
template <typename Element>
class RoiPooler {
 public:
  RoiPooler(const RoiAlignSettings& settings, int64_t channels)
      : settings_(settings), channels_(channels), sum_(channels) {}

  // `size` is what the box's image has of the map, `row_cells` the cells of a row in memory.
  void Pool(const float* box, float stride, const Element* map, MapSize size, int row_cells, Element* out) {
    if (!MakeRoiTaps(settings_, box, stride, size, &rows_, &columns_)) {
      std::memset(out, 0, settings_.output_height * settings_.output_width * channels_ * sizeof(Element));
      return;
    }
    for (int row = 0; row < settings_.output_height; ++row) {
      for (int column = 0; column < settings_.output_width; ++column, out += channels_) {
        CollectCells(row, column, map, row_cells * channels_);
        WeightedSum(cells_.data(), weights_.data(), static_cast<int>(cells_.size()), channels_, sum_.data(), out);
      }
    }
  }

 private:
  // The address and the weight of each cell that contributes to a bin.
  void CollectCells(int row, int column, const Element* map, int64_t row_stride) {
    const int first = columns_.begin[column], last = columns_.begin[column + 1];
    const int count = (rows_.begin[row + 1] - rows_.begin[row]) * (last - first);
    cells_.resize(count);
    weights_.resize(count);
    int next = 0;
    for (int i = rows_.begin[row]; i < rows_.begin[row + 1]; ++i) {
      const Element* map_row = map + rows_.taps[i].cell * row_stride;
      for (int j = first; j < last; ++j, ++next) {
        cells_[next] = map_row + columns_.taps[j].cell * channels_;
        weights_[next] = rows_.taps[i].weight * columns_.taps[j].weight;
      }
    }
  }

  const RoiAlignSettings& settings_;
  const int64_t channels_;
  AxisTaps rows_, columns_;
  std::vector<const Element*> cells_;
  std::vector<float> weights_, sum_;
};

// Rough number of cycles to pool one RoI.
int64_t CostPerRoi(const RoiAlignSettings& s, int64_t channels) {
  const int64_t ratio = s.sampling_ratio > 0 ? s.sampling_ratio : 3;
  return 500 + int64_t{s.output_height} * s.output_width * (20 + (ratio + 1) * (ratio + 1) * channels / 8);
}

template <typename T>
class RoiAlignOp : public OpKernel {
 public:
  explicit RoiAlignOp(OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &settings_.output_height));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &settings_.output_width));
  }

  void Compute(OpKernelContext* context) override {
    RoiAlignInputs inputs;
    ReadInputs(context, &inputs);
    if (!context->status().ok()) return;
    const OpInputList& features = inputs.features;
    const Tensor &boxes = *inputs.boxes, &levels = *inputs.levels, &map_sizes = *inputs.map_sizes;
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1), channels = features[0].dim_size(3);
    Tensor* output;
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {batch, num_rois, settings_.output_height, settings_.output_width, channels}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_rois, CostPerRoi(settings_, channels),
                      [&](int64_t begin, int64_t end) {
                        PoolRange(features, boxes, levels, map_sizes, begin, end, output);
                      });
  }

 private:
  void PoolRange(const OpInputList& features, const Tensor& boxes, const Tensor& levels, const Tensor& map_sizes,
                 int64_t begin, int64_t end, Tensor* output) const {
    const int64_t num_rois = boxes.dim_size(1), channels = features[0].dim_size(3);
    const int64_t size = int64_t{settings_.output_height} * settings_.output_width * channels;
    RoiPooler<typename InMemory<T>::type> pooler(settings_, channels);
    for (int64_t roi = begin; roi < end; ++roi) {
      const int level = ClampLevel(levels.flat<int>()(roi), features.size());
      const Tensor& feature = features[level];
      const MapSize map = {static_cast<int>(feature.dim_size(1)), static_cast<int>(feature.dim_size(2))};
      const int64_t image = roi / num_rois, map_begin = image * map.height * map.width * channels;
      pooler.Pool(boxes.flat<float>().data() + 4 * roi, settings_.strides[level], ReadFrom<T>(feature) + map_begin,
                  SizeOfImage(map_sizes, image, level, map), map.width, WriteTo<T>(output) + roi * size);
    }
  }

  RoiAlignSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                         \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlign").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RoiAlignOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
