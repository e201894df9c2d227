// Loads a SavedModel as TensorFlow Serving does and answers requests, several at once.
//
//   answer_requests MODEL_DIR SIGNATURE THREADS < requests
//
// Each line of the input is a request: paths of encoded images, with tabs between them; an empty line is a batch of
// none. Prints for each, in their order, "request CODE KB MESSAGE", with the memory of the process after it, and the
// outputs as run_saved_model does.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "saved_model.h"

static std::vector<std::string> Split(const std::string& line) {
  std::vector<std::string> paths;
  for (size_t begin = 0; begin < line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    paths.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return paths;
}

static long ResidentKilobytes() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * 4;
}

static std::string Answer(const Signature& signature, const std::string& line) {
  const std::vector<std::string> paths = Split(line);
  Tensor images(tensorflow::DT_STRING, {static_cast<int64_t>(paths.size())});
  for (size_t i = 0; i < paths.size(); ++i) images.vec<tensorflow::tstring>()(i) = Contents(paths[i]);
  std::string outputs;
  const absl::Status status = signature.Run(images, &outputs);
  std::string message(status.message());
  std::replace(message.begin(), message.end(), '\n', ' ');
  return "request " + absl::StatusCodeToString(status.code()) + " " + std::to_string(ResidentKilobytes()) + " " +
         message + "\n" + outputs;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  Signature signature;
  const absl::Status status = signature.Load(argv[1], argv[2]);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  std::vector<std::string> requests;
  for (std::string line; std::getline(std::cin, line);) requests.push_back(line);
  std::vector<std::string> answers(requests.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    threads.emplace_back([&] {
      for (size_t n; (n = next++) < requests.size();) answers[n] = Answer(signature, requests[n]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) std::fputs(answer.c_str(), stdout);
}
