// Numbers in memory and in registers: tensors are float32 or bfloat16, arithmetic is always float32.
#ifndef CASCADE_TF_COMMON_NUMBER_TYPES_H_
#define CASCADE_TF_COMMON_NUMBER_TYPES_H_

#include <cstdint>
#include <cstring>

#include "tensorflow/core/framework/bfloat16.h"
#include "tensorflow/core/framework/tensor.h"

namespace cascade_tf {

// A bfloat16 as the upper half of a float32. Eigen's class converts one number at a time; these conversions become
// vector instructions.
struct Bfloat16 {
  uint16_t bits;
};
static_assert(sizeof(Bfloat16) == sizeof(tensorflow::bfloat16));

// What the kernels see of a tensor's elements.
template <typename T>
struct InMemory {
  using type = T;
};
template <>
struct InMemory<tensorflow::bfloat16> {
  using type = Bfloat16;
};

[[gnu::always_inline]] inline float ToFloat(float value) { return value; }

[[gnu::always_inline]] inline float ToFloat(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

[[gnu::always_inline]] inline void Store(float value, float* out) { *out = value; }

// Rounds to the nearest, ties to even; a NaN stays one.
[[gnu::always_inline]] inline void Store(float value, Bfloat16* out) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const uint32_t quiet = bits | 0x400000;
  out->bits = static_cast<uint16_t>(((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
}

template <typename T>
const typename InMemory<T>::type* ReadFrom(const tensorflow::Tensor& tensor) {
  return reinterpret_cast<const typename InMemory<T>::type*>(tensor.flat<T>().data());
}

template <typename T>
typename InMemory<T>::type* WriteTo(tensorflow::Tensor* tensor) {
  return reinterpret_cast<typename InMemory<T>::type*>(tensor->flat<T>().data());
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_NUMBER_TYPES_H_
