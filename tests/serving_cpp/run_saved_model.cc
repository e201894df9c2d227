// Loads a SavedModel as TensorFlow Serving does and runs one signature.
//
//   run_saved_model MODEL_DIR SIGNATURE FILE...           encoded images, one batch
//   run_saved_model MODEL_DIR SIGNATURE --raw H W [FILE]  one H x W x 3 uint8 image, or none
//
// Without files the batch is empty. Prints one line per output: name, shape as 2x100x4, values.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/public/session_options.h"

using tensorflow::Tensor;

static std::string Contents(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

static Tensor MakeInput(int argc, char** argv) {
  if (argc > 3 && std::strcmp(argv[3], "--raw") == 0) {
    Tensor image(tensorflow::DT_UINT8, {argc - 6, std::atoi(argv[4]), std::atoi(argv[5]), 3});
    const std::string pixels = argc > 6 ? Contents(argv[6]) : "";
    std::memcpy(image.data(), pixels.data(), std::min(pixels.size(), image.TotalBytes()));
    return image;
  }
  Tensor images(tensorflow::DT_STRING, {argc - 3});
  for (int i = 3; i < argc; ++i) images.vec<tensorflow::tstring>()(i - 3) = Contents(argv[i]);
  return images;
}

static double Value(const Tensor& tensor, int64_t index) {
  switch (tensor.dtype()) {
    case tensorflow::DT_INT64: return double(tensor.flat<tensorflow::int64>()(index));
    case tensorflow::DT_INT32: return tensor.flat<tensorflow::int32>()(index);
    case tensorflow::DT_UINT8: return tensor.flat<tensorflow::uint8>()(index);
    default: return tensor.flat<float>()(index);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  tensorflow::SavedModelBundle bundle;
  Check(tensorflow::LoadSavedModel({}, {}, argv[1], {"serve"}, &bundle));
  const auto& signature = bundle.GetSignatures().at(argv[2]);
  std::vector<std::string> names, tensors;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    tensors.push_back(info.name());
  }
  std::vector<Tensor> outputs;
  const std::string input = signature.inputs().begin()->second.name();
  Check(bundle.GetSession()->Run({{input, MakeInput(argc, argv)}}, tensors, {}, &outputs));
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::printf("%s ", names[i].c_str());
    for (int d = 0; d < outputs[i].dims(); ++d) std::printf(d ? "x%d" : "%d", int(outputs[i].dim_size(d)));
    for (int64_t j = 0; j < outputs[i].NumElements(); ++j) {
      std::printf(" %.9g", Value(outputs[i], j));
    }
    std::printf("\n");
  }
}
