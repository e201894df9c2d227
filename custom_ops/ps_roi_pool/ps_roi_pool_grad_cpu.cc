// The gradient of position-sensitive pooling on the CPU: threads take rows of the gradient map.
//
// A row is summed up with the classes of each bin side by side, while it lies in the cache, and is then written in
// the order of the channels: memory sees it once. No two threads write to the same place, and a cell's terms are
// added in the order of the RoIs, however many threads there are.
#include <cstring>

#include "../common/number_types.h"
#include "../common/row_shares.h"
#include "../common/vectorize.h"
#include "ps_roi_pool_inputs.h"
#include "tensorflow/core/platform/threadpool.h"

namespace cascade_tf {
namespace {

// cells[i][d] += upstream[d] / area for a range of cells of a row
template <typename Element>
[[gnu::always_inline]] inline void AddShare(const Element* __restrict__ upstream, float area, int cells,
                                            int64_t cell_stride, int64_t classes, float* __restrict__ sum) {
  for (int cell = 0; cell < cells; ++cell, sum += cell_stride) {
    for (int64_t d = 0; d < classes; ++d) sum[d] += ToFloat(upstream[d]) / area;
  }
}

CASCADE_TF_VECTORIZED
void AddMeanGradient(const float* upstream, float area, int cells, int64_t cell_stride, int64_t classes, float* sum) {
  AddShare(upstream, area, cells, cell_stride, classes, sum);
}

CASCADE_TF_VECTORIZED
void AddMeanGradient(const Bfloat16* upstream, float area, int cells, int64_t cell_stride, int64_t classes,
                     float* sum) {
  AddShare(upstream, area, cells, cell_stride, classes, sum);
}

template <typename T>
class PsRoiPoolGradOp : public tensorflow::OpKernel {
 public:
  explicit PsRoiPoolGradOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::TensorShape shape;
    CheckPsRoiPoolGradInputs(context, &shape);
    if (!context->status().ok()) return;
    const tensorflow::Tensor &upstream = context->input(0), &boxes = context->input(1);
    tensorflow::Tensor* gradient;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &gradient));
    if (gradient->NumElements() == 0) return;
    Sum(context, upstream, boxes, gradient);
  }

 private:
  using Element = typename InMemory<T>::type;

  // What all rows of an RoI share: the cells of its bins along both axes.
  struct Roi {
    std::vector<CellRange> rows, columns;
  };

  void Sum(tensorflow::OpKernelContext* context, const tensorflow::Tensor& upstream, const tensorflow::Tensor& boxes,
           tensorflow::Tensor* gradient) const {
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1);
    const int height = static_cast<int>(gradient->dim_size(1)), width = static_cast<int>(gradient->dim_size(2));
    std::vector<Roi> rois(batch * num_rois);
    RowShares shares;
    for (int64_t i = 0; i < batch * num_rois; ++i) {
      Roi& roi = rois[i];
      roi.rows.resize(upstream.dim_size(2));
      roi.columns.resize(upstream.dim_size(3));
      const float* box = boxes.flat<float>().data() + 4 * i;
      if (!MakeMeanBins(settings_, box, height, width, &roi.rows, &roi.columns)) continue;
      for (size_t part = 0; part < roi.rows.size(); ++part) {
        for (int y = roi.rows[part].begin; y < roi.rows[part].end; ++y) {
          shares.Add({i / num_rois * height + y, i, static_cast<int>(part), 1.0f});
        }
      }
    }
    shares.Sort(batch * height);
    using Params = tensorflow::thread::ThreadPool::SchedulingParams;
    context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
        batch * height,
        Params(tensorflow::thread::ThreadPool::SchedulingStrategy::kFixedBlockSize, absl::nullopt, 1),
        [&](int64_t begin, int64_t end) {
          std::vector<float> sums(width * gradient->dim_size(3));
          for (int64_t row = begin; row < end; ++row) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            SumRow(upstream, rois, shares, row, sums.data());
            WriteRow(sums.data(), upstream, width, WriteTo<T>(gradient) + row * width * gradient->dim_size(3));
          }
        });
  }

  static void SumRow(const tensorflow::Tensor& upstream, const std::vector<Roi>& rois, const RowShares& shares,
                     int64_t row, float* sums) {
    const int64_t classes = upstream.dim_size(4), row_size = upstream.dim_size(3) * classes;
    const int64_t channels = upstream.dim_size(2) * row_size;
    for (const RowShare* share = shares.begin(row); share != shares.end(row); ++share) {
      const Roi& roi = rois[share->roi];
      const int rows = roi.rows[share->part].end - roi.rows[share->part].begin;
      // A bin's place among the channels, grouped by bin, is that among the RoI's values.
      int64_t place = share->part * row_size;
      for (const CellRange& column : roi.columns) {
        if (!column.empty()) {
          const float area = static_cast<float>(int64_t{rows} * (column.end - column.begin));
          AddMeanGradient(ReadFrom<T>(upstream) + share->roi * channels + place, area, column.end - column.begin,
                          channels, classes, sums + column.begin * channels + place);
        }
        place += classes;
      }
    }
  }

  static void WriteRow(const float* sums, const tensorflow::Tensor& upstream, int width, Element* out) {
    const int64_t classes = upstream.dim_size(4), bins = upstream.dim_size(2) * upstream.dim_size(3);
    for (int x = 0; x < width; ++x, sums += bins * classes, out += bins * classes) {
      for (int64_t d = 0; d < classes; ++d) {
        for (int64_t bin = 0; bin < bins; ++bin) Store(sums[bin * classes + d], out + d * bins + bin);
      }
    }
  }

  PsRoiPoolSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                                   \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>PsRoiPoolGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          PsRoiPoolGradOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
