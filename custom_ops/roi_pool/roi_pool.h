// RoIPool of Fast R-CNN, with the arithmetic of its Caffe layer: geometry shared by all devices.
//
// Arguments of the op CascadeTf>RoiPool
//   features   [B, h, w, C] of type T, float32 or bfloat16, at least 1 x 1 cell
//   boxes      [B, R, 4] float32, (x1, y1, x2, y2) in pixels
//   stride     pixels per cell
//   output_height, output_width   bins
//   pad_ratio  widens a box on each side by this share of its size in pixels
//   inclusive_boxes   x2 and y2 are the last pixels of a box; otherwise its far edges, one more
// Result       [B, R, output_height, output_width, C] of type T
// The gradient op takes an upstream of type T and the features, finds the largest cells again, and returns the
// gradient in the features, of type T. Its sums are float32 and rounded once.
//
// A box's corners are rounded to cells, halves away from zero, and both corner cells belong to it. Bins may share
// cells. The result is the largest value of a bin, 0 where none of its cells is on the map; the first cell with that
// value, row by row, gets the gradient. A NaN among a bin's values is its largest.
#ifndef CASCADE_TF_ROI_POOL_ROI_POOL_H_
#define CASCADE_TF_ROI_POOL_ROI_POOL_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/pixel_corners.h"
#include "../roi_align/roi_align.h"

namespace cascade_tf {

struct RoiPoolSettings {
  float stride;
  float pad_ratio;
  bool inclusive_boxes;
};

// A box along one axis: the cells that its bins divide.
struct MaxAxis {
  int first;  // cell
  float bin;  // length of a bin
  int num_cells;

  CASCADE_TF_HOST_DEVICE CellRange Bin(int i) const {
    const int begin = static_cast<int>(std::floor(static_cast<float>(i) * bin)) + first;
    const int end = static_cast<int>(std::ceil((static_cast<float>(i) + 1.0f) * bin)) + first;
    return {std::min(std::max(begin, 0), num_cells), std::min(std::max(end, 0), num_cells)};
  }
};

// For a box from cell `low` to cell `high` before rounding.
CASCADE_TF_HOST_DEVICE MaxAxis MakeMaxAxis(float low, float high, int bins, int num_cells) {
  const int first = static_cast<int>(std::round(low)), last = static_cast<int>(std::round(high));
  return {first, static_cast<float>(std::max(last - first + 1, 1)) / static_cast<float>(bins), num_cells};
}

// Both axes of a box; returns false if the box is not usable.
CASCADE_TF_HOST_DEVICE bool MakeMaxAxes(const RoiPoolSettings& settings, const float* box, int output_height,
                                        int output_width, int height, int width, MaxAxis* rows, MaxAxis* columns) {
  const PixelCorners corners = MakePixelCorners(box, settings.inclusive_boxes, settings.pad_ratio);
  const float scale = 1.0f / settings.stride;
  const float x1 = corners.x1 * scale, y1 = corners.y1 * scale, x2 = corners.x2 * scale, y2 = corners.y2 * scale;
  if (!IsUsable(x1) || !IsUsable(y1) || !IsUsable(x2) || !IsUsable(y2)) return false;
  *rows = MakeMaxAxis(y1, y2, output_height, height);
  *columns = MakeMaxAxis(x1, x2, output_width, width);
  return true;
}

// The cells of the bins of a box; returns false if the box is not usable.
inline bool MakeMaxBins(const RoiPoolSettings& settings, const float* box, int height, int width,
                        std::vector<CellRange>* rows, std::vector<CellRange>* columns) {
  const int output_height = static_cast<int>(rows->size()), output_width = static_cast<int>(columns->size());
  MaxAxis y, x;
  if (!MakeMaxAxes(settings, box, output_height, output_width, height, width, &y, &x)) return false;
  for (int i = 0; i < output_height; ++i) (*rows)[i] = y.Bin(i);
  for (int i = 0; i < output_width; ++i) (*columns)[i] = x.Bin(i);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_POOL_ROI_POOL_H_
