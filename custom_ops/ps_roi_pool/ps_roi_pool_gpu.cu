// Position-sensitive pooling and its gradient on a GPU. A thread pools one class of a bin, whose channels lie apart.
#include "../common/launch.h"
#include "../common/roi_gather.h"
#include "ps_roi_pool.h"
#include "ps_roi_pool_gpu.h"

namespace cascade_tf {
namespace {

CASCADE_TF_HOST_DEVICE bool MeanAxesOf(const CascadeTfMapPooling& call, int64_t roi, MeanAxis* rows,
                                       MeanAxis* columns) {
  const PsRoiPoolSettings settings = {call.stride, call.inclusive_boxes != 0};
  return MakeMeanAxes(settings, call.boxes + 4 * roi, call.output_height, call.output_width, call.height, call.width,
                      rows, columns);
}

// Elements of the result: [B, R, row, column, class].
template <typename T>
struct PoolMean {
  CascadeTfMapPooling call;
  T* output;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int bins = call.output_height * call.output_width;
    const int64_t classes = call.channels / bins, label = i % classes, roi = i / classes / bins;
    const int bin = static_cast<int>(i / classes % bins);
    Store(MeanOf(roi, bin / call.output_width, bin % call.output_width, label * bins + bin), output + i);
  }

  CASCADE_TF_HOST_DEVICE float MeanOf(int64_t roi, int row, int column, int64_t channel) const {
    MeanAxis rows, columns;
    if (!MeanAxesOf(call, roi, &rows, &columns)) return 0.0f;
    const CellRange y = rows.Bin(row), x = columns.Bin(column);
    if (y.empty() || x.empty()) return 0.0f;
    const int64_t first_cell = roi / call.rois * call.height * call.width;
    const T* map = static_cast<const T*>(call.features) + first_cell * call.channels + channel;
    float sum = 0.0f;
    for (int i = y.begin; i < y.end; ++i) {
      for (int j = x.begin; j < x.end; ++j) sum += ToFloat(map[(int64_t{i} * call.width + j) * call.channels]);
    }
    return sum / static_cast<float>(int64_t{y.size()} * x.size());
  }
};

template <typename T>
struct PsRoiPoolGradient {
  using Element = T;
  static constexpr int kPack = 1;

  // Bins first .. last - 1 have this row or column of cells.
  struct Axis {
    int first, last;
  };

  CascadeTfMapPooling call;
  const T* upstream;
  T* output;
  Tiles tiles;
  int64_t rois, channels;
  int jobs;

  CASCADE_TF_HOST_DEVICE bool Touches(int64_t roi, const Tile& tile) const {
    MeanAxis rows, columns;
    return MeanAxesOf(call, roi, &rows, &columns) && Reaches(rows, call.output_height, tile.y) &&
           Reaches(columns, call.output_width, tile.x);
  }

  CASCADE_TF_HOST_DEVICE static bool Reaches(const MeanAxis& axis, int bins, int first_cell) {
    return axis.Bin(0).begin < first_cell + kTile && axis.Bin(bins - 1).end > first_cell;
  }

  CASCADE_TF_HOST_DEVICE void Prepare(int64_t roi, int, int axis, int cell, const Tile& tile, Axis* out) const {
    MeanAxis rows, columns;
    *out = {0, 0};
    if (!MeanAxesOf(call, roi, &rows, &columns)) return;
    const int bins = axis == 0 ? call.output_height : call.output_width;
    const int place = axis == 0 ? tile.y + cell : tile.x + cell;
    for (int i = 0; i < bins; ++i) {
      const CellRange range = axis == 0 ? rows.Bin(i) : columns.Bin(i);
      if (place < range.begin || place >= range.end) continue;
      if (out->last == 0) out->first = i;
      out->last = i + 1;
    }
  }

  // A channel belongs to one bin.
  CASCADE_TF_HOST_DEVICE void Add(int64_t roi, int, const Axis& rows, int, const Axis& columns, int, const Tile&,
                                  int64_t channel, float* sums) const {
    const int bins = call.output_height * call.output_width, bin = static_cast<int>(channel % bins);
    const int row = bin / call.output_width, column = bin % call.output_width;
    if (row < rows.first || row >= rows.last || column < columns.first || column >= columns.last) return;
    MeanAxis y = {}, x = {};
    MeanAxesOf(call, roi, &y, &x);
    const float area = static_cast<float>(int64_t{y.Bin(row).size()} * x.Bin(column).size());
    const int64_t classes = channels / bins, from = (roi * bins + bin) * classes + channel / bins;
    sums[0] += ToFloat(upstream[from]) / area;
  }

  CASCADE_TF_HOST_DEVICE void Begin(const Tile&, int64_t, float*) const {}

  CASCADE_TF_HOST_DEVICE T* gradient(const Tile&) const { return output; }
};

Tiles TilesOfScores(const CascadeTfMapPooling& call) {
  Tiles tiles;
  tiles.Add(call.height, call.width, call.batch);
  return tiles;
}

template <typename T>
int PoolByPosition(const CascadeTfMapPooling& call, void* output, void* stream) {
  return ForEach(stream, call.batch * call.rois * call.channels, PoolMean<T>{call, static_cast<T*>(output)});
}

template <typename T>
int SpreadByPosition(const CascadeTfMapPooling& call, const void* upstream, void* gradient, void* workspace,
                     void* stream) {
  const PsRoiPoolGradient<T> op = {call,      static_cast<const T*>(upstream), static_cast<T*>(gradient),
                                   TilesOfScores(call), call.rois,             call.channels,
                                   1};
  return Gather(stream, op, workspace);
}

}  // namespace
}  // namespace cascade_tf

extern "C" int cascade_tf_ps_roi_pool(const CascadeTfMapPooling* call, void* output, void* stream) {
  using namespace cascade_tf;
  CASCADE_TF_DISPATCH(call->element_type, PoolByPosition, *call, output, stream);
}

extern "C" int64_t cascade_tf_ps_roi_pool_grad_workspace(const CascadeTfMapPooling* call) {
  return cascade_tf::MarksSize(cascade_tf::TilesOfScores(*call), call->rois);
}

extern "C" int cascade_tf_ps_roi_pool_grad(const CascadeTfMapPooling* call, const void* upstream, void* gradient,
                                           void* workspace, void* stream) {
  using namespace cascade_tf;
  CASCADE_TF_DISPATCH(call->element_type, SpreadByPosition, *call, upstream, gradient, workspace, stream);
}
