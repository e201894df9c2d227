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

#include "../common/pixel_corners.h"
#include "../roi_align/roi_align.h"

namespace cascade_tf {

struct PsRoiPoolSettings {
  float stride;
  bool inclusive_boxes;
};

// A box along one axis: the cells that its bins divide.
struct MeanAxis {
  float low;  // in cells
  float bin;  // length of a bin
  int num_cells;

  CASCADE_TF_HOST_DEVICE CellRange Bin(int i) const {
    const int begin = static_cast<int>(std::floor(static_cast<float>(i) * bin + low));
    const int end = static_cast<int>(std::ceil((static_cast<float>(i) + 1.0f) * bin + low));
    return {std::min(std::max(begin, 0), num_cells), std::min(std::max(end, 0), num_cells)};
  }
};

CASCADE_TF_HOST_DEVICE MeanAxis MakeMeanAxis(float low, float high, int bins, int num_cells) {
  return {low, std::max(high - low, 0.1f) / static_cast<float>(bins), num_cells};
}

// Both axes of a box; returns false if the box is not usable.
CASCADE_TF_HOST_DEVICE bool MakeMeanAxes(const PsRoiPoolSettings& settings, const float* box, int output_height,
                                         int output_width, int height, int width, MeanAxis* rows,
                                         MeanAxis* columns) {
  const PixelCorners corners = MakePixelCorners(box, settings.inclusive_boxes, 0.0f);
  const float scale = 1.0f / settings.stride;
  const float x1 = std::round(corners.x1) * scale, y1 = std::round(corners.y1) * scale;
  const float x2 = (std::round(corners.x2) + 1.0f) * scale, y2 = (std::round(corners.y2) + 1.0f) * scale;
  if (!IsUsable(x1) || !IsUsable(y1) || !IsUsable(x2) || !IsUsable(y2)) return false;
  *rows = MakeMeanAxis(y1, y2, output_height, height);
  *columns = MakeMeanAxis(x1, x2, output_width, width);
  return true;
}

// The cells of the bins of a box; returns false if the box is not usable.
inline bool MakeMeanBins(const PsRoiPoolSettings& settings, const float* box, int height, int width,
                         std::vector<CellRange>* rows, std::vector<CellRange>* columns) {
  const int output_height = static_cast<int>(rows->size()), output_width = static_cast<int>(columns->size());
  MeanAxis y, x;
  if (!MakeMeanAxes(settings, box, output_height, output_width, height, width, &y, &x)) return false;
  for (int i = 0; i < output_height; ++i) (*rows)[i] = y.Bin(i);
  for (int i = 0; i < output_width; ++i) (*columns)[i] = x.Bin(i);
  return true;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PS_ROI_POOL_PS_ROI_POOL_H_
