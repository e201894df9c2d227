// Resizing of one image with an antialiased bilinear filter: geometry shared by all devices.
//
// Arguments of the op CascadeTf>ResizeAndPad
//   image     [H, W, 3] uint8
//   size      [2] int32 (h, w), each side at least 1
//   flip      [] bool, mirror left and right after resizing
//   multiple  >= 1
// Result      [h', w', 3] uint8: the image in the upper left h x w pixels, zeros right of and below it; h' and w' are
//             the next multiples of `multiple`
//
// The weights and the order of all sums are those of TensorFlow's own ScaleAndTranslate with the kernel "triangle":
// first along columns, then along rows, each sum from the lowest pixel on, rounded half up at the end.
#ifndef CASCADE_TF_RESIZE_RESIZE_H_
#define CASCADE_TF_RESIZE_RESIZE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace cascade_tf {

// The pixels of the source that each pixel of the result is made of, along one axis.
struct ResizeTaps {
  int count = 1;               // for every pixel of the result
  std::vector<int> first;      // lowest source pixel; first + count <= pixels of the source
  std::vector<float> weights;  // `count` for each pixel, zeros among them
};

// A pixel whose weights sum to less gets nothing; TensorFlow's own limit.
constexpr float kLeastResizeWeight = 1000.0f * std::numeric_limits<float>::min();

// `source`, `result`: pixels along the axis. Zero weights pad the pixels of fewer taps, and change no sum.
inline ResizeTaps MakeResizeTaps(int source, int result, bool mirrored) {
  const float scale = static_cast<float>(result) / static_cast<float>(source);
  const float step = static_cast<float>(1.0 / scale);
  const float radius = std::max(step, 1.0f), inverse_radius = 1.0f / radius;
  const float last = static_cast<float>(source - 1);
  std::vector<int> low(result), high(result);
  std::vector<std::vector<float>> weights(result);
  ResizeTaps taps;
  for (int pixel = 0; pixel < result; ++pixel) {
    const float centre = (static_cast<float>(pixel) + 0.5f) * step;
    low[pixel] = static_cast<int>(std::min(std::max(std::ceil(centre - radius - 0.5f), 0.0f), last));
    high[pixel] = static_cast<int>(std::min(std::max(std::floor(centre + radius - 0.5f), 0.0f), last));
    float sum = 0.0f;
    for (int tap = low[pixel]; tap <= high[pixel]; ++tap) {
      const float distance = std::abs((static_cast<float>(tap) + 0.5f - centre) * inverse_radius);
      weights[pixel].push_back(std::max(1.0f - distance, 0.0f));
      sum += weights[pixel].back();
    }
    const float normaliser = sum >= kLeastResizeWeight && centre <= static_cast<float>(source) ? 1.0f / sum : 0.0f;
    for (float& weight : weights[pixel]) weight *= normaliser;
    // An end without weight, as where a pixel falls onto another, would make all pixels dearer.
    while (weights[pixel].size() > 1 && weights[pixel].back() == 0.0f) weights[pixel].pop_back();
    while (weights[pixel].size() > 1 && weights[pixel].front() == 0.0f) {
      weights[pixel].erase(weights[pixel].begin());
      ++low[pixel];
    }
    taps.count = std::max(taps.count, static_cast<int>(weights[pixel].size()));
  }
  taps.first.resize(result);
  taps.weights.assign(static_cast<size_t>(result) * taps.count, 0.0f);
  for (int pixel = 0; pixel < result; ++pixel) {
    const int place = mirrored ? result - 1 - pixel : pixel;
    taps.first[place] = std::min(low[pixel], source - taps.count);
    std::copy(weights[pixel].begin(), weights[pixel].end(),
              taps.weights.begin() + static_cast<size_t>(place) * taps.count + (low[pixel] - taps.first[place]));
  }
  return taps;
}

}  // namespace cascade_tf

#endif  // CASCADE_TF_RESIZE_RESIZE_H_
