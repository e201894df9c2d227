// Work of many threads: on a GPU where nvcc compiles, elsewhere the same code in loops.
//
// So the arithmetic of every GPU kernel can be tested on a machine without a GPU. A body has no state of its own
// beside its arguments, and is copied to each thread. Launches return CUDA's error code, 0 for success, and do not
// wait for the work.
#ifndef CASCADE_TF_COMMON_LAUNCH_H_
#define CASCADE_TF_COMMON_LAUNCH_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "host_device.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace cascade_tf {

// Threads of one block, in step. The body gives each step as a function of the thread's index.
template <int kThreads>
class Block {
 public:
  CASCADE_TF_HOST_DEVICE Block(int64_t index, bool backwards) : index_(index), backwards_(backwards) {}

  CASCADE_TF_HOST_DEVICE int64_t index() const { return index_; }

  // What one step of a thread writes, others read in later steps only. On the host, threads take turns in the one or
  // the other direction: a test compares the two, and a step that depends on another thread's shows.
  template <typename Step>
  CASCADE_TF_HOST_DEVICE void ForThreads(const Step& step) const {
#if defined(__CUDA_ARCH__)
    step(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    for (int i = 0; i < kThreads; ++i) step(backwards_ ? kThreads - 1 - i : i);
#endif
  }

 private:
  int64_t index_;
  bool backwards_;
};

// A thread's own value that outlives a step: in registers on a GPU.
template <typename T, int kThreads>
class PerThread {
 public:
#if defined(__CUDA_ARCH__)
  CASCADE_TF_HOST_DEVICE T& operator[](int) { return value_; }

 private:
  T value_;
#else
  CASCADE_TF_HOST_DEVICE T& operator[](int thread) { return values_[thread]; }

 private:
  T values_[kThreads];
#endif
};

#if defined(__CUDACC__)

constexpr int kElementThreads = 256;

template <typename Body>
__global__ void __launch_bounds__(kElementThreads) ElementKernel(Body body, int64_t count) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) body(i);
}

template <typename Body>
__global__ void __launch_bounds__(Body::kThreads) BlockKernel(Body body) {
  __shared__ typename Body::Shared shared;
  body(Block<Body::kThreads>(blockIdx.x, false), shared);
}

// body(i) for i in 0 .. count - 1, in any order.
template <typename Body>
int ForEach(void* stream, int64_t count, const Body& body) {
  if (count <= 0) return 0;
  const int64_t blocks = std::min<int64_t>((count + kElementThreads - 1) / kElementThreads, 1 << 20);
  ElementKernel<<<static_cast<unsigned>(blocks), kElementThreads, 0, static_cast<cudaStream_t>(stream)>>>(body, count);
  return cudaGetLastError();
}

// body(block, shared) for `count` blocks of Body::kThreads threads, in any order; each has a Body::Shared.
template <typename Body>
int ForBlocks(void* stream, int64_t count, const Body& body) {
  if (count <= 0) return 0;
  if (count > 0x7fffffff) return cudaErrorInvalidConfiguration;
  BlockKernel<<<static_cast<unsigned>(count), Body::kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body);
  return cudaGetLastError();
}

#else

// Whether threads take their turns backwards.
inline bool& Backwards() {
  static bool backwards = false;
  return backwards;
}

template <typename Body>
int ForEach(void*, int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; ++i) body(Backwards() ? count - 1 - i : i);
  return 0;
}

template <typename Body>
int ForBlocks(void*, int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; ++i) {
    typename Body::Shared shared;
    std::memset(&shared, 0xff, sizeof(shared));  // NaN, -1: what nobody wrote is nothing to rely on
    body(Block<Body::kThreads>(Backwards() ? count - 1 - i : i, Backwards()), shared);
  }
  return 0;
}

#endif

}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_LAUNCH_H_
