// Pasting of masks on a GPU: a thread decides eight neighbouring pixels, and writes them at once.
#include "../common/launch.h"
#include "../common/packs.h"
#include "paste_masks.h"
#include "paste_masks_gpu.h"

namespace cascade_tf {
namespace {

constexpr int kPixels = 8;

struct PastePixels {
  CascadeTfPasteMasks call;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t all = call.count * call.height * call.width, first = i * kPixels;
    Pack<uint8_t, kPixels> pixels = {};
    for (int j = 0; j < kPixels && first + j < all; ++j) pixels.values[j] = IsObject(first + j);
    if (first + kPixels <= all && reinterpret_cast<uintptr_t>(call.pasted) % kPixels == 0) {
      *reinterpret_cast<Pack<uint8_t, kPixels>*>(call.pasted + first) = pixels;
      return;
    }
    for (int j = 0; j < kPixels && first + j < all; ++j) call.pasted[first + j] = pixels.values[j];
  }

  CASCADE_TF_HOST_DEVICE bool IsObject(int64_t pixel) const {
    const int64_t row_index = pixel / call.width, index = row_index / call.height;
    const float* box = call.boxes + 4 * index;
    if (!HasArea(box)) return false;
    const PixelPlace x =
        Place(static_cast<int>(pixel % call.width), box[0], box[2], call.width, call.mask_width);
    if (x.cell < 0) return false;
    const PixelPlace y =
        Place(static_cast<int>(row_index % call.height), box[1], box[3], call.height, call.mask_height);
    if (y.cell < 0) return false;
    const float a = Cell(index, y.cell, x.cell), b = Cell(index, y.cell, x.cell + 1);
    const float c = Cell(index, y.cell + 1, x.cell), d = Cell(index, y.cell + 1, x.cell + 1);
    if (IsHopeless(a, b, c, d, call.threshold)) return false;
    if (IsCertain(a, b, c, d, call.threshold)) return true;
    return Interpolate(a, b, c, d, x.lower, x.upper, y.lower, y.upper) >= call.threshold;
  }

  CASCADE_TF_HOST_DEVICE static PixelPlace Place(int pixel, float low, float high, int pixels, int cells) {
    const PixelRange range = MakePixelRange(low, high, pixels);
    if (pixel < range.begin || pixel >= range.end) return {-1, 0.0f, 0.0f};
    return PlacePixel(pixel, low, high - low, cells);
  }

  // Of a mask with a border of one zero cell.
  CASCADE_TF_HOST_DEVICE float Cell(int64_t index, int row, int column) const {
    if (row < 1 || row > call.mask_height || column < 1 || column > call.mask_width) return 0.0f;
    return call.masks[(index * call.mask_height + row - 1) * call.mask_width + column - 1];
  }
};

}  // namespace
}  // namespace cascade_tf

extern "C" int cascade_tf_paste_masks(const CascadeTfPasteMasks* call, void* stream) {
  const int64_t all = call->count * call->height * call->width;
  return cascade_tf::ForEach(stream, (all + cascade_tf::kPixels - 1) / cascade_tf::kPixels,
                             cascade_tf::PastePixels{*call});
}
