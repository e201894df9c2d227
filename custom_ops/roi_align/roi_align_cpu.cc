// RoIAlign and its gradient on the CPU.
//
// Forward: RoIs are independent, so threads take ranges of them. Backward: RoIs overlap, so threads take blocks of
// channels and walk through all RoIs in order. No two threads write to the same place, and the result does not
// depend on the number of threads.
#include <cstring>

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "roi_align.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// out[c] = sum over i of weights[i] * cells[i][c]
CASCADE_TF_VECTORIZED
void WeightedSum(const float* const* cells, const float* weights, int count, int64_t channels,
                 float* __restrict__ out) {
  std::memset(out, 0, channels * sizeof(float));
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const float *a = cells[i], *b = cells[i + 1], *c = cells[i + 2], *d = cells[i + 3];
    const float wa = weights[i], wb = weights[i + 1], wc = weights[i + 2], wd = weights[i + 3];
    for (int64_t k = 0; k < channels; ++k) out[k] += (wa * a[k] + wb * b[k]) + (wc * c[k] + wd * d[k]);
  }
  for (; i < count; ++i) {
    const float* a = cells[i];
    const float wa = weights[i];
    for (int64_t k = 0; k < channels; ++k) out[k] += wa * a[k];
  }
}

// cells[i][c] += weights[i] * upstream[c]
CASCADE_TF_VECTORIZED
void WeightedSpread(const float* __restrict__ upstream, const float* weights, int count, int64_t channels,
                    float* const* cells) {
  for (int i = 0; i < count; ++i) {
    float* __restrict__ cell = cells[i];
    const float weight = weights[i];
    for (int64_t k = 0; k < channels; ++k) cell[k] += weight * upstream[k];
  }
}

// One level of the pyramid: `Float` is `const float` forward and `float` backward.
template <typename Float>
struct Level {
  Float* data;
  int height;
  int width;
};

struct Settings {
  std::vector<float> strides;
  int output_height;
  int output_width;
  int sampling_ratio;
  bool aligned;
};

// The taps of one RoI after another, with storage that is reused.
class RoiTaps {
 public:
  explicit RoiTaps(const Settings& settings) : settings_(settings) {}

  // Returns false if the RoI is not usable.
  bool Set(const float* box, float stride, int height, int width) {
    const float scale = 1.0f / stride, shift = settings_.aligned ? 0.5f : 0.0f;
    float cells[4];
    for (int i = 0; i < 4; ++i) {
      cells[i] = box[i] * scale - shift;
      if (!IsUsable(cells[i])) return false;
    }
    const Settings& s = settings_;
    const AxisExtent x = MakeExtent(cells[0], cells[2], s.output_width, s.sampling_ratio, s.aligned);
    const AxisExtent y = MakeExtent(cells[1], cells[3], s.output_height, s.sampling_ratio, s.aligned);
    MakeTaps(y, s.output_height, height, &y_);
    MakeTaps(x, s.output_width, width, &x_);
    return true;
  }

  // Collects the address and the weight of each cell that contributes to a bin; returns their number.
  template <typename Float>
  int Bin(int row, int column, Float* map, int64_t row_stride, int64_t cell_stride) {
    cells_.clear();
    weights_.clear();
    for (int i = y_.begin[row]; i < y_.begin[row + 1]; ++i) {
      const Tap y = y_.taps[i];
      for (int j = x_.begin[column]; j < x_.begin[column + 1]; ++j) {
        const Tap x = x_.taps[j];
        cells_.push_back(const_cast<float*>(map + y.cell * row_stride + x.cell * cell_stride));
        weights_.push_back(y.weight * x.weight);
      }
    }
    return static_cast<int>(cells_.size());
  }

  float* const* cells() const { return cells_.data(); }
  const float* weights() const { return weights_.data(); }

 private:
  const Settings& settings_;
  AxisTaps x_, y_;
  std::vector<float*> cells_;
  std::vector<float> weights_;
};

void ReadSettings(OpKernelConstruction* context, Settings* settings) {
  int num_levels;
  OP_REQUIRES_OK(context, context->GetAttr("num_levels", &num_levels));
  OP_REQUIRES_OK(context, context->GetAttr("strides", &settings->strides));
  OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &settings->sampling_ratio));
  OP_REQUIRES_OK(context, context->GetAttr("aligned", &settings->aligned));
  OP_REQUIRES(context, static_cast<int>(settings->strides.size()) == num_levels,
              absl::InvalidArgumentError(absl::StrCat("roi_align: ", num_levels, " levels need as many strides, got ",
                                                      settings->strides.size())));
  OP_REQUIRES(context, settings->sampling_ratio <= kMaxRatio,
              absl::InvalidArgumentError(absl::StrCat("roi_align: sampling_ratio must be at most ", kMaxRatio, ", got ",
                                                      settings->sampling_ratio)));
  for (const float stride : settings->strides) {
    OP_REQUIRES(context, stride > 0.0f && std::isfinite(stride),
                absl::InvalidArgumentError(absl::StrCat("roi_align: strides must be positive, got ", stride)));
  }
}

void CheckRois(OpKernelContext* context, const Tensor& boxes, const Tensor& levels) {
  OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(2) == 4,
              absl::InvalidArgumentError(
                  absl::StrCat("roi_align: boxes must be [B, R, 4], got ", boxes.shape().DebugString())));
  OP_REQUIRES(
      context,
      levels.dims() == 2 && levels.dim_size(0) == boxes.dim_size(0) && levels.dim_size(1) == boxes.dim_size(1),
      absl::InvalidArgumentError(absl::StrCat("roi_align: levels must be [B, R] as boxes ",
                                              boxes.shape().DebugString(), ", got ", levels.shape().DebugString())));
}

// Checks one feature map's shape, given as it is or as the gradient op's input.
void CheckFeature(OpKernelContext* context, const TensorShape& shape, int64_t batch, int64_t channels) {
  OP_REQUIRES(
      context,
      shape.dims() == 4 && shape.dim_size(0) == batch && shape.dim_size(3) == channels && shape.dim_size(1) > 0 &&
          shape.dim_size(2) > 0 && shape.dim_size(1) < kMaxCells && shape.dim_size(2) < kMaxCells,
      absl::InvalidArgumentError(absl::StrCat("roi_align: features must be [", batch, ", h, w, ", channels,
                                              "] with h, w >= 1, got ", shape.DebugString())));
}

int ClampLevel(int level, size_t num_levels) {
  return std::min(std::max(level, 0), static_cast<int>(num_levels) - 1);
}

// Rough number of cycles to pool one RoI.
int64_t CostPerRoi(const Settings& s, int64_t channels) {
  const int64_t ratio = s.sampling_ratio > 0 ? s.sampling_ratio : 3;
  return 500 + int64_t{s.output_height} * s.output_width * (20 + (ratio + 1) * (ratio + 1) * channels / 8);
}

class RoiAlignOp : public OpKernel {
 public:
  explicit RoiAlignOp(OpKernelConstruction* context) : OpKernel(context) {
    ReadSettings(context, &settings_);
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &settings_.output_height));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &settings_.output_width));
  }

  void Compute(OpKernelContext* context) override {
    OpInputList features;
    const Tensor *boxes, *levels;
    OP_REQUIRES_OK(context, context->input_list("features", &features));
    OP_REQUIRES_OK(context, context->input("boxes", &boxes));
    OP_REQUIRES_OK(context, context->input("levels", &levels));
    CheckRois(context, *boxes, *levels);
    if (!context->status().ok()) return;
    OP_REQUIRES(context, features[0].dims() == 4,
                absl::InvalidArgumentError(absl::StrCat("roi_align: features must be [B, h, w, C], got ",
                                                        features[0].shape().DebugString())));
    const int64_t batch = boxes->dim_size(0), num_rois = boxes->dim_size(1), channels = features[0].dim_size(3);
    std::vector<Level<const float>> maps;
    for (const Tensor& feature : features) {
      CheckFeature(context, feature.shape(), batch, channels);
      if (!context->status().ok()) return;
      maps.push_back({feature.flat<float>().data(), static_cast<int>(feature.dim_size(1)),
                      static_cast<int>(feature.dim_size(2))});
    }
    Tensor* output;
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {batch, num_rois, settings_.output_height, settings_.output_width, channels}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &output));
    if (output->NumElements() == 0) return;

    const float* box = boxes->flat<float>().data();
    const int* level = levels->flat<int>().data();
    float* out = output->flat<float>().data();
    const int64_t size = int64_t{settings_.output_height} * settings_.output_width * channels;
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, batch * num_rois, CostPerRoi(settings_, channels),
                      [&](int64_t begin, int64_t end) {
                        RoiTaps taps(settings_);
                        for (int64_t roi = begin; roi < end; ++roi) {
                          const int index = ClampLevel(level[roi], maps.size());
                          Pool(box + 4 * roi, maps[index], settings_.strides[index], roi / num_rois, channels, &taps,
                               out + roi * size);
                        }
                      });
  }

 private:
  void Pool(const float* box, const Level<const float>& map, float stride, int64_t image, int64_t channels,
            RoiTaps* taps, float* out) const {
    const int64_t row_stride = map.width * channels;
    if (!taps->Set(box, stride, map.height, map.width)) {
      std::fill_n(out, int64_t{settings_.output_height} * settings_.output_width * channels, 0.0f);
      return;
    }
    const float* data = map.data + image * map.height * row_stride;
    for (int row = 0; row < settings_.output_height; ++row) {
      for (int column = 0; column < settings_.output_width; ++column, out += channels) {
        const int count = taps->Bin(row, column, data, row_stride, channels);
        WeightedSum(taps->cells(), taps->weights(), count, channels, out);
      }
    }
  }

  Settings settings_;
};

class RoiAlignGradOp : public OpKernel {
 public:
  explicit RoiAlignGradOp(OpKernelConstruction* context) : OpKernel(context) { ReadSettings(context, &settings_); }

  void Compute(OpKernelContext* context) override {
    OpInputList shapes;
    OpOutputList gradients;
    const Tensor *upstream, *boxes, *levels;
    OP_REQUIRES_OK(context, context->input("upstream", &upstream));
    OP_REQUIRES_OK(context, context->input("boxes", &boxes));
    OP_REQUIRES_OK(context, context->input("levels", &levels));
    OP_REQUIRES_OK(context, context->input_list("feature_shapes", &shapes));
    OP_REQUIRES_OK(context, context->output_list("gradients", &gradients));
    CheckRois(context, *boxes, *levels);
    if (!context->status().ok()) return;
    const int64_t batch = boxes->dim_size(0), num_rois = boxes->dim_size(1);
    OP_REQUIRES(context,
                upstream->dims() == 5 && upstream->dim_size(0) == batch && upstream->dim_size(1) == num_rois,
                absl::InvalidArgumentError(absl::StrCat("roi_align: upstream must be [", batch, ", ", num_rois,
                                                        ", height, width, C], got ",
                                                        upstream->shape().DebugString())));
    const int64_t channels = upstream->dim_size(4);
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    std::vector<Level<float>> maps;
    for (int i = 0; i < shapes.size(); ++i) {
      TensorShape shape;
      OP_REQUIRES(context, shapes[i].dims() == 1,
                  absl::InvalidArgumentError(absl::StrCat("roi_align: feature_shapes must be vectors, got ",
                                                          shapes[i].shape().DebugString())));
      OP_REQUIRES_OK(context, tensorflow::TensorShapeUtils::MakeShape(shapes[i].vec<int>(), &shape));
      CheckFeature(context, shape, batch, channels);
      if (!context->status().ok()) return;
      Tensor* gradient;
      OP_REQUIRES_OK(context, gradients.allocate(i, shape, &gradient));
      float* data = gradient->flat<float>().data();
      tensorflow::Shard(workers.num_threads, workers.workers, gradient->NumElements(), 1,
                        [data](int64_t begin, int64_t end) {
                          std::memset(data + begin, 0, (end - begin) * sizeof(float));
                        });
      maps.push_back({data, static_cast<int>(shape.dim_size(1)), static_cast<int>(shape.dim_size(2))});
    }
    if (upstream->NumElements() == 0) return;
    Settings settings = settings_;
    settings.output_height = static_cast<int>(upstream->dim_size(2));
    settings.output_width = static_cast<int>(upstream->dim_size(3));

    // Whole cache lines, and enough blocks for the threads.
    const int64_t wanted = (channels * batch + workers.num_threads - 1) / workers.num_threads;
    const int64_t block = std::min(std::max((wanted + 15) / 16 * 16, int64_t{16}), int64_t{128});
    const int64_t blocks = (channels + block - 1) / block;
    tensorflow::Shard(workers.num_threads, workers.workers, batch * blocks, num_rois * CostPerRoi(settings, block),
                      [&](int64_t begin, int64_t end) {
                        RoiTaps taps(settings);
                        for (int64_t unit = begin; unit < end; ++unit) {
                          const int64_t first = unit % blocks * block;
                          Spread(settings, *upstream, *boxes, *levels, unit / blocks, first,
                                 std::min(block, channels - first), maps, &taps);
                        }
                      });
  }

 private:
  // Adds the gradient of `count` channels from `first` on, of all RoIs of one image.
  static void Spread(const Settings& settings, const Tensor& upstream, const Tensor& boxes, const Tensor& levels,
                     int64_t image, int64_t first, int64_t count, const std::vector<Level<float>>& maps,
                     RoiTaps* taps) {
    const int64_t num_rois = boxes.dim_size(1), channels = upstream.dim_size(4);
    const int64_t bins = int64_t{settings.output_height} * settings.output_width;
    for (int64_t roi = image * num_rois; roi < (image + 1) * num_rois; ++roi) {
      const int index = ClampLevel(levels.flat<int>()(roi), maps.size());
      const Level<float>& map = maps[index];
      if (!taps->Set(boxes.flat<float>().data() + 4 * roi, settings.strides[index], map.height, map.width)) continue;
      const int64_t row_stride = map.width * channels;
      float* data = map.data + image * map.height * row_stride + first;
      const float* values = upstream.flat<float>().data() + roi * bins * channels + first;
      for (int row = 0; row < settings.output_height; ++row) {
        for (int column = 0; column < settings.output_width; ++column, values += channels) {
          const int taps_in_bin = taps->Bin(row, column, data, row_stride, channels);
          WeightedSpread(values, taps->weights(), taps_in_bin, count, taps->cells());
        }
      }
    }
  }

  Settings settings_;
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlign").Device(tensorflow::DEVICE_CPU), RoiAlignOp);
REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlignGrad").Device(tensorflow::DEVICE_CPU), RoiAlignGradOp);

}  // namespace
}  // namespace cascade_tf
