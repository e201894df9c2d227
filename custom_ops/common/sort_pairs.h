// Sorting on a GPU, or on the host.
#ifndef CASCADE_TF_COMMON_SORT_PAIRS_H_
#define CASCADE_TF_COMMON_SORT_PAIRS_H_

#include <cstdint>

namespace cascade_tf {

// Bytes of workspace to sort so many pairs.
int64_t SortPairsWorkspace(int64_t count);

// Sorts by the lowest `bits` bits of the keys; pairs with equal keys stay in their order. Returns CUDA's error code.
int SortPairs(void* workspace, int64_t workspace_size, const uint64_t* keys, uint64_t* sorted_keys,
              const int32_t* values, int32_t* sorted_values, int64_t count, int bits, void* stream);

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_SORT_PAIRS_H_
