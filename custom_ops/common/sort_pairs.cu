// In a file of its own: CUB's sort takes most of the time of the compiler.
#include "sort_pairs.h"

#if defined(__CUDACC__)

#include <cub/device/device_radix_sort.cuh>

namespace cascade_tf {

int64_t SortPairsWorkspace(int64_t count) {
  size_t bytes = 0;
  const uint64_t* keys = nullptr;
  const int32_t* values = nullptr;
  cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, const_cast<uint64_t*>(keys), values,
                                  const_cast<int32_t*>(values), static_cast<int>(count));
  return static_cast<int64_t>(bytes);
}

int SortPairs(void* workspace, int64_t workspace_size, const uint64_t* keys, uint64_t* sorted_keys,
              const int32_t* values, int32_t* sorted_values, int64_t count, int bits, void* stream) {
  size_t bytes = static_cast<size_t>(workspace_size);
  return cub::DeviceRadixSort::SortPairs(workspace, bytes, keys, sorted_keys, values, sorted_values,
                                         static_cast<int>(count), 0, bits, static_cast<cudaStream_t>(stream));
}

}  // namespace cascade_tf

#else

#include <algorithm>
#include <numeric>
#include <vector>

namespace cascade_tf {

int64_t SortPairsWorkspace(int64_t) { return 0; }

int SortPairs(void*, int64_t, const uint64_t* keys, uint64_t* sorted_keys, const int32_t* values,
              int32_t* sorted_values, int64_t count, int bits, void*) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
  for (int64_t i = 0; i < count; ++i) {
    sorted_keys[i] = keys[order[i]];
    sorted_values[i] = values[order[i]];
  }
  return 0;
}

}  // namespace cascade_tf

#endif
