// A SavedModel as TensorFlow Serving loads it: one signature with one input, run and printed.
#ifndef CASCADE_TF_TESTS_SAVED_MODEL_H_
#define CASCADE_TF_TESTS_SAVED_MODEL_H_

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/public/session_options.h"

using tensorflow::Tensor;

inline std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Signature {
 public:
  absl::Status Load(const char* folder, const char* signature) {
    const absl::Status status = tensorflow::LoadSavedModel({}, {}, folder, {"serve"}, &bundle_);
    if (!status.ok()) return status;
    const auto& signatures = bundle_.GetSignatures();
    const auto found = signatures.find(signature);
    if (found == signatures.end()) return absl::NotFoundError(signature);
    input_ = found->second.inputs().begin()->second.name();
    for (const auto& [name, info] : found->second.outputs()) {
      names_.push_back(name);
      tensors_.push_back(info.name());
    }
    return absl::OkStatus();
  }

  // Appends one line per output to `text`: name, shape as 2x100x4, values. Threads may do so at once.
  absl::Status Run(const Tensor& input, std::string* text) const {
    std::vector<Tensor> outputs;
    const absl::Status status = bundle_.GetSession()->Run({{input_, input}}, tensors_, {}, &outputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      *text += names_[i] + " ";
      for (int d = 0; d < outputs[i].dims(); ++d) *text += (d ? "x" : "") + std::to_string(outputs[i].dim_size(d));
      char number[32];
      for (int64_t j = 0; j < outputs[i].NumElements(); ++j) {
        std::snprintf(number, sizeof(number), " %.9g", Value(outputs[i], j));
        *text += number;
      }
      *text += "\n";
    }
    return status;
  }

 private:
  static double Value(const Tensor& tensor, int64_t index) {
    switch (tensor.dtype()) {
      case tensorflow::DT_INT64: return double(tensor.flat<tensorflow::int64>()(index));
      case tensorflow::DT_INT32: return tensor.flat<tensorflow::int32>()(index);
      case tensorflow::DT_UINT8: return tensor.flat<tensorflow::uint8>()(index);
      default: return tensor.flat<float>()(index);
    }
  }

  tensorflow::SavedModelBundle bundle_;
  std::string input_;
  std::vector<std::string> names_, tensors_;
};

#endif  // CASCADE_TF_TESTS_SAVED_MODEL_H_
