// Where a GPU's threads find an RoI and its samples.
#ifndef CASCADE_TF_ROI_ALIGN_ROI_ALIGN_DEVICE_H_
#define CASCADE_TF_ROI_ALIGN_ROI_ALIGN_DEVICE_H_

#include "../common/host_device.h"
#include "roi_align.h"
#include "roi_align_gpu.h"

namespace cascade_tf {

struct RoiPlace {
  bool usable;
  int level;
  int64_t image;
  MapSize size;  // what the image has of the map
  AxisExtent y, x;
};

CASCADE_TF_HOST_DEVICE RoiPlace MakePlace(const CascadeTfRoiAlign& call, int64_t roi) {
  RoiPlace place = {};
  place.level = ClampLevel(call.levels[roi], call.num_levels);
  place.image = roi / call.rois;
  const int* own =
      call.map_sizes == nullptr ? nullptr : call.map_sizes + 2 * (place.image * call.num_levels + place.level);
  place.size = SizeOfImage(own, {call.heights[place.level], call.widths[place.level]});
  float cells[4];
  place.usable = MakeCells(call.boxes + 4 * roi, call.strides[place.level], call.aligned != 0, cells);
  if (!place.usable) return place;
  place.y = MakeExtent(cells[1], cells[3], call.output_height, call.sampling_ratio, call.aligned != 0);
  place.x = MakeExtent(cells[0], cells[2], call.output_width, call.sampling_ratio, call.aligned != 0);
  return place;
}

// Two neighbouring cells with their weights in the mean of a bin; `lower` is -1 outside of the map.
struct AxisSample {
  int lower, upper;
  float lower_weight, upper_weight;
};

CASCADE_TF_HOST_DEVICE AxisSample MakeAxisSample(const AxisExtent& extent, int bins, int64_t k, int num_cells) {
  AxisSample sample = {-1, -1, 0.0f, 0.0f};
  float fraction;
  if (!MakeSample(extent, bins, static_cast<double>(k), num_cells, &sample.lower, &sample.upper, &fraction)) {
    return sample;
  }
  const float share = 1.0f / static_cast<float>(extent.ratio);
  sample.lower_weight = (1.0f - fraction) * share;
  sample.upper_weight = fraction * share;
  return sample;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_ROI_ALIGN_ROI_ALIGN_DEVICE_H_
