// The gradient of the grid RoIAlign on the CPU: threads take rows of the gradient maps.
//
// A row learns which rows of the grids reach it, is summed up in the cache and written once. No two threads write to
// the same place, and a cell's terms are added in the order of the RoIs, however many threads there are.
#include <cstring>

#include "../common/number_types.h"
#include "../common/row_shares.h"
#include "../common/vectorize.h"
#include "grid_roi_align_inputs.h"
#include "tensorflow/core/platform/threadpool.h"

namespace cascade_tf {
namespace {

// points[i] (+)= a quarter of the gradients of the bins in one row of which each point is a corner; bins: of the row.
template <typename Element>
[[gnu::always_inline]] inline void AddCorners(const Element* row, int bins, int64_t channels,
                                              float* __restrict__ points) {
  for (int64_t i = 0; i < bins * channels; ++i) points[i] += 0.25f * ToFloat(row[i]);
  points += channels;
  for (int64_t i = 0; i < bins * channels; ++i) points[i] += 0.25f * ToFloat(row[i]);
}

CASCADE_TF_VECTORIZED
void AddGridCorners(const float* row, int bins, int64_t channels, float* points) {
  AddCorners(row, bins, channels, points);
}

CASCADE_TF_VECTORIZED
void AddGridCorners(const Bfloat16* row, int bins, int64_t channels, float* points) {
  AddCorners(row, bins, channels, points);
}

CASCADE_TF_VECTORIZED
void WidenGridRow(const Bfloat16* __restrict__ row, int64_t count, float* __restrict__ points) {
  for (int64_t i = 0; i < count; ++i) points[i] = ToFloat(row[i]);
}

void WidenGridRow(const float* row, int64_t count, float* points) { std::memcpy(points, row, count * sizeof(float)); }

// Adds the points of a row of the grid to the cells of a row of the map.
CASCADE_TF_VECTORIZED
void SpreadGridRow(const float* points, const GridPoint* columns, int64_t num_columns, float weight, int64_t channels,
                   float* cells) {
  for (int64_t q = 0; q < num_columns; ++q) {
    const GridPoint& column = columns[q];
    if (!column.inside) continue;
    const float* __restrict__ point = points + q * channels;
    const float lower = weight * column.lower_weight, upper = weight * column.upper_weight;
    float* __restrict__ left = cells + column.lower * channels;
    for (int64_t c = 0; c < channels; ++c) left[c] += lower * point[c];
    float* __restrict__ right = cells + column.upper * channels;
    for (int64_t c = 0; c < channels; ++c) right[c] += upper * point[c];
  }
}

CASCADE_TF_VECTORIZED
void StoreGridSums(const float* __restrict__ sums, int64_t count, Bfloat16* __restrict__ out) {
  for (int64_t i = 0; i < count; ++i) Store(sums[i], out + i);
}

void StoreGridSums(const float* sums, int64_t count, float* out) { std::memcpy(out, sums, count * sizeof(float)); }

template <typename T>
class GridRoiAlignGradOp : public tensorflow::OpKernel {
 public:
  explicit GridRoiAlignGradOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    ReadGridSettings(context, &settings_);
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    tensorflow::OpInputList shapes;
    const tensorflow::Tensor *upstream, *boxes, *levels;
    OP_REQUIRES_OK(context, context->input("upstream", &upstream));
    OP_REQUIRES_OK(context, context->input("boxes", &boxes));
    OP_REQUIRES_OK(context, context->input("levels", &levels));
    OP_REQUIRES_OK(context, context->input_list("feature_shapes", &shapes));
    OP_REQUIRES_OK(context, CheckGridRois(*boxes, *levels));
    const int64_t batch = boxes->dim_size(0);
    OP_REQUIRES_OK(context, CheckUpstream("grid_roi_align", *upstream, batch, boxes->dim_size(1)));
    const int64_t least = settings_.average ? 1 : 2;
    OP_REQUIRES(context, upstream->dim_size(2) >= least && upstream->dim_size(3) >= least,
                absl::InvalidArgumentError(absl::StrCat("grid_roi_align: upstream must have at least ", least,
                                                        " rows and columns, got ", upstream->shape().DebugString())));
    std::vector<Map> maps;
    int64_t num_rows = 0;
    for (int i = 0; i < shapes.size(); ++i) {
      tensorflow::TensorShape shape;
      OP_REQUIRES(context, shapes[i].dims() == 1,
                  absl::InvalidArgumentError(absl::StrCat("grid_roi_align: feature_shapes must be vectors, got ",
                                                          shapes[i].shape().DebugString())));
      OP_REQUIRES_OK(context, tensorflow::TensorShapeUtils::MakeShape(shapes[i].vec<int>(), &shape));
      OP_REQUIRES_OK(context, CheckGridMap(shape, batch, upstream->dim_size(4)));
      tensorflow::Tensor* gradient;
      OP_REQUIRES_OK(context, context->allocate_output(i, shape, &gradient));
      maps.push_back({WriteTo<T>(gradient), static_cast<int>(shape.dim_size(1)), static_cast<int>(shape.dim_size(2)),
                      num_rows});
      num_rows += batch * shape.dim_size(1);
    }
    if (upstream->dim_size(4) == 0) return;
    Sum(context, *upstream, *boxes, *levels, maps, num_rows);
  }

 private:
  using Element = typename InMemory<T>::type;

  struct Map {
    Element* data;
    int height, width;
    int64_t first_row;  // of all maps' rows
  };

  void Sum(tensorflow::OpKernelContext* context, const tensorflow::Tensor& upstream, const tensorflow::Tensor& boxes,
           const tensorflow::Tensor& levels, const std::vector<Map>& maps, int64_t num_rows) const {
    const int more = settings_.average ? 1 : 0;
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1);
    std::vector<GridPoint> rows(upstream.dim_size(2) + more), columns(upstream.dim_size(3) + more);
    std::vector<GridPoint> all_columns(batch * num_rois * columns.size());
    RowShares shares;
    for (int64_t roi = 0; roi < batch * num_rois; ++roi) {
      const int level = NearestLevel(levels.flat<int>()(roi), maps.size());
      const Map& map = maps[level];
      const float* box = boxes.flat<float>().data() + 4 * roi;
      if (!MakeGridPoints(settings_, box, settings_.strides[level], map.height, map.width, &rows, &columns)) continue;
      std::copy(columns.begin(), columns.end(), all_columns.begin() + roi * columns.size());
      const int64_t first_row = map.first_row + roi / num_rois * map.height;
      for (size_t p = 0; p < rows.size(); ++p) {
        if (!rows[p].inside) continue;
        shares.Add({first_row + rows[p].lower, roi, static_cast<int>(p), rows[p].lower_weight});
        shares.Add({first_row + rows[p].upper, roi, static_cast<int>(p), rows[p].upper_weight});
      }
    }
    shares.Sort(num_rows);
    using Params = tensorflow::thread::ThreadPool::SchedulingParams;
    context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
        num_rows, Params(tensorflow::thread::ThreadPool::SchedulingStrategy::kFixedBlockSize, absl::nullopt, 4),
        [&](int64_t begin, int64_t end) {
          std::vector<float> sums, points(columns.size() * upstream.dim_size(4));
          for (int64_t row = begin; row < end; ++row) {
            SumRow(upstream, maps, all_columns, columns.size(), shares, row, &points, &sums);
          }
        });
  }

  void SumRow(const tensorflow::Tensor& upstream, const std::vector<Map>& maps, const std::vector<GridPoint>& columns,
              int64_t num_columns, const RowShares& shares, int64_t row, std::vector<float>* points,
              std::vector<float>* sums) const {
    size_t level = maps.size() - 1;
    while (row < maps[level].first_row) --level;
    const Map& map = maps[level];
    const int64_t channels = upstream.dim_size(4), size = map.width * channels;
    sums->assign(size, 0.0f);
    for (const RowShare* share = shares.begin(row); share != shares.end(row); ++share) {
      PointsOfRow(upstream, share->roi, share->part, points);
      SpreadGridRow(points->data(), columns.data() + share->roi * num_columns, num_columns, share->weight, channels,
                    sums->data());
    }
    StoreGridSums(sums->data(), size, map.data + (row - map.first_row) * size);
  }

  // The gradients of a row of the grid.
  void PointsOfRow(const tensorflow::Tensor& upstream, int64_t roi, int row, std::vector<float>* points) const {
    const int64_t channels = upstream.dim_size(4), height = upstream.dim_size(2);
    const int width = static_cast<int>(upstream.dim_size(3));
    const Element* first = ReadFrom<T>(upstream) + (roi * height + row) * width * channels;
    if (!settings_.average) {
      WidenGridRow(first, width * channels, points->data());
      return;
    }
    std::fill(points->begin(), points->end(), 0.0f);
    if (row > 0) AddGridCorners(first - width * channels, width, channels, points->data());
    if (row < height) AddGridCorners(first, width, channels, points->data());
  }

  GridRoiAlignSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                                      \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>GridRoiAlignGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          GridRoiAlignGradOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
