// RoIPool and its gradient on a GPU. A thread pools some channels of a bin.
//
// The gradient first finds the largest cells again, and writes them down for each bin and channel; then each cell sums
// up the bins where it is the largest.
#include "../common/launch.h"
#include "../common/roi_gather.h"
#include "roi_pool.h"
#include "roi_pool_gpu.h"

namespace cascade_tf {
namespace {

CASCADE_TF_HOST_DEVICE bool MaxAxesOf(const CascadeTfMapPooling& call, int64_t roi, MaxAxis* rows, MaxAxis* columns) {
  const RoiPoolSettings settings = {call.stride, call.pad_ratio, call.inclusive_boxes != 0};
  return MakeMaxAxes(settings, call.boxes + 4 * roi, call.output_height, call.output_width, call.height, call.width,
                     rows, columns);
}

// The largest values of some channels of a bin, and the cells that have them.
template <typename T, int kPack>
struct LargestOfBin {
  float values[kPack];
  int cells[kPack];  // -1 for a bin without cells

  CASCADE_TF_HOST_DEVICE void Find(const CascadeTfMapPooling& call, int64_t roi, int row, int column,
                                   int64_t channel) {
    CASCADE_TF_UNROLL
    for (int i = 0; i < kPack; ++i) {
      values[i] = 0.0f;
      cells[i] = -1;
    }
    MaxAxis rows, columns;
    if (!MaxAxesOf(call, roi, &rows, &columns)) return;
    const CellRange y = rows.Bin(row), x = columns.Bin(column);
    const int64_t first_cell = roi / call.rois * call.height * call.width;
    const T* map = static_cast<const T*>(call.features) + first_cell * call.channels + channel;
    for (int i = y.begin; i < y.end; ++i) {
      for (int j = x.begin; j < x.end; ++j) Compare(i * call.width + j, map, call.channels);
    }
  }

  // The first of equal numbers stays, and so does the first NaN.
  CASCADE_TF_HOST_DEVICE void Compare(int cell, const T* map, int64_t channels) {
    const Pack<T, kPack> pack = LoadPack<kPack>(map + cell * channels);
    CASCADE_TF_UNROLL
    for (int i = 0; i < kPack; ++i) {
      const float value = ToFloat(pack.values[i]);
      const bool larger = value > values[i] || (value != value && values[i] == values[i]);
      if (cells[i] >= 0 && !larger) continue;
      values[i] = value;
      cells[i] = cell;
    }
  }
};

// Writes the largest values, or where they are.
template <typename T, int kPack, bool kCells>
struct PoolLargest {
  CascadeTfMapPooling call;
  T* output;
  int32_t* cells;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t vectors = call.channels / kPack, bin = i / vectors, row = bin / call.output_width;
    LargestOfBin<T, kPack> largest;
    largest.Find(call, row / call.output_height, static_cast<int>(row % call.output_height),
                 static_cast<int>(bin % call.output_width), i % vectors * kPack);
    if constexpr (kCells) {
      CASCADE_TF_UNROLL
      for (int j = 0; j < kPack; ++j) cells[i * kPack + j] = largest.cells[j];
    } else {
      StorePack<kPack>(largest.values, output + i * kPack);
    }
  }
};

int64_t CountPooled(const CascadeTfMapPooling& call) {
  return call.batch * call.rois * call.output_height * call.output_width * call.channels;
}

template <typename T, int kPackSize>
struct RoiPoolGradient {
  using Element = T;
  static constexpr int kPack = kPackSize;

  // Bins first .. last - 1 have this row or column of cells.
  struct Axis {
    int first, last;
  };

  CascadeTfMapPooling call;
  const T* upstream;
  const int32_t* cells;
  T* output;
  Tiles tiles;
  int64_t rois, channels;
  int jobs;

  CASCADE_TF_HOST_DEVICE bool Touches(int64_t roi, const Tile& tile) const {
    MaxAxis rows, columns;
    return MaxAxesOf(call, roi, &rows, &columns) && Reaches(rows, call.output_height, tile.y) &&
           Reaches(columns, call.output_width, tile.x);
  }

  CASCADE_TF_HOST_DEVICE static bool Reaches(const MaxAxis& axis, int bins, int first_cell) {
    return axis.Bin(0).begin < first_cell + kTile && axis.Bin(bins - 1).end > first_cell;
  }

  CASCADE_TF_HOST_DEVICE void Prepare(int64_t roi, int, int axis, int cell, const Tile& tile, Axis* out) const {
    MaxAxis rows, columns;
    *out = {0, 0};
    if (!MaxAxesOf(call, roi, &rows, &columns)) return;
    const int bins = axis == 0 ? call.output_height : call.output_width;
    const int place = axis == 0 ? tile.y + cell : tile.x + cell;
    for (int i = 0; i < bins; ++i) {
      const CellRange range = axis == 0 ? rows.Bin(i) : columns.Bin(i);
      if (place < range.begin || place >= range.end) continue;
      if (out->last == 0) out->first = i;
      out->last = i + 1;
    }
  }

  CASCADE_TF_HOST_DEVICE void Add(int64_t roi, int, const Axis& rows, int y, const Axis& columns, int x, const Tile&,
                                  int64_t channel, float* sums) const {
    const int cell = y * call.width + x;
    for (int i = rows.first; i < rows.last; ++i) {
      for (int j = columns.first; j < columns.last; ++j) {
        const int64_t bin = (roi * call.output_height + i) * call.output_width + j, from = bin * channels + channel;
        const Pack<T, kPack> values = LoadPack<kPack>(upstream + from);
        CASCADE_TF_UNROLL
        for (int k = 0; k < kPack; ++k) {
          if (cells[from + k] == cell) sums[k] += ToFloat(values.values[k]);
        }
      }
    }
  }

  CASCADE_TF_HOST_DEVICE void Begin(const Tile&, int64_t, float*) const {}

  CASCADE_TF_HOST_DEVICE T* gradient(const Tile&) const { return output; }
};

Tiles TilesOfMap(const CascadeTfMapPooling& call) {
  Tiles tiles;
  tiles.Add(call.height, call.width, call.batch);
  return tiles;
}

template <typename T, int kPack>
int PoolMax(const CascadeTfMapPooling& call, void* output, void* stream) {
  return ForEach(stream, CountPooled(call) / kPack, PoolLargest<T, kPack, false>{call, static_cast<T*>(output), nullptr});
}

// The workspace holds the cells, then the marks.
template <typename T, int kPack>
int SpreadMax(const CascadeTfMapPooling& call, const void* upstream, void* gradient, void* workspace, void* stream) {
  int32_t* cells = static_cast<int32_t*>(workspace);
  const int error = ForEach(stream, CountPooled(call) / kPack, PoolLargest<T, kPack, true>{call, nullptr, cells});
  if (error != 0) return error;
  const RoiPoolGradient<T, kPack> op = {call,
                                        static_cast<const T*>(upstream),
                                        cells,
                                        static_cast<T*>(gradient),
                                        TilesOfMap(call),
                                        call.rois,
                                        call.channels,
                                        1};
  return Gather(stream, op, cells + CountPooled(call));
}

}  // namespace
}  // namespace cascade_tf

extern "C" int cascade_tf_roi_pool(const CascadeTfMapPooling* call, void* output, void* stream) {
  using namespace cascade_tf;
  const bool wide = IsAligned(call->features) && IsAligned(output);
  CASCADE_TF_DISPATCH_PACKS(call->element_type, call->channels, wide, PoolMax, *call, output, stream);
}

extern "C" int64_t cascade_tf_roi_pool_grad_workspace(const CascadeTfMapPooling* call) {
  using namespace cascade_tf;
  return CountPooled(*call) * static_cast<int64_t>(sizeof(int32_t)) + MarksSize(TilesOfMap(*call), call->rois);
}

extern "C" int cascade_tf_roi_pool_grad(const CascadeTfMapPooling* call, const void* upstream, void* gradient,
                                        void* workspace, void* stream) {
  using namespace cascade_tf;
  const bool wide = IsAligned(call->features) && IsAligned(upstream) && IsAligned(gradient);
  CASCADE_TF_DISPATCH_PACKS(call->element_type, call->channels, wide, SpreadMax, *call, upstream, gradient, workspace,
                            stream);
}
