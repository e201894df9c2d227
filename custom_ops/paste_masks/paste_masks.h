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
#include <limits>
#include <vector>

#include "../common/host_device.h"

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

// Where a pixel lies between the centres of two cells; `cell` as in CellRun, -1 outside of the mask.
struct PixelPlace {
  int cell;
  float lower;  // weights of the neighbours
  float upper;
};

CASCADE_TF_HOST_DEVICE PixelPlace PlacePixel(int pixel, float low, float length, int cells) {
  const float half = static_cast<float>(cells) / 2.0f;
  const float relative = (static_cast<float>(pixel) + 0.5f - low) / length * 2.0f - 1.0f;
  const float position = (relative + 1.0f) * half - 0.5f;
  const float floor = std::floor(position);
  const float upper = position - floor;
  // Written so that a NaN would count as outside.
  const bool inside = position >= -1.0f && position < static_cast<float>(cells);
  return {inside ? static_cast<int>(floor) + 1 : -1, 1.0f - upper, upper};
}

// Pixels begin .. end - 1 that a box from `low` to `high` may reach.
struct PixelRange {
  int begin, end;
};

CASCADE_TF_HOST_DEVICE PixelRange MakePixelRange(float low, float high, int pixels) {
  const float last = static_cast<float>(pixels);
  return {static_cast<int>(std::min(std::max(std::floor(low) - 1.0f, 0.0f), last)),
          static_cast<int>(std::min(std::max(std::ceil(high) + 1.0f, 0.0f), last))};
}

// `low`, `high`: the box; `pixels`, `cells`: sizes of the image and of the mask.
inline void MakePixelAxis(float low, float high, int pixels, int cells, PixelAxis* axis) {
  axis->runs.clear();
  axis->lower.clear();
  axis->upper.clear();
  const PixelRange range = MakePixelRange(low, high, pixels);
  axis->first = range.begin;
  const float length = high - low;
  for (int pixel = range.begin; pixel < range.end; ++pixel) {
    const PixelPlace place = PlacePixel(pixel, low, length, cells);
    axis->upper.push_back(place.upper);
    axis->lower.push_back(place.lower);
    if (place.cell < 0) continue;
    if (axis->runs.empty() || axis->runs.back().cell != place.cell) {
      axis->runs.push_back({place.cell, pixel, pixel});
    }
    axis->runs.back().end = pixel + 1;
  }
}

// Only a box with finite sides above zero has pixels.
CASCADE_TF_HOST_DEVICE bool HasArea(const float* box) {
  const float width = box[2] - box[0], height = box[3] - box[1];
  const float infinity = std::numeric_limits<float>::infinity();
  return std::fabs(box[0]) < infinity && std::fabs(box[1]) < infinity && width > 0.0f && width < infinity &&
         height > 0.0f && height < infinity;
}

// Interpolation between four values rounds by less than this; values are probabilities.
constexpr float kRounding = 1e-5f;

// Whether the mask reaches the threshold for certain, whatever the weights, or cannot.
CASCADE_TF_HOST_DEVICE bool IsCertain(float a, float b, float c, float d, float threshold) {
  const float certain = threshold + kRounding;
  return a >= certain && b >= certain && c >= certain && d >= certain;
}

CASCADE_TF_HOST_DEVICE bool IsHopeless(float a, float b, float c, float d, float threshold) {
  const float hopeless = threshold - kRounding;
  return a < hopeless && b < hopeless && c < hopeless && d < hopeless;
}

CASCADE_TF_HOST_DEVICE float Interpolate(float a, float b, float c, float d, float left, float right, float top,
                                         float bottom) {
  return a * (left * top) + b * (right * top) + c * (left * bottom) + d * (right * bottom);
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_PASTE_MASKS_PASTE_MASKS_H_
