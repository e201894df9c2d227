// Pasting of predicted masks into an image: geometry shared by all devices.
//
// Arguments of the op CascadeTf>PasteMasks
//   masks       [N, P, Q] float32, values of the P x Q cells that divide each box
//   boxes       [N, 4] float32 (x1, y1, x2, y2) in pixels
//   image_size  [2] int32 (H, W)
//   threshold   0 < threshold <= 1
// Result        [N, H, W] bool: whether the mask, interpolated bilinearly at the pixel's centre, reaches the threshold
//
// Outside of its box a mask falls off to zero within half a cell. A box with a coordinate that is not finite, or
// without area, gives an empty mask. Sums and products are ordered as in PyTorch's grid_sample, so that even values
// that hit the threshold exactly are decided alike.
#ifndef CASCADE_TF_PASTE_MASKS_PASTE_MASKS_H_
#define CASCADE_TF_PASTE_MASKS_PASTE_MASKS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace cascade_tf {

// Pixels begin .. end - 1 along one axis whose centres lie between the centres of cell - 1 and cell.
struct CellRun {
  int cell;  // 0 .. number of cells: index of the lower neighbour in a mask with a border of one zero cell
  int begin;
  int end;
};

// Where the pixels of a box lie among the cells of its mask, along one axis.
struct PixelAxis {
  std::vector<CellRun> runs;
  std::vector<float> lower;  // weight of the lower neighbour, from pixel `first` on
  std::vector<float> upper;
  int first = 0;
};

// `low`, `high`: the box; `pixels`, `cells`: sizes of the image and of the mask.
inline void MakePixelAxis(float low, float high, int pixels, int cells, PixelAxis* axis) {
  axis->runs.clear();
  axis->lower.clear();
  axis->upper.clear();
  const float last = static_cast<float>(pixels);
  const int begin = static_cast<int>(std::min(std::max(std::floor(low) - 1.0f, 0.0f), last));
  const int end = static_cast<int>(std::min(std::max(std::ceil(high) + 1.0f, 0.0f), last));
  axis->first = begin;
  const float length = high - low, half = static_cast<float>(cells) / 2.0f;
  for (int pixel = begin; pixel < end; ++pixel) {
    const float relative = (static_cast<float>(pixel) + 0.5f - low) / length * 2.0f - 1.0f;
    const float position = (relative + 1.0f) * half - 0.5f;
    const float floor = std::floor(position);
    axis->upper.push_back(position - floor);
    axis->lower.push_back(1.0f - axis->upper.back());
    // Written so that a NaN would count as outside.
    if (!(position >= -1.0f && position < static_cast<float>(cells))) continue;
    const int cell = static_cast<int>(floor) + 1;
    if (axis->runs.empty() || axis->runs.back().cell != cell) axis->runs.push_back({cell, pixel, pixel});
    axis->runs.back().end = pixel + 1;
  }
}

// Only a box with finite sides above zero has pixels.
inline bool HasArea(const float* box) {
  const float width = box[2] - box[0], height = box[3] - box[1];
  return std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(width) && std::isfinite(height) &&
         width > 0.0f && height > 0.0f;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PASTE_MASKS_PASTE_MASKS_H_
