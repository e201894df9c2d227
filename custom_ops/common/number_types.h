// What the kernels see of TensorFlow's tensors: the elements of elements.h.
#ifndef CASCADE_TF_COMMON_NUMBER_TYPES_H_
#define CASCADE_TF_COMMON_NUMBER_TYPES_H_

#include "elements.h"
#include "tensorflow/core/framework/bfloat16.h"
#include "tensorflow/core/framework/tensor.h"

namespace cascade_tf {

static_assert(sizeof(Bfloat16) == sizeof(tensorflow::bfloat16));

template <typename T>
struct InMemory {
  using type = T;
};
template <>
struct InMemory<tensorflow::bfloat16> {
  using type = Bfloat16;
};

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
