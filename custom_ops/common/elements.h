// Elements of tensors in memory, float32, bfloat16 or float16, and the float32 that all arithmetic is done in.
#ifndef CASCADE_TF_COMMON_ELEMENTS_H_
#define CASCADE_TF_COMMON_ELEMENTS_H_

#include <cstdint>
#include <cstring>

#include "host_device.h"

namespace cascade_tf {

// A bfloat16 as the upper half of a float32. Eigen's class converts one number at a time; these conversions become
// vector instructions.
struct Bfloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

CASCADE_TF_HOST_DEVICE float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

CASCADE_TF_HOST_DEVICE uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

CASCADE_TF_HOST_DEVICE float ToFloat(float value) { return value; }

CASCADE_TF_HOST_DEVICE float ToFloat(Bfloat16 value) { return FloatOfBits(static_cast<uint32_t>(value.bits) << 16); }

// Without a subnormal float32, which TensorFlow's threads take for zero.
CASCADE_TF_HOST_DEVICE float ToFloat(Float16 value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16, magnitude = value.bits & 0x7fff;
  uint32_t bits = (magnitude << 13) + 0x38000000;
  if (magnitude < 0x0400) bits = BitsOfFloat(FloatOfBits(0x3f000000 + magnitude) - 0.5f);
  if (magnitude >= 0x7c00) bits = (magnitude << 13) | 0x7f800000;
  return FloatOfBits(bits | sign);
#endif
}

CASCADE_TF_HOST_DEVICE void Store(float value, float* out) { *out = value; }

// Rounds to the nearest, ties to even; a NaN stays one.
CASCADE_TF_HOST_DEVICE void Store(float value, Bfloat16* out) {
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const uint32_t quiet = bits | 0x400000;
  out->bits = static_cast<uint16_t>(((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
}

// Rounds to the nearest, ties to even; beyond 65504 to infinity, and a NaN stays one.
CASCADE_TF_HOST_DEVICE void Store(float value, Float16* out) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out->bits) : "f"(value));
#else
  const uint32_t bits = BitsOfFloat(value), magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00;
  } else if (magnitude >= 0x47800000) {  // 65536
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {  // 2^-14: the sum's last bit is the smallest float16
    half = BitsOfFloat(FloatOfBits(magnitude) + 0.5f) - BitsOfFloat(0.5f);
  } else {
    half = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  }
  out->bits = static_cast<uint16_t>(half | (bits >> 16 & 0x8000));
#endif
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_ELEMENTS_H_
