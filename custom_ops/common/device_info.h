// What this library knows of the machine's CUDA.
#ifndef CASCADE_TF_COMMON_DEVICE_INFO_H_
#define CASCADE_TF_COMMON_DEVICE_INFO_H_

extern "C" {

// The driver's and this library's versions of CUDA, 13000 for 13.0; the driver's is 0 without one.
void cascade_tf_cuda_versions(int* driver, int* library);

// What an error code of a launcher means.
const char* cascade_tf_cuda_error(int code);

}  // extern "C"

#endif  // CASCADE_TF_COMMON_DEVICE_INFO_H_
