// Masks of objects, cut out at boxes for training: geometry shared by all devices.
//
// Arguments of the op CascadeTf>CropMasks
//   masks         [B, G, H, W / 8 rounded up] uint8, eight pixels in a byte, the leftmost in the highest bit
//   image_size    [B, 2] int32 (height, width) of the image within its frame; pixels beyond are not read
//   boxes         [B, S, 4] float32 (x1, y1, x2, y2) in pixels
//   object_index  [B, S] int32, the object of each box; checked where the box is valid
//   valid         [B, S] bool
//   output_size   M
//                 On a GPU, which cannot look at values before it runs, a box of an object that there is not gives
//                 zeros, and sizes of images are cut to those of the masks.
// Result          [B, S, M, M] float32: 1 where RoIAlign of the mask (aligned, one sample per pixel and axis, rounded
//                 up) is at least a half; zeros for boxes that are not valid or not usable (see roi_align.h)
//
// Samples are added up in the order of torchvision's kernel, so that sums of exactly a half are decided alike.
#ifndef CASCADE_TF_MASK_TARGETS_MASK_TARGETS_H_
#define CASCADE_TF_MASK_TARGETS_MASK_TARGETS_H_

#include <cstdint>
#include <vector>

#include "../roi_align/roi_align.h"

namespace cascade_tf {

// One sample's place along one axis: two pixels and their weights, both 0 outside of the image.
struct PixelPair {
  int lower;
  int upper;
  float lower_weight;
  float upper_weight;
};

CASCADE_TF_HOST_DEVICE PixelPair MakePixelPair(const AxisExtent& extent, int bin, int sample, int num_pixels) {
  const int last = num_pixels - 1;
  const float offset = (static_cast<float>(sample) + 0.5f) * extent.bin / static_cast<float>(extent.ratio);
  float position = extent.start + static_cast<float>(bin) * extent.bin + offset;
  if (!(position >= -1.0f && position <= static_cast<float>(num_pixels))) return {0, 0, 0.0f, 0.0f};
  position = std::min(std::max(position, 0.0f), static_cast<float>(last));
  const int lower = static_cast<int>(position);
  const float fraction = position - static_cast<float>(lower);
  return {lower, std::min(lower + 1, last), 1.0f - fraction, fraction};
}

// The samples of all bins along one axis, `extent.ratio` per bin.
inline void MakePixelPairs(const AxisExtent& extent, int bins, int num_pixels, std::vector<PixelPair>* pairs) {
  pairs->clear();
  for (int bin = 0; bin < bins; ++bin) {
    for (int sample = 0; sample < extent.ratio; ++sample) {
      pairs->push_back(MakePixelPair(extent, bin, sample, num_pixels));
    }
  }
}

// The extents of a box in pixels; returns false if the box is not usable.
CASCADE_TF_HOST_DEVICE bool MakeMaskExtents(const float* box, int output_size, AxisExtent* x, AxisExtent* y) {
  float pixels[4];
  for (int i = 0; i < 4; ++i) {
    pixels[i] = box[i] - 0.5f;
    if (!IsUsable(pixels[i])) return false;
  }
  *x = MakeExtent(pixels[0], pixels[2], output_size, 0, true);
  *y = MakeExtent(pixels[1], pixels[3], output_size, 0, true);
  return true;
}

// A pixel of a row with eight in a byte.
CASCADE_TF_HOST_DEVICE float PixelAt(const uint8_t* row, int x) {
  return static_cast<float>((row[x >> 3] >> (7 - (x & 7))) & 1);
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_MASK_TARGETS_MASK_TARGETS_H_
