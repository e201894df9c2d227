// Position-sensitive RoI pooling of R-FCN, with the arithmetic of its Caffe layer: geometry shared by all devices.
//
// Arguments of the op CascadeTf>PsRoiPool
//   features   [B, h, w, D * output_height * output_width] of type T, float32 or bfloat16, at least 1 x 1 cell;
//              the channel of class d and bin (row, column) is (d * output_height + row) * output_width + column
//   boxes      [B, R, 4] float32, (x1, y1, x2, y2) in pixels
//   stride     pixels per cell
//   output_height, output_width   bins
//   inclusive_boxes   x2 and y2 are the last pixels of a box; otherwise its far edges, one more
// Result       [B, R, output_height, output_width, D] of type T
// The gradient op takes an upstream of type T and returns the gradient of type T. All sums are float32 and rounded
// once.
//
// A box's corners are rounded to pixels, halves away from zero. A bin is the mean of the cells that it touches, each
// with the same weight, in its own channels; 0 where none of them is on the map.
#ifndef CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_H_
#define CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "../common/roi_inputs.h"

namespace cascade_tf {

struct PsRoiPoolSettings {
  float stride;
  bool inclusive_boxes;
};

// The cells of each bin along one axis, for a box from `low` to `high` in cells.
inline void MakeMeanBins(float low, float high, int bins, int num_cells, std::vector<CellRange>* ranges) {
  const float bin = std::max(high - low, 0.1f) / static_cast<float>(bins);
  ranges->resize(bins);
  for (int i = 0; i < bins; ++i) {
    const int begin = static_cast<int>(std::floor(static_cast<float>(i) * bin + low));
    const int end = static_cast<int>(std::ceil((static_cast<float>(i) + 1.0f) * bin + low));
    (*ranges)[i] = {std::min(std::max(begin, 0), num_cells), std::min(std::max(end, 0), num_cells)};
  }
}

// The bins of a box; returns false if the box is not usable.
inline bool MakeMeanBins(const PsRoiPoolSettings& settings, const float* box, int height, int width,
                         std::vector<CellRange>* rows, std::vector<CellRange>* columns) {
  const PixelCorners corners = MakePixelCorners(box, settings.inclusive_boxes, 0.0f);
  const float scale = 1.0f / settings.stride;
  const float x1 = std::round(corners.x1) * scale, y1 = std::round(corners.y1) * scale;
  const float x2 = (std::round(corners.x2) + 1.0f) * scale, y2 = (std::round(corners.y2) + 1.0f) * scale;
  if (!IsUsable(x1) || !IsUsable(y1) || !IsUsable(x2) || !IsUsable(y2)) return false;
  MakeMeanBins(y1, y2, static_cast<int>(rows->size()), height, rows);
  MakeMeanBins(x1, x2, static_cast<int>(columns->size()), width, columns);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_H_
