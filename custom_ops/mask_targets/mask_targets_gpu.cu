// The cutting out of masks on a GPU: a thread decides one cell of a target.
#include "../common/launch.h"
#include "mask_targets.h"
#include "mask_targets_gpu.h"

namespace cascade_tf {
namespace {

struct CropCell {
  CascadeTfCropMasks call;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int bins = call.output_size * call.output_size;
    const int64_t box = i / bins;
    call.targets[i] = IsObject(box, static_cast<int>(i % bins)) ? 1.0f : 0.0f;
  }

  CASCADE_TF_HOST_DEVICE bool IsObject(int64_t box, int bin) const {
    const int64_t image = box / call.num_boxes;
    const int32_t object = call.object_index[box];
    if (call.valid[box] == 0 || object < 0 || object >= call.objects) return false;
    const int32_t* size = call.image_size + 2 * image;
    const int height = static_cast<int>(std::min<int64_t>(size[0], call.height));
    const int width = static_cast<int>(std::min<int64_t>(size[1], 8 * call.row_bytes));
    AxisExtent x, y;
    if (height <= 0 || width <= 0 || !MakeMaskExtents(call.boxes + 4 * box, call.output_size, &x, &y)) return false;
    const uint8_t* mask = call.masks + (image * call.objects + object) * call.height * call.row_bytes;
    float sum = 0.0f;
    for (int row = 0; row < y.ratio; ++row) {
      const PixelPair vertical = MakePixelPair(y, bin / call.output_size, row, height);
      const uint8_t* top = mask + vertical.lower * call.row_bytes;
      const uint8_t* bottom = mask + vertical.upper * call.row_bytes;
      for (int column = 0; column < x.ratio; ++column) {
        sum += Sample(top, bottom, vertical, MakePixelPair(x, bin % call.output_size, column, width));
      }
    }
    return sum / static_cast<float>(std::max(x.ratio * y.ratio, 1)) >= 0.5f;
  }

  // In the order of the CPU's sums.
  CASCADE_TF_HOST_DEVICE static float Sample(const uint8_t* top, const uint8_t* bottom, const PixelPair& y,
                                             const PixelPair& x) {
    return (y.lower_weight * x.lower_weight) * PixelAt(top, x.lower) +
           (y.lower_weight * x.upper_weight) * PixelAt(top, x.upper) +
           (y.upper_weight * x.lower_weight) * PixelAt(bottom, x.lower) +
           (y.upper_weight * x.upper_weight) * PixelAt(bottom, x.upper);
  }
};

}  // namespace
}  // namespace cascade_tf

extern "C" int cascade_tf_crop_masks(const CascadeTfCropMasks* call, void* stream) {
  const int64_t cells = call->batch * call->num_boxes * call->output_size * call->output_size;
  return cascade_tf::ForEach(stream, cells, cascade_tf::CropCell{*call});
}
