// Boxes as the first Caffe layers see them, for CPU and GPU.
#ifndef CASCADE_TF_COMMON_PIXEL_CORNERS_H_
#define CASCADE_TF_COMMON_PIXEL_CORNERS_H_

#include "host_device.h"

namespace cascade_tf {

// Far corners are those of the box's last pixel.
struct PixelCorners {
  float x1, y1, x2, y2;
};

// Widens the box on each side by `pad_ratio` times its size in pixels. The order of the operations is Caffe's,
// because what is rounded afterwards depends on the last bit.
CASCADE_TF_HOST_DEVICE PixelCorners MakePixelCorners(const float* box, bool inclusive_boxes, float pad_ratio) {
  const float one = inclusive_boxes ? 0.0f : 1.0f;
  const float x2 = box[2] - one, y2 = box[3] - one;
  const float pad_x = (x2 - box[0] + 1.0f) * pad_ratio, pad_y = (y2 - box[1] + 1.0f) * pad_ratio;
  return {box[0] - pad_x, box[1] - pad_y, x2 + pad_x, y2 + pad_y};
}

// Cells begin .. end - 1 of one axis.
struct CellRange {
  int begin, end;
  CASCADE_TF_HOST_DEVICE bool empty() const { return end <= begin; }
  CASCADE_TF_HOST_DEVICE int size() const { return end - begin; }
};

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_PIXEL_CORNERS_H_
