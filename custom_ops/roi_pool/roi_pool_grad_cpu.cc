// The gradient of RoIPool on the CPU: threads take blocks of channels of an image.
//
// Which cell gets a bin's gradient differs from channel to channel, so a task finds the largest cells of its channels
// once more: to keep them from the forward pass would cost as much memory as the pooled features. No two tasks write
// to the same place, and a cell's terms are added in the order of the RoIs and bins, however many threads there are.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "roi_pool_inputs.h"
#include "tensorflow/core/platform/threadpool.h"

namespace cascade_tf {
namespace {

constexpr int kGradBlock = 32;

// Adds a bin's gradient to the cells with its largest values; map and sums: [cells, kGradBlock].
[[gnu::always_inline]] inline void AddBin(const float* map, CellRange row, CellRange column, int width,
                                          const float* upstream, float* sums) {
  float best[kGradBlock];
  int32_t where[kGradBlock];
  const int32_t first = row.begin * width + column.begin;
  for (int c = 0; c < kGradBlock; ++c) {
    best[c] = map[int64_t{first} * kGradBlock + c];
    where[c] = first;
  }
  for (int y = row.begin; y < row.end; ++y) {
    for (int x = column.begin; x < column.end; ++x) {
      const int32_t cell = y * width + x;
      const float* values = map + int64_t{cell} * kGradBlock;
      for (int c = 0; c < kGradBlock; ++c) {
        // The first NaN stays, as the first of equal numbers does.
        const bool larger = (values[c] > best[c]) | ((values[c] != values[c]) & (best[c] == best[c]));
        best[c] = larger ? values[c] : best[c];
        where[c] = larger ? cell : where[c];
      }
    }
  }
  for (int c = 0; c < kGradBlock; ++c) sums[int64_t{where[c]} * kGradBlock + c] += upstream[c];
}

// Adds the gradients of a box's bins, whose channels of this block begin at `upstream`.
template <typename Element>
[[gnu::always_inline]] inline void AddBins(const float* map, const std::vector<CellRange>& rows,
                                           const std::vector<CellRange>& columns, int width, int64_t channels,
                                           int count, const Element* upstream, float* sums) {
  float block[kGradBlock] = {};
  for (const CellRange& row : rows) {
    for (const CellRange& column : columns) {
      if (!row.empty() && !column.empty()) {
        for (int c = 0; c < count; ++c) block[c] = ToFloat(upstream[c]);
        AddBin(map, row, column, width, block, sums);
      }
      upstream += channels;
    }
  }
}

CASCADE_TF_VECTORIZED
void AddMaxGradient(const float* map, const std::vector<CellRange>& rows, const std::vector<CellRange>& columns,
                    int width, int64_t channels, int count, const float* upstream, float* sums) {
  AddBins(map, rows, columns, width, channels, count, upstream, sums);
}

CASCADE_TF_VECTORIZED
void AddMaxGradient(const float* map, const std::vector<CellRange>& rows, const std::vector<CellRange>& columns,
                    int width, int64_t channels, int count, const Bfloat16* upstream, float* sums) {
  AddBins(map, rows, columns, width, channels, count, upstream, sums);
}

template <typename T>
class RoiPoolGradOp : public tensorflow::OpKernel {
 public:
  explicit RoiPoolGradOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    CheckRoiPoolGradInputs(context);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &upstream = context->input(0), &features = context->input(1), &boxes = context->input(2);
    const int64_t batch = boxes.dim_size(0);
    tensorflow::Tensor* gradient;
    OP_REQUIRES_OK(context, context->allocate_output(0, features.shape(), &gradient));
    if (gradient->NumElements() == 0) return;
    const int64_t num_blocks = (features.dim_size(3) + kGradBlock - 1) / kGradBlock;
    using Params = tensorflow::thread::ThreadPool::SchedulingParams;
    context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
        batch * num_blocks,
        Params(tensorflow::thread::ThreadPool::SchedulingStrategy::kFixedBlockSize, absl::nullopt, 1),
        [&](int64_t begin, int64_t end) {
          std::vector<float> map, sums;
          for (int64_t task = begin; task < end; ++task) {
            SumBlock(upstream, features, boxes, task / num_blocks, task % num_blocks * kGradBlock, &map, &sums,
                     gradient);
          }
        });
  }

 private:
  using Element = typename InMemory<T>::type;

  void SumBlock(const tensorflow::Tensor& upstream, const tensorflow::Tensor& features,
                const tensorflow::Tensor& boxes, int64_t image, int64_t channel, std::vector<float>* map,
                std::vector<float>* sums, tensorflow::Tensor* gradient) const {
    const int height = static_cast<int>(features.dim_size(1)), width = static_cast<int>(features.dim_size(2));
    const int64_t channels = features.dim_size(3), num_rois = boxes.dim_size(1), cells = int64_t{height} * width;
    const int count = static_cast<int>(std::min<int64_t>(kGradBlock, channels - channel));
    const int64_t map_begin = image * cells * channels + channel;
    // The block's values side by side: a cell's own are so far apart that they would push each other from the cache.
    map->assign(cells * kGradBlock, 0.0f);
    sums->assign(cells * kGradBlock, 0.0f);
    const Element* values = ReadFrom<T>(features) + map_begin;
    for (int64_t cell = 0; cell < cells; ++cell) {
      for (int c = 0; c < count; ++c) (*map)[cell * kGradBlock + c] = ToFloat(values[cell * channels + c]);
    }
    std::vector<CellRange> rows(upstream.dim_size(2)), columns(upstream.dim_size(3));
    for (int64_t roi = image * num_rois; roi < (image + 1) * num_rois; ++roi) {
      if (!MakeMaxBins(settings_, boxes.flat<float>().data() + 4 * roi, height, width, &rows, &columns)) continue;
      const int64_t begin = roi * upstream.dim_size(2) * upstream.dim_size(3) * channels + channel;
      AddMaxGradient(map->data(), rows, columns, width, channels, count, ReadFrom<T>(upstream) + begin, sums->data());
    }
    Element* out = WriteTo<T>(gradient) + map_begin;
    for (int64_t cell = 0; cell < cells; ++cell) {
      for (int c = 0; c < count; ++c) Store((*sums)[cell * kGradBlock + c], out + cell * channels + c);
    }
  }

  RoiPoolSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                                 \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiPoolGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RoiPoolGradOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
