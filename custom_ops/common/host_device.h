// Functions that run on the CPU and, where nvcc compiles them, on a GPU.
#ifndef CASCADE_TF_COMMON_HOST_DEVICE_H_
#define CASCADE_TF_COMMON_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define CASCADE_TF_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define CASCADE_TF_HOST_DEVICE [[gnu::always_inline]] inline
#endif

#endif  // CASCADE_TF_COMMON_HOST_DEVICE_H_
