// What TensorFlow's kernels for GPUs share.
#ifndef CASCADE_TF_COMMON_GPU_KERNEL_H_
#define CASCADE_TF_COMMON_GPU_KERNEL_H_

#include "device_info.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "number_types.h"
#include "packs.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/stream_executor/stream.h"

namespace cascade_tf {

template <typename T>
struct TypeOnGpu;
template <>
struct TypeOnGpu<float> {
  static constexpr ElementType value = kFloat32;
};
template <>
struct TypeOnGpu<Eigen::half> {
  static constexpr ElementType value = kFloat16;
};
template <>
struct TypeOnGpu<tensorflow::bfloat16> {
  static constexpr ElementType value = kBfloat16;
};

inline void* StreamOf(tensorflow::OpKernelContext* context) {
  return context->op_device_context()->stream()->platform_specific_handle().stream;
}

// The status of a launch.
inline absl::Status LaunchStatus(const char* op, int error) {
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(op, ": CUDA error ", error, ", ", cascade_tf_cuda_error(error)));
}

// Memory of the device for the time of a kernel.
inline absl::Status AllocateWorkspace(tensorflow::OpKernelContext* context, int64_t bytes,
                                      tensorflow::Tensor* workspace) {
  return context->allocate_temp(tensorflow::DT_UINT8, tensorflow::TensorShape({bytes}), workspace);
}


}  // namespace cascade_tf

#endif  // CASCADE_TF_COMMON_GPU_KERNEL_H_
