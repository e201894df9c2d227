// Neighbouring channels that a thread of a GPU reads and writes at once.
#ifndef CASCADE_TF_COMMON_PACKS_H_
#define CASCADE_TF_COMMON_PACKS_H_

#include <cstdint>
#include <cstring>

#include "elements.h"

namespace cascade_tf {

// What the launchers take as a tensor's type.
enum ElementType { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

template <typename T, int kSize>
struct alignas(sizeof(T) * kSize) Pack {
  T values[kSize];
};

// Elements that one instruction moves.
template <typename T>
constexpr int kWidePack = 16 / sizeof(T);

template <int kSize, typename T>
CASCADE_TF_HOST_DEVICE Pack<T, kSize> LoadPack(const T* from) {
  return *reinterpret_cast<const Pack<T, kSize>*>(from);
}

// Nothing but an intrinsic keeps nvcc from storing what it has computed element by element.
template <int kSize, typename T>
CASCADE_TF_HOST_DEVICE void StorePack(const float* values, T* to) {
  Pack<T, kSize> pack;
  CASCADE_TF_UNROLL
  for (int i = 0; i < kSize; ++i) Store(values[i], &pack.values[i]);
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    uint4 bits;
    std::memcpy(&bits, &pack, sizeof(bits));
    __stwb(reinterpret_cast<uint4*>(to), bits);
    return;
  }
#endif
  *reinterpret_cast<Pack<T, kSize>*>(to) = pack;
}

// sums[i] += weight * values[i]
template <int kSize, typename T>
CASCADE_TF_HOST_DEVICE void AddProduct(float weight, const T* values, float* sums) {
  const Pack<T, kSize> pack = LoadPack<kSize>(values);
  CASCADE_TF_UNROLL
  for (int i = 0; i < kSize; ++i) sums[i] += weight * ToFloat(pack.values[i]);
}

inline bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Returns Launch<T>(...) for the type.
#define CASCADE_TF_DISPATCH(type, Launch, ...)                \
  switch (type) {                                             \
    case kFloat32:                                            \
      return Launch<float>(__VA_ARGS__);                      \
    case kFloat16:                                            \
      return Launch<Float16>(__VA_ARGS__);                    \
    case kBfloat16:                                           \
      return Launch<Bfloat16>(__VA_ARGS__);                   \
    default:                                                  \
      return kUnknownType;                                    \
  }

// Returns Launch<T, pack size>(...), for packs of 16 bytes where `wide` and the channels allow it.
#define CASCADE_TF_DISPATCH_PACKS(type, channels, wide, Launch, ...)                                   \
  switch (type) {                                                                                      \
    case kFloat32:                                                                                     \
      return (wide) && (channels) % kWidePack<float> == 0 ? Launch<float, kWidePack<float>>(__VA_ARGS__) \
                                                          : Launch<float, 1>(__VA_ARGS__);             \
    case kFloat16:                                                                                     \
      return (wide) && (channels) % kWidePack<Float16> == 0                                            \
                 ? Launch<Float16, kWidePack<Float16>>(__VA_ARGS__)                                    \
                 : Launch<Float16, 1>(__VA_ARGS__);                                                    \
    case kBfloat16:                                                                                    \
      return (wide) && (channels) % kWidePack<Bfloat16> == 0                                           \
                 ? Launch<Bfloat16, kWidePack<Bfloat16>>(__VA_ARGS__)                                  \
                 : Launch<Bfloat16, 1>(__VA_ARGS__);                                                   \
    default:                                                                                           \
      return kUnknownType;                                                                             \
  }
// As cudaErrorInvalidValue.
constexpr int kUnknownType = 1;

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_PACKS_H_
