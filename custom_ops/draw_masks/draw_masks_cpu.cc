// Drawing of masks on the CPU: threads take ranges of objects.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../common/vectorize.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "draw_masks.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/util/work_sharder.h"

namespace cascade_tf {
namespace {

// Eight columns of 0 and 1, `stride` apart, to bytes.
CASCADE_TF_VECTORIZED
void PackColumns(const uint8_t* __restrict__ columns, int64_t stride, int64_t count, uint8_t* __restrict__ bytes) {
  for (int64_t i = 0; i < count; ++i) {
    uint8_t byte = 0;
    for (int column = 0; column < 8; ++column) byte = static_cast<uint8_t>(byte << 1 | columns[column * stride + i]);
    bytes[i] = byte;
  }
}

// Some columns of an image as bytes of 0 and 1, column after column, and the rows in which there may be a 1.
class Columns {
 public:
  // Blank columns `begin` .. `end` - 1.
  void Reset(int height, int begin, int end) {
    height_ = height;
    begin_ = begin;
    end_ = end;
    top_ = height;
    bottom_ = 0;
    pixels_.assign(int64_t{height} * (end - begin), 0);
  }

  // Pixels `first` .. `last` - 1, counted down the columns of the whole image; all lie in these columns.
  void Fill(int64_t first, int64_t last) {
    if (first >= last) return;
    const int64_t first_column = first / height_, last_column = (last - 1) / height_;
    top_ = first_column == last_column ? std::min<int>(top_, first % height_) : 0;
    bottom_ = first_column == last_column ? std::max<int>(bottom_, (last - 1) % height_ + 1) : height_;
    std::memset(pixels_.data() + (first - int64_t{height_} * begin_), 1, last - first);
  }

  // Column `to` gets the pixels of column `from` of other columns, one for each of `rows`.
  void Take(int to, const Columns& other, int from, const std::vector<int>& rows) {
    const uint8_t* source = other.Column(from);
    uint8_t* target = pixels_.data() + int64_t{height_} * (to - begin_);
    for (int row = 0; row < height_; ++row) target[row] = source[rows[row]];
    top_ = 0;
    bottom_ = height_;
  }

  // Writes the pixels in bits to rows of `row_bytes`; `begin` is a multiple of 8. Returns whether there is a 1.
  bool Pack(int64_t row_bytes, uint8_t* out, std::vector<uint8_t>* scratch) {
    if (top_ >= bottom_) return false;
    pixels_.resize(int64_t{height_} * ((end_ - begin_ + 7) / 8 * 8), 0);
    scratch->resize(bottom_ - top_);
    uint8_t any = 0;
    for (int column = begin_; column < end_; column += 8) {
      PackColumns(Column(column) + top_, height_, bottom_ - top_, scratch->data());
      uint8_t* target = out + int64_t{top_} * row_bytes + column / 8;
      for (const uint8_t byte : *scratch) {
        *target = byte;
        any |= byte;
        target += row_bytes;
      }
    }
    return any != 0;
  }

 private:
  const uint8_t* Column(int column) const { return pixels_.data() + int64_t{height_} * (column - begin_); }

  int height_ = 0, begin_ = 0, end_ = 0, top_ = 0, bottom_ = 0;
  std::vector<uint8_t> pixels_;
};

// What one thread uses for one object after the other.
struct DrawingSpace {
  Columns original, drawn;
  std::vector<int64_t> crossings;
  std::vector<std::pair<int64_t, int64_t>> filled;
  std::vector<OutlinePoint> points;
  std::vector<uint8_t> bytes;
};

// The objects of an image, and where those of each begin.
struct Drawing {
  int original_height, original_width, height, width;
  bool flip;
  const double* corners;
  const int* polygon_corners;
  const int* runs;
  std::vector<int64_t> first_polygon, first_corner, first_run;
  std::vector<int> rows, columns;  // nearest pixels of the original, where there are run lengths
};

// Positions 0, counts[0], counts[0] + counts[1], ...; empty if a count is negative.
std::vector<int64_t> Positions(const tensorflow::Tensor& counts) {
  std::vector<int64_t> positions{0};
  for (int64_t i = 0; i < counts.NumElements(); ++i) {
    if (counts.vec<int>()(i) < 0) return {};
    positions.push_back(positions.back() + counts.vec<int>()(i));
  }
  return positions;
}

// The runs inside a polygon, as pairs of pixels counted down the columns.
void TracePolygon(const Drawing& drawing, int64_t polygon, DrawingSpace* space) {
  const double x_scale = static_cast<double>(drawing.width) / drawing.original_width;
  const double y_scale = static_cast<double>(drawing.height) / drawing.original_height;
  const double* corner = drawing.corners + 2 * drawing.first_corner[polygon];
  space->points.clear();
  for (int i = 0; i < drawing.polygon_corners[polygon]; ++i, corner += 2) {
    const double scaled = corner[0] * x_scale, x = drawing.flip ? drawing.width - scaled : scaled;
    space->points.push_back({static_cast<int>(kOutlineSteps * x + 0.5),
                             static_cast<int>(kOutlineSteps * (corner[1] * y_scale) + 0.5)});
  }
  space->crossings.clear();
  OutlineTracer tracer(drawing.height, drawing.width, &space->crossings);
  const size_t count = space->points.size();
  for (size_t i = 0; i < count; ++i) tracer.Edge(space->points[i], space->points[i + 1 < count ? i + 1 : 0]);
  std::sort(space->crossings.begin(), space->crossings.end());
  // Every other stretch between crossings is inside; an odd last one reaches to the end.
  if (space->crossings.size() % 2) space->crossings.push_back(int64_t{drawing.height} * drawing.width);
  for (size_t i = 0; i < space->crossings.size(); i += 2) {
    if (space->crossings[i] < space->crossings[i + 1]) {
      space->filled.emplace_back(space->crossings[i], space->crossings[i + 1]);
    }
  }
}

// The first column of the filled runs, and the one after the last.
std::pair<int, int> FilledColumns(const DrawingSpace& space, int height) {
  int64_t low = space.filled[0].first, high = space.filled[0].second;
  for (const auto& run : space.filled) {
    low = std::min(low, run.first);
    high = std::max(high, run.second);
  }
  return {static_cast<int>(low / height), static_cast<int>((high - 1) / height) + 1};
}

void FillPolygons(const Drawing& drawing, DrawingSpace* space) {
  const std::pair<int, int> columns = FilledColumns(*space, drawing.height);
  space->drawn.Reset(drawing.height, columns.first / 8 * 8, columns.second);
  for (const auto& run : space->filled) space->drawn.Fill(run.first, run.second);
}

void FillRuns(const Drawing& drawing, DrawingSpace* space) {
  const std::pair<int, int> columns = FilledColumns(*space, drawing.original_height);
  space->original.Reset(drawing.original_height, columns.first, columns.second);
  for (const auto& run : space->filled) space->original.Fill(run.first, run.second);
  const auto seen = [&](int column) { return drawing.flip ? drawing.width - 1 - column : column; };
  const auto first = std::lower_bound(drawing.columns.begin(), drawing.columns.end(), columns.first);
  const auto last = std::lower_bound(drawing.columns.begin(), drawing.columns.end(), columns.second);
  const int low = static_cast<int>(first - drawing.columns.begin()), high = static_cast<int>(last - drawing.columns.begin());
  if (low == high) return space->drawn.Reset(drawing.height, 0, 0);
  const int begin = std::min(seen(low), seen(high - 1)), end = std::max(seen(low), seen(high - 1)) + 1;
  space->drawn.Reset(drawing.height, begin / 8 * 8, end);
  for (int column = low; column < high; ++column) {
    space->drawn.Take(seen(column), space->original, drawing.columns[column], drawing.rows);
  }
}

// Draws object `index` into a blank mask; returns whether it has a pixel, or nothing to draw.
bool DrawObject(const Drawing& drawing, int64_t index, int64_t row_bytes, uint8_t* out, DrawingSpace* space) {
  const int64_t polygons_end = drawing.first_polygon[index + 1];
  const int64_t runs_begin = drawing.first_run[index], runs_end = drawing.first_run[index + 1];
  space->filled.clear();
  if (runs_begin < runs_end) {
    int64_t position = 0;
    for (int64_t run = runs_begin; run < runs_end; ++run) {
      const int64_t next = position + drawing.runs[run];
      if ((run - runs_begin) % 2 && next > position) space->filled.emplace_back(position, next);
      position = next;
    }
  } else if (drawing.first_polygon[index] == polygons_end) {
    return true;
  }
  for (int64_t polygon = drawing.first_polygon[index]; polygon < polygons_end; ++polygon) {
    TracePolygon(drawing, polygon, space);
  }
  if (space->filled.empty()) return false;
  runs_begin < runs_end ? FillRuns(drawing, space) : FillPolygons(drawing, space);
  return space->drawn.Pack(row_bytes, out, &space->bytes);
}

class DrawMasksOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    Drawing drawing;
    OP_REQUIRES_OK(context, ReadSizes(context, &drawing));
    OP_REQUIRES_OK(context, ReadObjects(context, &drawing));
    const int height = context->input(8).vec<int>()(0), width = context->input(8).vec<int>()(1);
    const int64_t count = static_cast<int64_t>(drawing.first_run.size()) - 1, row_bytes = (int64_t{width} + 7) / 8;
    tensorflow::Tensor *masks, *drawn;
    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context,
                   tensorflow::TensorShape::BuildTensorShape({std::max<int64_t>(count, 1), height, row_bytes}, &shape));
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &masks));
    OP_REQUIRES_OK(context, context->allocate_output(1, tensorflow::TensorShape({count}), &drawn));
    if (count == 0) std::memset(masks->flat<uint8_t>().data(), 0, masks->NumElements());
    if (!drawing.first_run.empty() && drawing.first_run.back() > 0) {
      drawing.rows = NearestPixels(drawing.original_height, drawing.height);
      drawing.columns = NearestPixels(drawing.original_width, drawing.width);
    }
    const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(workers.num_threads, workers.workers, count, 20000 + height * row_bytes,
                      [&](int64_t begin, int64_t end) {
                        DrawingSpace space;
                        for (int64_t index = begin; index < end; ++index) {
                          uint8_t* mask = masks->flat<uint8_t>().data() + index * height * row_bytes;
                          std::memset(mask, 0, height * row_bytes);
                          drawn->vec<bool>()(index) = DrawObject(drawing, index, row_bytes, mask, &space);
                        }
                      });
  }

 private:
  static constexpr int kMaxSide = 1 << 24;

  static absl::Status ReadSizes(tensorflow::OpKernelContext* context, Drawing* drawing) {
    int sides[3][2];
    const int inputs[] = {5, 6, 8};
    for (int i = 0; i < 3; ++i) {
      const tensorflow::Tensor& size = context->input(inputs[i]);
      if (size.dims() != 1 || size.NumElements() != 2) {
        return absl::InvalidArgumentError(
            absl::StrCat("draw_masks: a size must be (height, width), got shape ", size.shape().DebugString()));
      }
      for (int axis = 0; axis < 2; ++axis) {
        sides[i][axis] = size.vec<int>()(axis);
        if (sides[i][axis] < 1 || sides[i][axis] >= kMaxSide) {
          return absl::InvalidArgumentError(
              absl::StrCat("draw_masks: a side must be in 1..", kMaxSide - 1, ", got ", sides[i][axis]));
        }
      }
    }
    if (sides[2][0] < sides[1][0] || sides[2][1] < sides[1][1]) {
      return absl::InvalidArgumentError(absl::StrCat("draw_masks: the frame must hold the image of ", sides[1][0],
                                                     " x ", sides[1][1], ", got ", sides[2][0], " x ", sides[2][1]));
    }
    if (context->input(7).dims() != 0) {
      return absl::InvalidArgumentError(absl::StrCat("draw_masks: flip must be a scalar, got shape ",
                                                     context->input(7).shape().DebugString()));
    }
    drawing->original_height = sides[0][0];
    drawing->original_width = sides[0][1];
    drawing->height = sides[1][0];
    drawing->width = sides[1][1];
    drawing->flip = context->input(7).scalar<bool>()();
    return absl::OkStatus();
  }

  static absl::Status ReadObjects(tensorflow::OpKernelContext* context, Drawing* drawing) {
    const tensorflow::Tensor &corners = context->input(0), &polygon_corners = context->input(1),
                             &object_polygons = context->input(2), &runs = context->input(3),
                             &object_runs = context->input(4);
    if (corners.dims() != 2 || corners.dim_size(1) != 2 || polygon_corners.dims() != 1 ||
        object_polygons.dims() != 1 || runs.dims() != 1 || object_runs.dims() != 1 ||
        object_polygons.NumElements() != object_runs.NumElements()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "draw_masks: expected corners [C, 2] and vectors, the two about objects of one length, got shapes ",
          corners.shape().DebugString(), ", ", polygon_corners.shape().DebugString(), ", ",
          object_polygons.shape().DebugString(), ", ", runs.shape().DebugString(), ", ",
          object_runs.shape().DebugString()));
    }
    drawing->first_corner = Positions(polygon_corners);
    drawing->first_polygon = Positions(object_polygons);
    drawing->first_run = Positions(object_runs);
    const auto ends_at = [](const std::vector<int64_t>& positions, int64_t end) {
      return !positions.empty() && positions.back() == end;
    };
    if (!ends_at(drawing->first_corner, corners.dim_size(0)) ||
        !ends_at(drawing->first_polygon, polygon_corners.NumElements()) ||
        !ends_at(drawing->first_run, runs.NumElements())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "draw_masks: counts must add up to the ", corners.dim_size(0), " corners, ", polygon_corners.NumElements(),
          " polygons and ", runs.NumElements(), " runs that there are"));
    }
    drawing->corners = corners.flat<double>().data();
    drawing->polygon_corners = polygon_corners.flat<int>().data();
    drawing->runs = runs.flat<int>().data();
    absl::Status status = CheckCorners(*drawing);
    status.Update(CheckRuns(*drawing));
    return status;
  }

  static absl::Status CheckCorners(const Drawing& drawing) {
    for (size_t polygon = 0; polygon + 1 < drawing.first_corner.size(); ++polygon) {
      if (drawing.polygon_corners[polygon] < 3) {
        return absl::InvalidArgumentError(absl::StrCat("draw_masks: a polygon needs at least 3 corners, got ",
                                                       drawing.polygon_corners[polygon]));
      }
    }
    const double scale[] = {static_cast<double>(drawing.width) / drawing.original_width,
                            static_cast<double>(drawing.height) / drawing.original_height};
    for (int64_t i = 0; i < 2 * drawing.first_corner.back(); ++i) {
      // Written so that a NaN is refused.
      if (!(std::abs(drawing.corners[i] * scale[i % 2]) <= kMaxOutline)) {
        return absl::InvalidArgumentError(absl::StrCat("draw_masks: a corner must be within ", kMaxOutline,
                                                       " pixels of the result, got ", drawing.corners[i]));
      }
    }
    return absl::OkStatus();
  }

  static absl::Status CheckRuns(const Drawing& drawing) {
    const int64_t pixels = int64_t{drawing.original_height} * drawing.original_width;
    for (size_t object = 0; object + 1 < drawing.first_run.size(); ++object) {
      int64_t sum = 0;
      for (int64_t run = drawing.first_run[object]; run < drawing.first_run[object + 1]; ++run) {
        if (drawing.runs[run] < 0) {
          return absl::InvalidArgumentError(
              absl::StrCat("draw_masks: run lengths must not be negative, got ", drawing.runs[run]));
        }
        sum += drawing.runs[run];
      }
      const bool has_runs = drawing.first_run[object] < drawing.first_run[object + 1];
      if (has_runs && drawing.first_polygon[object] < drawing.first_polygon[object + 1]) {
        return absl::InvalidArgumentError(
            absl::StrCat("draw_masks: object ", object, " has polygons and runs, expected one of them"));
      }
      if (has_runs && sum != pixels) {
        return absl::InvalidArgumentError(
            absl::StrCat("draw_masks: runs must cover the ", pixels, " pixels of the original, got ", sum));
      }
    }
    return absl::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("CascadeTf>DrawMasks").Device(tensorflow::DEVICE_CPU), DrawMasksOp);

}  // namespace
}  // namespace cascade_tf
