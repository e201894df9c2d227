// Loads a SavedModel as TensorFlow Serving does and runs one signature.
//
//   run_saved_model MODEL_DIR SIGNATURE FILE...           encoded images, one batch
//   run_saved_model MODEL_DIR SIGNATURE --raw H W [FILE]  one H x W x 3 uint8 image, or none
//
// Without files the batch is empty. Prints one line per output: name, shape as 2x100x4, values.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "saved_model.h"

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

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  Signature signature;
  Check(signature.Load(argv[1], argv[2]));
  std::string outputs;
  Check(signature.Run(MakeInput(argc, argv), &outputs));
  std::fputs(outputs.c_str(), stdout);
}
