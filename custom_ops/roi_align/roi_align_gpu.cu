// RoIAlign on a GPU: a block pools an RoI, a thread some channels of a bin.
#include "../common/launch.h"
#include "../common/packs.h"
#include "roi_align_device.h"

namespace cascade_tf {
namespace {

template <typename T, int kPack>
struct PoolRois {
  static constexpr int kThreads = 256;
  // Samples of an axis that are computed once for all bins and channels; an RoI of more computes the others as needed.
  static constexpr int kKept = 64;

  struct Shared {
    AxisSample rows[kKept], columns[kKept];
  };

  CascadeTfRoiAlign call;
  T* output;

  CASCADE_TF_HOST_DEVICE void operator()(const Block<kThreads>& block, Shared& shared) const {
    const RoiPlace roi = MakePlace(call, block.index());
    const int vectors = static_cast<int>(call.channels / kPack);
    const int64_t bins = int64_t{call.output_height} * call.output_width;
    T* out = output + block.index() * bins * call.channels;
    block.ForThreads([&](int thread) {
      if (thread < kKept) {
        if (thread < int64_t{call.output_height} * roi.y.ratio) shared.rows[thread] = RowSample(roi, thread);
      } else if (thread < 2 * kKept) {
        const int k = thread - kKept;
        if (k < int64_t{call.output_width} * roi.x.ratio) shared.columns[k] = ColumnSample(roi, k);
      }
    });
    block.ForThreads([&](int thread) {
      for (int64_t i = thread; i < bins * vectors; i += kThreads) {
        const int64_t bin = i / vectors;
        const int row = static_cast<int>(bin / call.output_width), column = static_cast<int>(bin % call.output_width);
        float sums[kPack] = {};
        if (roi.usable) AddBin(roi, shared, row, column, i % vectors * kPack, sums);
        StorePack<kPack>(sums, out + i * kPack);
      }
    });
  }

  CASCADE_TF_HOST_DEVICE AxisSample RowSample(const RoiPlace& roi, int64_t k) const {
    return MakeAxisSample(roi.y, call.output_height, k, roi.size.height);
  }

  CASCADE_TF_HOST_DEVICE AxisSample ColumnSample(const RoiPlace& roi, int64_t k) const {
    return MakeAxisSample(roi.x, call.output_width, k, roi.size.width);
  }

  CASCADE_TF_HOST_DEVICE void AddBin(const RoiPlace& roi, const Shared& shared, int row, int column,
                                     int64_t channel, float* sums) const {
    const int64_t row_stride = call.widths[roi.level] * call.channels;
    const T* map = static_cast<const T*>(call.features[roi.level]) +
                   roi.image * call.heights[roi.level] * row_stride + channel;
    for (int i = 0; i < roi.y.ratio; ++i) {
      const int64_t y = int64_t{row} * roi.y.ratio + i;
      const AxisSample vertical = y < kKept ? shared.rows[y] : RowSample(roi, y);
      if (vertical.lower < 0) continue;
      const T* upper_row = map + vertical.lower * row_stride;
      const T* lower_row = map + vertical.upper * row_stride;
      for (int j = 0; j < roi.x.ratio; ++j) {
        const int64_t x = int64_t{column} * roi.x.ratio + j;
        const AxisSample across = x < kKept ? shared.columns[x] : ColumnSample(roi, x);
        if (across.lower < 0) continue;
        const int64_t left = across.lower * call.channels, right = across.upper * call.channels;
        AddProduct<kPack>(vertical.lower_weight * across.lower_weight, upper_row + left, sums);
        AddProduct<kPack>(vertical.lower_weight * across.upper_weight, upper_row + right, sums);
        AddProduct<kPack>(vertical.upper_weight * across.lower_weight, lower_row + left, sums);
        AddProduct<kPack>(vertical.upper_weight * across.upper_weight, lower_row + right, sums);
      }
    }
  }
};

template <typename T, int kPack>
int Pool(const CascadeTfRoiAlign& call, void* output, void* stream) {
  return ForBlocks(stream, call.batch * call.rois, PoolRois<T, kPack>{call, static_cast<T*>(output)});
}

}  // namespace
}  // namespace cascade_tf

extern "C" int cascade_tf_roi_align(const CascadeTfRoiAlign* call, void* output, void* stream) {
  using namespace cascade_tf;
  bool wide = IsAligned(output);
  for (int i = 0; i < call->num_levels; ++i) wide = wide && IsAligned(call->features[i]);
  CASCADE_TF_DISPATCH_PACKS(call->element_type, call->channels, wide, Pool, *call, output, stream);
}
