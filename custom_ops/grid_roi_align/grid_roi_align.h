// The Cascade R-CNN authors' own RoIAlign over the levels of a feature pyramid: geometry shared by all devices.
//
// Arguments of the op CascadeTf>GridRoiAlign
//   features   L tensors [B, h_l, w_l, C] of type T, float32 or bfloat16, each at least 1 x 1 cell
//   boxes      [B, R, 4] float32, (x1, y1, x2, y2) in pixels
//   levels     [B, R] int32, index of the level that pools each box; clamped to 0 .. L-1
//   strides    L floats, pixels per cell
//   output_height, output_width   bins
//   average    the result are bins; otherwise the points of the grid, one more per axis
//   pad_ratio  widens a box on each side by this share of its size in pixels
//   inclusive_boxes   x2 and y2 are the last pixels of a box; otherwise its far edges, one more
// Result       [B, R, output_height (+ 1), output_width (+ 1), C] of type T
// The gradient op takes an upstream of type T and returns gradients of type T. All sums are float32 and rounded once.
//
// The corners of the bins are points of a grid from a box's first pixel to its last. Each is one bilinear sample, with
// coordinates moved by half a cell; a point farther than half a cell outside of the centres of the map is zero, a nearer
// one takes the border's value. A bin is the mean of its four corners. A box without width or height is zero.
#ifndef CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_H_
#define CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/roi_inputs.h"

namespace cascade_tf {

struct GridRoiAlignSettings {
  std::vector<float> strides;
  float pad_ratio;
  bool inclusive_boxes;
  bool average;
};

// A point of the grid along one axis, between two cells. Outside of the map both weights are zero.
struct GridPoint {
  int lower, upper;
  float lower_weight, upper_weight;
  bool inside;
};

// The points of a box from `low` to `high` along one axis, one more than there are bins.
inline void MakeGridPoints(float low, float high, int num_cells, std::vector<GridPoint>* points) {
  const float bin = (high - low) / static_cast<float>(points->size() - 1);
  const float last = static_cast<float>(num_cells - 1);
  for (size_t i = 0; i < points->size(); ++i) {
    const float position = low + static_cast<float>(i) * bin;
    GridPoint& point = (*points)[i];
    point = {0, 0, 0.0f, 0.0f, position >= -0.5f && position <= static_cast<float>(num_cells) - 0.5f};
    if (!point.inside) continue;
    const float clamped = std::min(std::max(position, 0.0f), last);
    point.lower = static_cast<int>(clamped);
    point.upper = std::min(point.lower + 1, num_cells - 1);
    point.upper_weight = clamped - static_cast<float>(point.lower);
    point.lower_weight = 1.0f - point.upper_weight;
  }
}

// The points of a box on a map; returns false if the box is not usable or has no width or height.
inline bool MakeGridPoints(const GridRoiAlignSettings& settings, const float* box, float stride, int height, int width,
                           std::vector<GridPoint>* rows, std::vector<GridPoint>* columns) {
  const PixelCorners corners = MakePixelCorners(box, settings.inclusive_boxes, settings.pad_ratio);
  const float scale = 1.0f / stride;
  const float x1 = corners.x1 * scale - 0.5f, y1 = corners.y1 * scale - 0.5f;
  const float x2 = corners.x2 * scale - 0.5f, y2 = corners.y2 * scale - 0.5f;
  if (!IsUsable(x1) || !IsUsable(y1) || !IsUsable(x2) || !IsUsable(y2)) return false;
  if (x2 - x1 <= 0.0f || y2 - y1 <= 0.0f) return false;
  MakeGridPoints(y1, y2, height, rows);
  MakeGridPoints(x1, x2, width, columns);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_GRID_ROI_ALIGN_GRID_ROI_ALIGN_H_
