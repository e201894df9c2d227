// Gradients of poolings on a GPU without atomic additions: each cell of the maps sums up its own terms.
//
// The maps are divided into tiles of kTile x kTile cells. First every tile learns which RoIs of its image may reach
// it, one bit each. Then a block sums up a slice of a tile's channels: it goes through those RoIs in their order, some
// at once; threads first prepare what cells share (a Job's axes), then add to the sums in their registers. Memory sees
// each gradient once, and no two runs differ.
//
// An Op says what the gradient is:
//   Element, kPack       of the maps, and the channels that a thread reads at once
//   tiles                Tiles of the maps
//   rois, channels       per image; of a cell
//   jobs                 of an RoI: those with more bins than fit in an Axis have several
//   Touches(roi, tile)   may be true for too many
//   Prepare(roi, job, axis, cell, tile, Axis*)   one row (axis 0) or column (axis 1) of a tile's cells
//   Add(roi, job, rows, row, columns, column, tile, channel, sums)   adds an RoI's terms to a cell's sums
//   Begin(tile, offset, sums), gradient(tile)    what sums begin with; where they go
#ifndef CASCADE_TF_COMMON_ROI_GATHER_H_
#define CASCADE_TF_COMMON_ROI_GATHER_H_

#include "launch.h"
#include "packs.h"

namespace cascade_tf {

constexpr int kTile = 8;
constexpr int kMaxTiledMaps = 16;

struct Tile {
  int level;
  int64_t image;
  int y, x;           // its first cell
  int height, width;  // of the map
};

class Tiles {
 public:
  // `sizes` are maps of `batch` images each.
  void Add(int height, int width, int64_t batch) {
    heights_[levels_] = height;
    widths_[levels_] = width;
    first_[levels_ + 1] = first_[levels_] + batch * Count(height) * Count(width);
    ++levels_;
  }

  CASCADE_TF_HOST_DEVICE int64_t size() const { return first_[levels_]; }

  CASCADE_TF_HOST_DEVICE Tile Get(int64_t index) const {
    int level = 0;
    while (index >= first_[level + 1]) ++level;
    const int height = heights_[level], width = widths_[level];
    const int64_t columns = Count(width), per_image = Count(height) * columns, i = index - first_[level];
    const int64_t place = i % per_image;
    return {level,  i / per_image, static_cast<int>(place / columns) * kTile, static_cast<int>(place % columns) * kTile,
            height, width};
  }

 private:
  CASCADE_TF_HOST_DEVICE static int64_t Count(int cells) { return (cells + kTile - 1) / kTile; }

  int levels_ = 0;
  int heights_[kMaxTiledMaps], widths_[kMaxTiledMaps];
  int64_t first_[kMaxTiledMaps + 1] = {0};
};

inline int64_t WordsOfRois(int64_t rois) { return (rois + 31) / 32; }

// Sets a tile's bits of 32 RoIs.
template <typename Op>
struct MarkRois {
  Op op;
  int64_t words;
  uint32_t* marks;  // [tiles, words]

  CASCADE_TF_HOST_DEVICE void operator()(int64_t index) const {
    const Tile tile = op.tiles.Get(index / words);
    const int64_t first = index % words * 32;
    uint32_t bits = 0;
    for (int i = 0; i < 32 && first + i < op.rois; ++i) {
      if (op.Touches(tile.image * op.rois + first + i, tile)) bits |= 1u << i;
    }
    marks[index] = bits;
  }
};

template <typename Op>
struct GatherTile {
  using Element = typename Op::Element;
  static constexpr int kThreads = 256;
  static constexpr int kPack = Op::kPack;
  static constexpr int kSums = 4;                                         // packs of a thread
  static constexpr int kSlice = kThreads * kSums / (kTile * kTile);       // packs of a cell
  static constexpr int kJobs = kThreads / (2 * kTile);                    // at once: a thread prepares one line
  static constexpr int kWords = 64;                                       // of marks at once

  struct Shared {
    int counts[kWords];
    int total;
    uint16_t reaching[kWords * 32];  // RoIs, counted from the first of these words
    typename Op::Axis axes[kJobs][2][kTile];
  };
  struct Sums {
    float values[kSums][kPack];
  };

  Op op;
  int64_t words, slices;
  const uint32_t* marks;

  CASCADE_TF_HOST_DEVICE void operator()(const Block<kThreads>& block, Shared& shared) const {
    const int64_t tile_index = block.index() / slices;
    const int64_t first_pack = block.index() % slices * kSlice;
    const Tile tile = op.tiles.Get(tile_index);
    PerThread<Sums, kThreads> sums;
    block.ForThreads([&](int thread) { Begin(tile, first_pack, thread, &sums[thread]); });
    for (int64_t begin = 0; begin < words; begin += kWords) {
      const int count = ListRois(block, marks + tile_index * words + begin, begin, shared);
      const int jobs = count * op.jobs;
      for (int first = 0; first < jobs; first += kJobs) {
        const int some = jobs - first < kJobs ? jobs - first : kJobs;
        block.ForThreads([&](int thread) { Prepare(tile, begin, first, some, thread, shared); });
        block.ForThreads([&](int thread) { Add(tile, begin, first, some, first_pack, thread, shared, &sums[thread]); });
      }
    }
    block.ForThreads([&](int thread) { Finish(tile, first_pack, thread, sums[thread]); });
  }

 private:
  // The RoIs of some words of marks, in their order; returns how many.
  CASCADE_TF_HOST_DEVICE int ListRois(const Block<kThreads>& block, const uint32_t* own, int64_t begin,
                                      Shared& shared) const {
    block.ForThreads([&](int thread) {
      if (thread >= kWords) return;
      int bits = 0;
      if (begin + thread < words) {
        for (uint32_t word = own[thread]; word != 0; word &= word - 1) ++bits;
      }
      shared.counts[thread] = bits;
    });
    block.ForThreads([&](int thread) {
      if (thread == kWords) {
        shared.total = 0;
        for (int i = 0; i < kWords; ++i) shared.total += shared.counts[i];
      }
      if (thread >= kWords || begin + thread >= words) return;
      int next = 0;
      for (int i = 0; i < thread; ++i) next += shared.counts[i];
      const uint32_t word = own[thread];
      for (int bit = 0; bit < 32; ++bit) {
        if (word >> bit & 1) shared.reaching[next++] = static_cast<uint16_t>(thread * 32 + bit);
      }
    });
    return shared.total;
  }

  CASCADE_TF_HOST_DEVICE int64_t RoiOfJob(const Tile& tile, int64_t begin, int job, const Shared& shared) const {
    return tile.image * op.rois + begin * 32 + shared.reaching[job / op.jobs];
  }

  CASCADE_TF_HOST_DEVICE void Prepare(const Tile& tile, int64_t begin, int first, int some, int thread,
                                      Shared& shared) const {
    const int job = thread / (2 * kTile), axis = thread / kTile % 2, cell = thread % kTile;
    if (job >= some) return;
    const int64_t roi = RoiOfJob(tile, begin, first + job, shared);
    op.Prepare(roi, (first + job) % op.jobs, axis, cell, tile, &shared.axes[job][axis][cell]);
  }

  // A thread's sums belong to neighbouring channels of cells that are apart: a warp reads what lies together.
  struct Place {
    int row, column;
    int64_t pack;
    bool exists;
  };
  CASCADE_TF_HOST_DEVICE Place PlaceOf(const Tile& tile, int64_t first_pack, int thread, int i) const {
    const int item = i * kThreads + thread, cell = item / kSlice;
    const Place place = {cell / kTile, cell % kTile, first_pack + item % kSlice, false};
    const bool exists = tile.y + place.row < tile.height && tile.x + place.column < tile.width &&
                        place.pack * kPack < op.channels;
    return {place.row, place.column, place.pack, exists};
  }

  CASCADE_TF_HOST_DEVICE int64_t Offset(const Tile& tile, const Place& place) const {
    const int64_t row = tile.image * tile.height + tile.y + place.row;
    return (row * tile.width + tile.x + place.column) * op.channels + place.pack * kPack;
  }

  CASCADE_TF_HOST_DEVICE void Begin(const Tile& tile, int64_t first_pack, int thread, Sums* sums) const {
    CASCADE_TF_UNROLL
    for (int i = 0; i < kSums; ++i) {
      CASCADE_TF_UNROLL
      for (int j = 0; j < kPack; ++j) sums->values[i][j] = 0.0f;
      const Place place = PlaceOf(tile, first_pack, thread, i);
      if (place.exists) op.Begin(tile, Offset(tile, place), sums->values[i]);
    }
  }

  CASCADE_TF_HOST_DEVICE void Add(const Tile& tile, int64_t begin, int first, int some, int64_t first_pack, int thread,
                                  const Shared& shared, Sums* sums) const {
    for (int job = 0; job < some; ++job) {
      const int64_t roi = RoiOfJob(tile, begin, first + job, shared);
      CASCADE_TF_UNROLL
      for (int i = 0; i < kSums; ++i) {
        const Place place = PlaceOf(tile, first_pack, thread, i);
        if (!place.exists) continue;
        op.Add(roi, (first + job) % op.jobs, shared.axes[job][0][place.row], tile.y + place.row,
               shared.axes[job][1][place.column], tile.x + place.column, tile, place.pack * kPack, sums->values[i]);
      }
    }
  }

  CASCADE_TF_HOST_DEVICE void Finish(const Tile& tile, int64_t first_pack, int thread, const Sums& sums) const {
    CASCADE_TF_UNROLL
    for (int i = 0; i < kSums; ++i) {
      const Place place = PlaceOf(tile, first_pack, thread, i);
      if (place.exists) StorePack<kPack>(sums.values[i], op.gradient(tile) + Offset(tile, place));
    }
  }
};

// Bytes of `marks`.
inline int64_t MarksSize(const Tiles& tiles, int64_t rois) {
  return tiles.size() * WordsOfRois(rois) * static_cast<int64_t>(sizeof(uint32_t));
}

template <typename Op>
int Gather(void* stream, const Op& op, void* marks) {
  const int64_t words = WordsOfRois(op.rois), slice = GatherTile<Op>::kSlice * Op::kPack;
  const int64_t slices = (op.channels + slice - 1) / slice;
  uint32_t* bits = static_cast<uint32_t*>(marks);
  const int error = ForEach(stream, op.tiles.size() * words, MarkRois<Op>{op, words, bits});
  if (error != 0) return error;
  return ForBlocks(stream, op.tiles.size() * slices, GatherTile<Op>{op, words, slices, bits});
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_ROI_GATHER_H_
