// Pasting of masks on a GPU: what the launcher takes. See paste_masks.h for the arguments of the op.
#ifndef CASCADE_TF_PASTE_MASKS_PASTE_MASKS_GPU_H_
#define CASCADE_TF_PASTE_MASKS_PASTE_MASKS_GPU_H_

#include <cstdint>

extern "C" {

// Pointers lead to memory of the device.
struct CascadeTfPasteMasks {
  const float* masks;  // [N, P, Q]
  const float* boxes;  // [N, 4]
  uint8_t* pasted;     // [N, H, W], 0 or 1
  int64_t count;       // N
  int mask_height;
  int mask_width;
  int height;
  int width;
  float threshold;
};

int cascade_tf_paste_masks(const CascadeTfPasteMasks* call, void* stream);

}  // extern "C"

#endif  // CASCADE_TF_PASTE_MASKS_PASTE_MASKS_GPU_H_
