// RoIAlign over the levels of a feature pyramid: geometry shared by all devices.
//
// Arguments of the op CascadeTf>RoiAlign
//   features   L tensors [B, h_l, w_l, C] of type T, float32 or bfloat16, each at least 1 x 1 cell
//   boxes      [B, R, 4] float32, (x1, y1, x2, y2) in pixels
//   levels     [B, R] int32, index of the level that pools each box; clamped to 0 .. L-1
//   map_sizes  [B, L, 2] int32, (height, width) in cells of what each image has of each map, at the upper left; cut to
//              1 .. the map's size. The map ends there for that image. Empty: every image has the whole maps
//   strides    L floats, pixels per cell
//   output_height, output_width   bins
//   sampling_ratio   samples per bin and axis, at most kMaxRatio; 0 = ceil(bin size in cells), cut at kMaxRatio
//   aligned    shift the box by half a cell; otherwise boxes are at least one cell wide and high
// Result       [B, R, output_height, output_width, C] of type T
// The gradient op takes an upstream of type T and returns gradients of type T. All sums are float32 and rounded once.
// Its input `others` is empty, or has L gradients of the features that came from elsewhere: results are added to them,
// in their memory where nothing else reads it.
//
// An output bin is the mean of bilinear samples. A sample more than one cell outside of the map is zero but counts;
// a nearer one takes the border's value. The grid is separable, so an RoI is described by two lists of taps.
//
// Along an axis, an RoI has a start and a length in cells, float32 as everywhere. With n = bins * ratio samples,
// sample k lies at start + length * (2 k + 1) / (2 n), and positions are computed so that one on the border (at -1, or
// at the number of cells) is on it, hence inside: the product is exact in double, and one division rounds it. Steps
// of a rounded 1 / ratio would put such samples out of the map.
#ifndef CASCADE_TF_ROI_ALIGN_ROI_ALIGN_H_
#define CASCADE_TF_ROI_ALIGN_ROI_ALIGN_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/host_device.h"

namespace cascade_tf {

constexpr int kMaxRatio = 256;
// Neighbouring cells are not distinct float32 numbers beyond this coordinate; such an RoI yields zeros.
constexpr float kMaxCells = 16777216.0f;

// Cells of a map.
struct MapSize {
  int height;
  int width;
};

// Extent of an RoI along one axis, in cells relative to the centre of cell 0.
struct AxisExtent {
  float start;
  float length;  // negative for flipped boxes
  float bin;     // length of a bin, rounded
  int ratio;     // samples per bin
};

// Contribution of one cell of the feature map to one bin, along one axis.
struct Tap {
  int cell;
  float weight;
};

// The taps of all bins along one axis: those of bin p are taps[begin[p]] .. taps[begin[p + 1] - 1].
struct AxisTaps {
  std::vector<Tap> taps;
  std::vector<int> begin;
};

// False for NaN and infinity too.
CASCADE_TF_HOST_DEVICE bool IsUsable(float cell) { return std::fabs(cell) <= kMaxCells; }

CASCADE_TF_HOST_DEVICE int ClampLevel(int level, int num_levels) {
  return std::min(std::max(level, 0), num_levels - 1);
}

// What an image has of a map: its entry of map_sizes, if there is one.
CASCADE_TF_HOST_DEVICE MapSize SizeOfImage(const int* own, MapSize map) {
  if (own == nullptr) return map;
  return {std::min(std::max(own[0], 1), map.height), std::min(std::max(own[1], 1), map.width)};
}

// The corners of a box in cells; returns false if the box is not usable.
CASCADE_TF_HOST_DEVICE bool MakeCells(const float* box, float stride, bool aligned, float* cells) {
  const float shift = aligned ? 0.5f : 0.0f;
  for (int i = 0; i < 4; ++i) {
    cells[i] = box[i] / stride - shift;
    if (!IsUsable(cells[i])) return false;
  }
  return true;
}

CASCADE_TF_HOST_DEVICE AxisExtent MakeExtent(float low, float high, int bins, int sampling_ratio, bool aligned) {
  float length = high - low;
  if (!aligned) length = std::max(length, 1.0f);
  const float bin = length / static_cast<float>(bins);
  const float adaptive = std::min(std::max(std::ceil(bin), 0.0f), static_cast<float>(kMaxRatio));
  return {low, length, bin, sampling_ratio > 0 ? sampling_ratio : static_cast<int>(adaptive)};
}

// Adds to the tap of this cell if one of the last few has it (samples move in one direction), else appends.
inline void AddTap(int cell, float weight, size_t first, std::vector<Tap>* taps) {
  const size_t recent = taps->size() > first + 3 ? taps->size() - 3 : first;
  for (size_t i = recent; i < taps->size(); ++i) {
    if ((*taps)[i].cell == cell) {
      (*taps)[i].weight += weight;
      return;
    }
  }
  taps->push_back({cell, weight});
}

// Where sample k of an axis lies: between two cells, the upper of which has the share `fraction`. False outside.
CASCADE_TF_HOST_DEVICE bool MakeSample(const AxisExtent& extent, int bins, double k, int num_cells, int* lower,
                                       int* upper, float* fraction) {
  const double last = num_cells - 1, parts = 2.0 * bins * std::max(extent.ratio, 1);
  double position = extent.start + static_cast<double>(extent.length) * (2.0 * k + 1.0) / parts;
  // Written so that a NaN would count as outside: the cast below must see a cell of the map.
  if (!(position >= -1.0 && position <= last + 1.0)) return false;
  position = std::min(std::max(position, 0.0), last);
  *lower = static_cast<int>(position);
  *upper = std::min(*lower + 1, num_cells - 1);
  *fraction = static_cast<float>(position - *lower);
  return true;
}

inline void MakeTaps(const AxisExtent& extent, int bins, int num_cells, AxisTaps* result) {
  result->taps.clear();
  result->begin.assign(1, 0);
  const float share = 1.0f / static_cast<float>(std::max(extent.ratio, 1));
  for (int bin = 0; bin < bins; ++bin) {
    const size_t first = result->taps.size();
    const double samples_before = static_cast<double>(bin) * extent.ratio;
    for (int sample = 0; sample < extent.ratio; ++sample) {
      int lower, upper;
      float fraction;
      if (!MakeSample(extent, bins, samples_before + sample, num_cells, &lower, &upper, &fraction)) continue;
      AddTap(lower, (1.0f - fraction) * share, first, &result->taps);
      AddTap(upper, fraction * share, first, &result->taps);
    }
    result->begin.push_back(static_cast<int>(result->taps.size()));
  }
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_ALIGN_ROI_ALIGN_H_
