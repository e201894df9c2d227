// The gradient of RoIAlign on the CPU: threads take rows of the gradient maps.
//
// RoIs overlap, so a row first learns which rows of bins reach it. Then it is zeroed, summed up and, where the maps
// are bfloat16, rounded while it lies in the cache: memory sees each row once. No two threads write to the same
// place, and a cell's terms are added in the order of the RoIs and bins, however many threads there are.
//
// Where the maps have gradients from elsewhere too ("others"), rows begin with these in place of zeros, and in their
// memory if nobody else reads them: the sum costs no further maps.
#include <cstring>

#include "../common/number_types.h"
#include "../common/vectorize.h"
#include "roi_align_inputs.h"
#include "tensorflow/core/platform/threadpool.h"

namespace cascade_tf {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// A row of bins that reaches a row of cells.
struct RowTerm {
  int64_t row;  // among the rows of all maps
  int64_t roi;
  int bin_row;
  float weight;
};

// What reaches the rows of all maps, and the taps along x that all rows of an RoI share.
class RowTerms {
 public:
  explicit RowTerms(int bins) : bins_(bins) {}

  void AddRoi(int64_t roi, int64_t first_row, const AxisTaps& rows, const AxisTaps& columns) {
    for (size_t bin_row = 0; bin_row + 1 < rows.begin.size(); ++bin_row) {
      for (int i = rows.begin[bin_row]; i < rows.begin[bin_row + 1]; ++i) {
        terms_.push_back({first_row + rows.taps[i].cell, roi, static_cast<int>(bin_row), rows.taps[i].weight});
      }
    }
    rois_.resize(roi + 1);
    rois_[roi] = {taps_.size(), begin_.size()};
    taps_.insert(taps_.end(), columns.taps.begin(), columns.taps.end());
    begin_.insert(begin_.end(), columns.begin.begin(), columns.begin.end());
  }

  // Orders the terms by row; those of a row stay in the order in which they came.
  void Sort(int64_t num_rows) {
    row_begin_.assign(num_rows + 1, 0);
    for (const RowTerm& term : terms_) ++row_begin_[term.row + 1];
    for (int64_t row = 0; row < num_rows; ++row) row_begin_[row + 1] += row_begin_[row];
    std::vector<int64_t> next(row_begin_.begin(), row_begin_.end() - 1);
    std::vector<RowTerm> sorted(terms_.size());
    for (const RowTerm& term : terms_) sorted[next[term.row]++] = term;
    terms_.swap(sorted);
  }

  const RowTerm* begin(int64_t row) const { return terms_.data() + row_begin_[row]; }
  const RowTerm* end(int64_t row) const { return terms_.data() + row_begin_[row + 1]; }
  const Tap* taps(int64_t roi) const { return taps_.data() + rois_[roi].taps; }
  const int* tap_begin(int64_t roi) const { return begin_.data() + rois_[roi].begin; }
  int bins() const { return bins_; }

 private:
  struct Roi {
    size_t taps, begin;
  };

  const int bins_;
  std::vector<RowTerm> terms_;
  std::vector<int64_t> row_begin_;
  std::vector<Roi> rois_;
  std::vector<Tap> taps_;
  std::vector<int> begin_;
};

// Adds a row of bins to a row of cells; the taps of bin p are taps[begin[p]] .. taps[begin[p + 1] - 1].
template <typename Element>
[[gnu::always_inline]] inline void SpreadBins(const Element* bin_row, int bins, const int* begin, const Tap* taps,
                                              float weight, int64_t channels, float* cell_row) {
  for (int bin = 0; bin < bins; ++bin) {
    const Element* __restrict__ values = bin_row + bin * channels;
    for (int i = begin[bin]; i < begin[bin + 1]; ++i) {
      float* __restrict__ cell = cell_row + taps[i].cell * channels;
      const float product = weight * taps[i].weight;
      for (int64_t c = 0; c < channels; ++c) cell[c] += product * ToFloat(values[c]);
    }
  }
}

CASCADE_TF_VECTORIZED
void SpreadRow(const float* bin_row, int bins, const int* begin, const Tap* taps, float weight, int64_t channels,
               float* cell_row) {
  SpreadBins(bin_row, bins, begin, taps, weight, channels, cell_row);
}

CASCADE_TF_VECTORIZED
void SpreadRow(const Bfloat16* bin_row, int bins, const int* begin, const Tap* taps, float weight, int64_t channels,
               float* cell_row) {
  SpreadBins(bin_row, bins, begin, taps, weight, channels, cell_row);
}

// In place where a row is summed in the memory of the other gradient.
void WidenRow(const float* row, int64_t count, float* out) {
  if (row != out) std::memcpy(out, row, count * sizeof(float));
}

CASCADE_TF_VECTORIZED
void WidenRow(const Bfloat16* __restrict__ row, int64_t count, float* __restrict__ out) {
  for (int64_t i = 0; i < count; ++i) out[i] = ToFloat(row[i]);
}

CASCADE_TF_VECTORIZED
void RoundRow(const float* __restrict__ row, int64_t count, Bfloat16* __restrict__ out) {
  for (int64_t i = 0; i < count; ++i) Store(row[i], out + i);
}

template <typename T>
class RoiAlignGradOp : public OpKernel {
 public:
  explicit RoiAlignGradOp(OpKernelConstruction* context) : OpKernel(context) { ReadSettings(context, &settings_); }

  void Compute(OpKernelContext* context) override {
    RoiAlignGradInputs inputs;
    ReadInputs(context, &inputs);
    if (!context->status().ok()) return;
    const int64_t batch = inputs.boxes->dim_size(0);
    std::vector<Map> maps;
    for (size_t i = 0; i < inputs.shapes.size(); ++i) {
      const TensorShape& shape = inputs.shapes[i];
      Tensor* gradient;
      OP_REQUIRES_OK(context, AllocateGradient(context, inputs, i, &gradient));
      const Element* other = inputs.others.size() == 0 ? nullptr : ReadFrom<T>(inputs.others[i]);
      const int64_t first_row = maps.empty() ? 0 : maps.back().first_row + batch * maps.back().height;
      maps.push_back({WriteTo<T>(gradient), other, static_cast<int>(shape.dim_size(1)),
                      static_cast<int>(shape.dim_size(2)), first_row});
    }
    const RowTerms terms = CollectTerms(*inputs.upstream, *inputs.boxes, *inputs.levels, *inputs.map_sizes, maps);
    Sum(context, terms, *inputs.upstream, maps);
  }

 private:
  using Element = typename InMemory<T>::type;

  struct Map {
    Element* data;
    const Element* other;  // a gradient to begin with, may be the same memory; null: zeros
    int height;
    int width;
    int64_t first_row;  // of all maps' rows
  };

  static void Sum(OpKernelContext* context, const RowTerms& terms, const Tensor& upstream,
                  const std::vector<Map>& maps) {
    const int64_t num_rows = maps.back().first_row + upstream.dim_size(0) * maps.back().height;
    using Params = tensorflow::thread::ThreadPool::SchedulingParams;
    context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
        num_rows,
        Params(tensorflow::thread::ThreadPool::SchedulingStrategy::kFixedBlockSize, absl::nullopt, kRowsPerTask),
        [&](int64_t begin, int64_t end) {
          std::vector<float> scratch;
          for (int64_t row = begin; row < end; ++row) SumRow(upstream, maps, terms, row, &scratch);
        });
  }

  RowTerms CollectTerms(const Tensor& upstream, const Tensor& boxes, const Tensor& levels, const Tensor& map_sizes,
                        const std::vector<Map>& maps) const {
    RoiAlignSettings settings = settings_;
    settings.output_height = static_cast<int>(upstream.dim_size(2));
    settings.output_width = static_cast<int>(upstream.dim_size(3));
    const int64_t batch = boxes.dim_size(0), num_rois = boxes.dim_size(1);
    RowTerms terms(settings.output_width);
    AxisTaps rows, columns;
    for (int64_t roi = 0; roi < batch * num_rois; ++roi) {
      const int level = ClampLevel(levels.flat<int>()(roi), maps.size());
      const Map& map = maps[level];
      const float* box = boxes.flat<float>().data() + 4 * roi;
      const int64_t image = roi / num_rois;
      const MapSize size = SizeOfImage(map_sizes, image, level, {map.height, map.width});
      if (!MakeRoiTaps(settings, box, settings.strides[level], size, &rows, &columns)) continue;
      terms.AddRoi(roi, map.first_row + image * map.height, rows, columns);
    }
    terms.Sort(maps.back().first_row + batch * maps.back().height);
    return terms;
  }

  static void SumRow(const Tensor& upstream, const std::vector<Map>& maps, const RowTerms& terms, int64_t row,
                     std::vector<float>* scratch) {
    size_t level = maps.size() - 1;
    while (row < maps[level].first_row) --level;
    const Map& map = maps[level];
    const int64_t channels = upstream.dim_size(4), size = map.width * channels;
    const int64_t offset = (row - map.first_row) * size;
    Element* out = map.data + offset;
    float* sum = SumsOf(out, size, scratch);
    if (map.other == nullptr) {
      std::memset(sum, 0, size * sizeof(float));
    } else if (terms.begin(row) == terms.end(row)) {
      if (map.other != map.data) std::memcpy(out, map.other + offset, size * sizeof(Element));
      return;
    } else {
      WidenRow(map.other + offset, size, sum);
    }
    const int64_t bin_row_size = upstream.dim_size(3) * channels;
    for (const RowTerm* term = terms.begin(row); term != terms.end(row); ++term) {
      const Element* values = ReadFrom<T>(upstream) + (term->roi * upstream.dim_size(2) + term->bin_row) * bin_row_size;
      SpreadRow(values, terms.bins(), terms.tap_begin(term->roi), terms.taps(term->roi), term->weight, channels, sum);
    }
    Finish(sum, size, out);
  }

  // float32 rows are summed in place.
  static float* SumsOf(float* out, int64_t, std::vector<float>*) { return out; }
  static float* SumsOf(Bfloat16*, int64_t size, std::vector<float>* scratch) {
    scratch->resize(size);
    return scratch->data();
  }
  static void Finish(const float*, int64_t, float*) {}
  static void Finish(const float* sum, int64_t size, Bfloat16* out) { RoundRow(sum, size, out); }

  static constexpr int64_t kRowsPerTask = 8;

  RoiAlignSettings settings_;
};

#define CASCADE_TF_REGISTER(T)                                                                                  \
  REGISTER_KERNEL_BUILDER(Name("CascadeTf>RoiAlignGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RoiAlignGradOp<T>)
CASCADE_TF_REGISTER(float);
CASCADE_TF_REGISTER(tensorflow::bfloat16);
#undef CASCADE_TF_REGISTER

}  // namespace
}  // namespace cascade_tf
