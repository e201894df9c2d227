// The cutting out of masks on a GPU: what the launcher takes. See mask_targets.h for the arguments of the op.
#ifndef CASCADE_TF_MASK_TARGETS_MASK_TARGETS_GPU_H_
#define CASCADE_TF_MASK_TARGETS_MASK_TARGETS_GPU_H_

#include <cstdint>

extern "C" {

// Pointers lead to memory of the device.
struct CascadeTfCropMasks {
  const uint8_t* masks;       // [B, G, H, W / 8]
  const int32_t* image_size;  // [B, 2]
  const float* boxes;         // [B, S, 4]
  const int32_t* object_index;
  const uint8_t* valid;  // 0 or 1
  float* targets;        // [B, S, M, M]
  int64_t batch;
  int64_t objects;  // of an image
  int64_t height;
  int64_t row_bytes;
  int64_t num_boxes;  // of an image
  int output_size;
};

int cascade_tf_crop_masks(const CascadeTfCropMasks* call, void* stream);

}  // extern "C"

#endif  // CASCADE_TF_MASK_TARGETS_MASK_TARGETS_GPU_H_
