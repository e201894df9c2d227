// Drawing of objects' pixels from polygons and run lengths: geometry shared by all devices.
//
// Arguments of the op CascadeTf>DrawMasks, all objects of one image
//   corners             [C, 2] float64 (x, y), corners of all polygons one after the other, pixels of `original_size`
//   polygon_corners     [P] int32, how many of them each polygon has, at least 3
//   object_polygons     [N] int32, how many of the polygons each object has
//   runs                [R] int32, run lengths of all objects, down the columns of `original_size`, outside first
//   object_runs         [N] int32, how many of the runs each object has; none where there are polygons
//   original_size       [2] int32 (height, width) of the image that the corners and the runs describe
//   size                [2] int32 (height, width) of the image as it is drawn
//   flip                [] bool, mirror left and right
//   frame               [2] int32 (H, W) of the result, at least `size`
// Results
//   masks  [max(N, 1), H, ceil(W / 8)] uint8, eight pixels in a byte, the leftmost in the highest bit
//   drawn  [N] bool, whether a pixel is set, and true for an object with neither polygons nor runs
//
// Which pixels a polygon covers is decided as in pycocotools, in the same floating-point operations: corners are
// rounded to fifths of a pixel, and the outline crosses the middle of a column of pixels at a fifth of a row. The
// pixels of run lengths are taken from the nearest pixel of the original.
#ifndef CASCADE_TF_DRAW_MASKS_DRAW_MASKS_H_
#define CASCADE_TF_DRAW_MASKS_DRAW_MASKS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace cascade_tf {

// Corners are rounded to this fraction of a pixel.
constexpr int kOutlineSteps = 5;
// Beyond this many pixels from the origin an outline would take too long.
constexpr double kMaxOutline = 1 << 27;

struct OutlinePoint {
  int x, y;  // in fifths of a pixel
};

inline int FloorDivide(int value, int divisor) {
  return value / divisor - (value % divisor != 0 && (value % divisor < 0) != (divisor < 0));
}

// Follows an outline, and notes where it crosses the middles of columns.
class OutlineTracer {
 public:
  // `crossings` gets pixels, counted down the columns, before which the outline passes.
  OutlineTracer(int height, int width, std::vector<int64_t>* crossings)
      : height_(height), width_(width), crossings_(crossings) {}

  void Edge(OutlinePoint from, OutlinePoint to) {
    const int dx = std::abs(to.x - from.x), dy = std::abs(to.y - from.y);
    // An edge and its reverse take the same way, so that neighbours leave no gap.
    const bool wide = dx >= dy, reversed = wide ? from.x > to.x : from.y > to.y;
    const OutlinePoint low = reversed ? to : from, high = reversed ? from : to;
    if (wide) {
      const double slope = static_cast<double>(high.y - low.y) / dx;
      for (int step = 0; step <= dx; ++step) {
        const int t = reversed ? dx - step : step;
        // An edge without length has no slope, and nothing to cross.
        Step({t + low.x, dx == 0 ? low.y : static_cast<int>(low.y + slope * t + 0.5)});
      }
    } else {
      const double slope = static_cast<double>(high.x - low.x) / dy;
      for (int step = 0; step <= dy; ++step) {
        const int t = reversed ? dy - step : step;
        Step({static_cast<int>(low.x + slope * t + 0.5), t + low.y});
      }
    }
  }

 private:
  void Step(OutlinePoint point) {
    const OutlinePoint last = last_;
    last_ = point;
    if (!started_ || point.x == last.x) {
      started_ = true;
      return;
    }
    constexpr int kMiddle = kOutlineSteps / 2;
    const int left = point.x < last.x ? point.x : point.x - 1;
    if (left < 0 || left % kOutlineSteps != kMiddle || left / kOutlineSteps >= width_) return;
    const int upper = std::min(point.y, last.y);
    const int row = -FloorDivide(kMiddle - upper, kOutlineSteps);  // rounded up
    crossings_->push_back(int64_t{left / kOutlineSteps} * height_ + std::min(std::max(row, 0), height_));
  }

  const int height_, width_;
  std::vector<int64_t>* const crossings_;
  OutlinePoint last_{0, 0};
  bool started_ = false;
};

// The nearest pixel of the original for each of `result` pixels along one axis; positions are added up one by one as
// in Pillow.
inline std::vector<int> NearestPixels(int source, int result) {
  std::vector<int> nearest(result);
  const double step = static_cast<double>(source) / result;
  double position = 0.5 * step;
  for (int pixel = 0; pixel < result; ++pixel, position += step) {
    nearest[pixel] = std::min(static_cast<int>(position), source - 1);
  }
  return nearest;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_DRAW_MASKS_DRAW_MASKS_H_
