// Hard suppression on a GPU, without a wait for the host.
//
// The candidates of all images are sorted at once, by image and score. Then they are visited in chunks, each in two
// launches: all pairs that a decision may need are compared, of the chunk's boxes with each other and with those that
// were kept before; and one block per image decides in order, 64 boxes at a time. What follows the last result of an
// image returns at once, so that a detector's few results cost few comparisons.
#include <type_traits>

#include "../common/launch.h"
#include "../common/sort_pairs.h"
#include "nms_device.h"

namespace cascade_tf {
namespace {

constexpr int kChunk = 2048;
constexpr int kWordBits = 64;
constexpr int kWords = kChunk / kWordBits;

// A candidate in the order of visits; label -1 behind the last one.
struct Visited {
  PreparedBox box;
  int32_t label;
  int32_t index;  // n * K + k
};

// Arrays in the workspace.
struct NmsMemory {
  uint64_t *keys, *sorted_keys;  // [B, M], image and score
  int32_t *indices, *order;      // [B, M]
  Visited* visited;              // [B, M]
  int32_t* kept;                 // [B, D], places among those visited
  uint64_t* overlaps;            // [B, kChunk, kWords], a bit for each later box of the chunk
  uint8_t* hits;                 // [B, kChunk], whether a box that was kept before overlaps
  void* sort;
  int64_t sort_size, size;
  int64_t candidates;  // M, of an image
  int64_t slices;      // of 64 kept boxes, as many as there may be
};

// Lays out the workspace; with null for its beginning only sizes are of use.
NmsMemory LayOut(const CascadeTfNms& call, void* workspace) {
  NmsMemory memory = {};
  int64_t next = 0;
  const auto take = [&](auto** array, int64_t count) {
    *array = reinterpret_cast<std::remove_reference_t<decltype(*array)>>(static_cast<char*>(workspace) + next);
    next += (count * static_cast<int64_t>(sizeof(**array)) + 255) / 256 * 256;
  };
  memory.candidates = call.num_boxes * call.num_classes;
  const int64_t all = call.batch * memory.candidates;
  const int64_t results = std::min<int64_t>(call.max_outputs, memory.candidates);
  memory.slices = (results + kWordBits - 1) / kWordBits;
  take(&memory.keys, all);
  take(&memory.sorted_keys, all);
  take(&memory.indices, all);
  take(&memory.order, all);
  take(&memory.visited, all);
  take(&memory.kept, call.batch * call.max_outputs);
  take(&memory.overlaps, call.batch * kChunk * kWords);
  take(&memory.hits, call.batch * kChunk);
  memory.sort_size = SortPairsWorkspace(all);
  char* sort;
  take(&sort, memory.sort_size);
  memory.sort = sort;
  memory.size = next;
  return memory;
}

struct MakeKeys {
  CascadeTfNms call;
  NmsMemory memory;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t image = i / memory.candidates, index = i % memory.candidates;
    const float score = call.scores[i];
    const uint32_t key = IsCandidate(call, image, index, score) ? ScoreKey(score) : 0xffffffffu;
    memory.keys[i] = static_cast<uint64_t>(image) << 32 | key;
    memory.indices[i] = static_cast<int32_t>(index);
  }
};

struct ReadInOrder {
  CascadeTfNms call;
  NmsMemory memory;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int32_t index = memory.order[i];
    const bool exists = static_cast<uint32_t>(memory.sorted_keys[i]) != 0xffffffffu;
    const int32_t label = exists ? static_cast<int32_t>(index % call.num_classes) : -1;
    memory.visited[i] = {PreparedBox(BoxOf(call, i / memory.candidates, index)), label, index};
  }
};

struct ClearHits {
  uint8_t* hits;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const { hits[i] = 0; }
};

// Strictly above the threshold. 0 / 0 is not.
CASCADE_TF_HOST_DEVICE bool Suppresses(const Visited& kept, const Visited& other, float threshold) {
  if (kept.label != other.label) return false;
  const PreparedBox &a = other.box, &b = kept.box;
  const float width = std::max(std::min(a.x2, b.x2) - std::max(a.x1, b.x1), 0.0f);
  const float height = std::max(std::min(a.y2, b.y2) - std::max(a.y1, b.y1), 0.0f);
  const float intersection = width * height;
  return intersection / (a.area + b.area - intersection) > threshold;
}

// What both launches of a chunk know.
struct Chunk {
  CascadeTfNms call;
  NmsMemory memory;
  int64_t begin;

  // Whether an image has results to come from this chunk or later ones.
  CASCADE_TF_HOST_DEVICE bool IsDone(int64_t image) const {
    return call.count[image] >= call.max_outputs || visited(image)[0].label < 0;
  }
  // The chunk's candidates; size() of them.
  CASCADE_TF_HOST_DEVICE const Visited* visited(int64_t image) const {
    return memory.visited + image * memory.candidates + begin;
  }
  CASCADE_TF_HOST_DEVICE int size() const {
    return memory.candidates - begin < kChunk ? static_cast<int>(memory.candidates - begin) : kChunk;
  }
  CASCADE_TF_HOST_DEVICE const Visited& KeptBox(int64_t image, int i) const {
    return memory.visited[image * memory.candidates + memory.kept[image * call.max_outputs + i]];
  }
  CASCADE_TF_HOST_DEVICE uint8_t* HitOf(int64_t image, int candidate) const {
    return memory.hits + image * kChunk + candidate;
  }
  CASCADE_TF_HOST_DEVICE uint64_t* OverlapsOf(int64_t image, int candidate) const {
    return memory.overlaps + (image * kChunk + candidate) * kWords;
  }
};

// Compares a candidate with 64 later ones of the chunk, or with 64 kept boxes.
struct ComparePairs {
  Chunk chunk;

  CASCADE_TF_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t columns = kWords + chunk.memory.slices;
    const int candidate = static_cast<int>(i % kChunk);
    const int column = static_cast<int>(i / kChunk % columns);
    const int64_t image = i / kChunk / columns;
    if (candidate >= chunk.size() || chunk.IsDone(image)) return;
    if (column < kWords) {
      CompareWithLater(image, candidate, column);
    } else {
      CompareWithKept(image, candidate, column - kWords);
    }
  }

  CASCADE_TF_HOST_DEVICE void CompareWithLater(int64_t image, int candidate, int word) const {
    if (word < candidate / kWordBits) return;
    const Visited* visited = chunk.visited(image);
    const Visited one = visited[candidate];
    const int first = word * kWordBits;
    uint64_t bits = 0;
    for (int bit = 0; bit < kWordBits && first + bit < chunk.size(); ++bit) {
      if (first + bit <= candidate) continue;
      if (Suppresses(one, visited[first + bit], chunk.call.iou_threshold)) bits |= uint64_t{1} << bit;
    }
    chunk.OverlapsOf(image, candidate)[word] = bits;
  }

  CASCADE_TF_HOST_DEVICE void CompareWithKept(int64_t image, int candidate, int slice) const {
    const int kept = chunk.call.count[image];
    const int first = slice * kWordBits, last = std::min(first + kWordBits, kept);
    if (first >= kept) return;
    const Visited one = chunk.visited(image)[candidate];
    for (int j = first; j < last; ++j) {
      if (!Suppresses(chunk.KeptBox(image, j), one, chunk.call.iou_threshold)) continue;
      *chunk.HitOf(image, candidate) = 1;  // threads of other slices may write the same
      return;
    }
  }
};

// Keeps the candidates of a chunk that no kept one suppresses; a block does so for an image.
struct DecideInOrder {
  static constexpr int kThreads = 256;
  static constexpr int kGroups = kThreads / kWords;  // of threads that collect the overlaps of some kept boxes each

  struct Shared {
    bool out[kChunk];  // before the chunk's own boxes are looked at
    uint64_t removed[kWords];
    uint64_t found[kGroups][kWords];
    uint64_t own[kWordBits];  // overlaps within the 64 boxes that are decided
    uint64_t keep;
    int begin, end;  // results before and after
  };

  Chunk chunk;

  CASCADE_TF_HOST_DEVICE void operator()(const Block<kThreads>& block, Shared& shared) const {
    const int64_t image = block.index();
    if (chunk.IsDone(image)) return;
    const int size = chunk.size();
    const int words = (size + kWordBits - 1) / kWordBits;
    block.ForThreads([&](int thread) {
      for (int i = thread; i < kChunk; i += kThreads) {
        shared.out[i] = i >= size || chunk.visited(image)[i].label < 0 || *chunk.HitOf(image, i) != 0;
        *chunk.HitOf(image, i) = 0;  // for the next chunk
      }
      if (thread == 0) shared.end = chunk.call.count[image];
    });
    block.ForThreads([&](int thread) {
      if (thread < kWords) shared.removed[thread] = WordOf(shared.out + thread * kWordBits);
    });
    for (int word = 0; word < words; ++word) {
      block.ForThreads([&](int thread) {
        const int candidate = word * kWordBits + thread;
        if (thread < kWordBits) shared.own[thread] = candidate < size ? chunk.OverlapsOf(image, candidate)[word] : 0;
      });
      block.ForThreads([&](int thread) {
        if (thread == 0) Decide(word, shared);
      });
      block.ForThreads([&](int thread) { Collect(image, word, words, thread, shared); });
      block.ForThreads([&](int thread) {
        if (thread <= word || thread >= words) return;
        for (int group = 0; group < kGroups; ++group) shared.removed[thread] |= shared.found[group][thread];
      });
      if (shared.end >= chunk.call.max_outputs) break;
    }
    block.ForThreads([&](int thread) {
      if (thread == 0) chunk.call.count[image] = shared.end;
    });
  }

  CASCADE_TF_HOST_DEVICE static uint64_t WordOf(const bool* bits) {
    uint64_t word = 0;
    for (int i = 0; i < kWordBits; ++i) word |= static_cast<uint64_t>(bits[i]) << i;
    return word;
  }

  CASCADE_TF_HOST_DEVICE void Decide(int word, Shared& shared) const {
    uint64_t removed = shared.removed[word], keep = 0;
    int results = shared.end;
    shared.begin = results;
    for (int bit = 0; bit < kWordBits && results < chunk.call.max_outputs; ++bit) {
      if (removed >> bit & 1) continue;
      keep |= uint64_t{1} << bit;
      removed |= shared.own[bit];
      ++results;
    }
    shared.keep = keep;
    shared.end = results;
  }

  // Writes the results of a word, and what they suppress of the later words.
  CASCADE_TF_HOST_DEVICE void Collect(int64_t image, int word, int words, int thread, Shared& shared) const {
    const int first = word * kWordBits;
    if (thread < kWordBits && (shared.keep >> thread & 1)) {
      int place = shared.begin;
      for (int bit = 0; bit < thread; ++bit) place += static_cast<int>(shared.keep >> bit & 1);
      const int32_t index = chunk.visited(image)[first + thread].index;
      const float score = chunk.call.scores[image * chunk.memory.candidates + index];
      WriteSelected(chunk.call, image, place, score, index);
      chunk.memory.kept[image * chunk.call.max_outputs + place] = static_cast<int32_t>(chunk.begin + first + thread);
    }
    const int later = thread % kWords, group = thread / kWords;
    uint64_t found = 0;
    if (later > word && later < words) {
      for (int bit = group; bit < kWordBits; bit += kGroups) {
        if (shared.keep >> bit & 1) found |= chunk.OverlapsOf(image, first + bit)[later];
      }
    }
    shared.found[group][later] = found;
  }
};

int BitsOf(int64_t count) {
  int bits = 0;
  while ((int64_t{1} << bits) < count) ++bits;
  return bits;
}

}  // namespace
}  // namespace cascade_tf

extern "C" int64_t cascade_tf_nms_workspace(const CascadeTfNms* call) {
  return cascade_tf::LayOut(*call, nullptr).size;
}

extern "C" int cascade_tf_nms(const CascadeTfNms* call, void* workspace, void* stream) {
  using namespace cascade_tf;
  const NmsMemory memory = LayOut(*call, workspace);
  const int64_t all = call->batch * memory.candidates;
  int error = ForEach(stream, call->batch * call->max_outputs, ClearOutputs{*call});
  if (error != 0 || all == 0) return error;
  error = ForEach(stream, all, MakeKeys{*call, memory});
  if (error != 0) return error;
  error = SortPairs(memory.sort, memory.sort_size, memory.keys, memory.sorted_keys, memory.indices, memory.order, all,
                    32 + BitsOf(call->batch), stream);
  if (error != 0) return error;
  error = ForEach(stream, all, ReadInOrder{*call, memory});
  if (error == 0) error = ForEach(stream, call->batch * kChunk, ClearHits{memory.hits});
  for (int64_t begin = 0; begin < memory.candidates && error == 0; begin += kChunk) {
    const Chunk chunk = {*call, memory, begin};
    error = ForEach(stream, call->batch * (kWords + memory.slices) * kChunk, ComparePairs{chunk});
    if (error == 0) error = ForBlocks(stream, call->batch, DecideInOrder{chunk});
  }
  return error;
}
