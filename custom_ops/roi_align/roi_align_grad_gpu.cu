// The gradient of RoIAlign on a GPU; roi_gather.h says how.
#include <cmath>

#include "../common/roi_gather.h"
#include "roi_align_device.h"

namespace cascade_tf {
namespace {

// Cells that the samples of an axis may reach, one more on either side for what rounds.
CASCADE_TF_HOST_DEVICE bool Reaches(const AxisExtent& extent, int first, int count) {
  const float end = extent.start + extent.length;
  const float low = std::min(extent.start, end) - 2.0f, high = std::max(extent.start, end) + 3.0f;
  return low <= static_cast<float>(first + count) && high >= static_cast<float>(first);
}

template <typename T, int kPackSize>
struct RoiAlignGradient {
  using Element = T;
  static constexpr int kPack = kPackSize;
  static constexpr int kBins = 8;  // of an axis at once

  // The shares of a row or column of cells in bins first .. last - 1 of those at once.
  struct Axis {
    float weights[kBins];
    int first, last;
  };

  CascadeTfRoiAlign call;
  const T* upstream;
  Tiles tiles;
  int64_t rois, channels;
  int row_jobs, column_jobs, jobs;

  CASCADE_TF_HOST_DEVICE bool Touches(int64_t index, const Tile& tile) const {
    if (ClampLevel(call.levels[index], call.num_levels) != tile.level) return false;
    const RoiPlace roi = MakePlace(call, index);
    return roi.usable && Reaches(roi.y, tile.y, kTile) && Reaches(roi.x, tile.x, kTile);
  }

  CASCADE_TF_HOST_DEVICE void Prepare(int64_t index, int job, int axis, int cell, const Tile& tile, Axis* out) const {
    const RoiPlace roi = MakePlace(call, index);
    if (axis == 0) {
      MakeAxis(roi.y, call.output_height, job / column_jobs * kBins, roi.size.height, tile.y + cell, out);
    } else {
      MakeAxis(roi.x, call.output_width, job % column_jobs * kBins, roi.size.width, tile.x + cell, out);
    }
  }

  CASCADE_TF_HOST_DEVICE static void MakeAxis(const AxisExtent& extent, int bins, int first_bin, int num_cells,
                                              int cell, Axis* out) {
    out->first = kBins;
    out->last = 0;
    for (int i = 0; i < kBins; ++i) {
      out->weights[i] = 0.0f;
      if (first_bin + i >= bins) continue;
      for (int k = 0; k < extent.ratio; ++k) {
        const AxisSample sample =
            MakeAxisSample(extent, bins, int64_t{first_bin + i} * extent.ratio + k, num_cells);
        if (sample.lower == cell) out->weights[i] += sample.lower_weight;
        if (sample.upper == cell) out->weights[i] += sample.upper_weight;
      }
      if (out->weights[i] != 0.0f) {
        out->first = std::min(out->first, i);
        out->last = i + 1;
      }
    }
  }

  CASCADE_TF_HOST_DEVICE void Add(int64_t roi, int job, const Axis& rows, int, const Axis& columns, int, const Tile&,
                                  int64_t channel, float* sums) const {
    const int first_row = job / column_jobs * kBins, first_column = job % column_jobs * kBins;
    for (int i = rows.first; i < rows.last; ++i) {
      const int64_t row = roi * call.output_height + first_row + i;
      const T* values = upstream + (row * call.output_width + first_column) * channels + channel;
      for (int j = columns.first; j < columns.last; ++j) {
        AddProduct<kPack>(rows.weights[i] * columns.weights[j], values + j * channels, sums);
      }
    }
  }

  CASCADE_TF_HOST_DEVICE void Begin(const Tile& tile, int64_t offset, float* sums) const {
    const T* other = static_cast<const T*>(call.features[tile.level]);
    if (other != nullptr) AddProduct<kPack>(1.0f, other + offset, sums);
  }

  CASCADE_TF_HOST_DEVICE T* gradient(const Tile& tile) const { return static_cast<T*>(call.gradients[tile.level]); }
};

Tiles TilesOf(const CascadeTfRoiAlign& call) {
  Tiles tiles;
  for (int i = 0; i < call.num_levels; ++i) tiles.Add(call.heights[i], call.widths[i], call.batch);
  return tiles;
}

template <typename T, int kPack>
int Spread(const CascadeTfRoiAlign& call, const void* upstream, void* workspace, void* stream) {
  using Op = RoiAlignGradient<T, kPack>;
  const int row_jobs = (call.output_height + Op::kBins - 1) / Op::kBins;
  const int column_jobs = (call.output_width + Op::kBins - 1) / Op::kBins;
  const Op op = {call,          static_cast<const T*>(upstream), TilesOf(call), call.rois,
                 call.channels, row_jobs,                        column_jobs,   row_jobs * column_jobs};
  return Gather(stream, op, workspace);
}

}  // namespace
}  // namespace cascade_tf

extern "C" int64_t cascade_tf_roi_align_grad_workspace(const CascadeTfRoiAlign* call) {
  return cascade_tf::MarksSize(cascade_tf::TilesOf(*call), call->rois);
}

extern "C" int cascade_tf_roi_align_grad(const CascadeTfRoiAlign* call, const void* upstream, void* workspace,
                                         void* stream) {
  using namespace cascade_tf;
  bool wide = IsAligned(upstream);
  for (int i = 0; i < call->num_levels; ++i) {
    wide = wide && IsAligned(call->gradients[i]) && IsAligned(call->features[i]);
  }
  CASCADE_TF_DISPATCH_PACKS(call->element_type, call->channels, wide, Spread, *call, upstream, workspace, stream);
}
