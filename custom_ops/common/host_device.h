// Functions that run on the CPU and, where nvcc compiles them, on a GPU. CASCADE_TF_UNROLL before a loop over an array
// of a fixed size: nvcc keeps an array in registers only where each index is a constant.
#ifndef CASCADE_TF_COMMON_HOST_DEVICE_H_
#define CASCADE_TF_COMMON_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define CASCADE_TF_HOST_DEVICE __host__ __device__ __forceinline__
#define CASCADE_TF_UNROLL _Pragma("unroll")
#else
#define CASCADE_TF_HOST_DEVICE [[gnu::always_inline]] inline
#define CASCADE_TF_UNROLL
#endif

#endif  // CASCADE_TF_COMMON_HOST_DEVICE_H_
