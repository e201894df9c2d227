#include "device_info.h"

#if defined(__CUDACC__)

#include <cuda_runtime_api.h>

extern "C" void cascade_tf_cuda_versions(int* driver, int* library) {
  *driver = 0;
  *library = CUDART_VERSION;
  cudaDriverGetVersion(driver);
}

extern "C" const char* cascade_tf_cuda_error(int code) { return cudaGetErrorString(static_cast<cudaError_t>(code)); }

#else

#include "launch.h"

// Threads take their turns backwards from now on, or forwards.
extern "C" void cascade_tf_host_backwards(int backwards) { cascade_tf::Backwards() = backwards != 0; }

#endif
