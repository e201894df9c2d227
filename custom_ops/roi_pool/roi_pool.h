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

#include "../common/roi_inputs.h"

namespace cascade_tf {

struct RoiPoolSettings {
  float stride;
  float pad_ratio;
  bool inclusive_boxes;
};

// The cells of each bin along one axis, for a box from cell `low` to cell `high` before rounding.
inline void MakeMaxBins(float low, float high, int bins, int num_cells, std::vector<CellRange>* ranges) {
  const int first = static_cast<int>(std::round(low)), last = static_cast<int>(std::round(high));
  const float bin = static_cast<float>(std::max(last - first + 1, 1)) / static_cast<float>(bins);
  ranges->resize(bins);
  for (int i = 0; i < bins; ++i) {
    const int begin = static_cast<int>(std::floor(static_cast<float>(i) * bin)) + first;
    const int end = static_cast<int>(std::ceil((static_cast<float>(i) + 1.0f) * bin)) + first;
    (*ranges)[i] = {std::min(std::max(begin, 0), num_cells), std::min(std::max(end, 0), num_cells)};
  }
}

// The bins of a box; returns false if the box is not usable.
inline bool MakeMaxBins(const RoiPoolSettings& settings, const float* box, int height, int width,
                        std::vector<CellRange>* rows, std::vector<CellRange>* columns) {
  const PixelCorners corners = MakePixelCorners(box, settings.inclusive_boxes, settings.pad_ratio);
  const float scale = 1.0f / settings.stride;
  const float x1 = corners.x1 * scale, y1 = corners.y1 * scale, x2 = corners.x2 * scale, y2 = corners.y2 * scale;
  if (!IsUsable(x1) || !IsUsable(y1) || !IsUsable(x2) || !IsUsable(y2)) return false;
  MakeMaxBins(y1, y2, static_cast<int>(rows->size()), height, rows);
  MakeMaxBins(x1, x2, static_cast<int>(columns->size()), width, columns);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_POOL_ROI_POOL_H_
