// RoIAlign on a GPU: what the launchers take. See roi_align.h for the arguments of the op.
#ifndef CASCADE_TF_ROI_ALIGN_ROI_ALIGN_GPU_H_
#define CASCADE_TF_ROI_ALIGN_ROI_ALIGN_GPU_H_

#include <cstdint>

extern "C" {

enum { kCascadeTfMaxLevels = 16 };

// Pointers lead to memory of the device; a kernel gets the whole as it is.
struct CascadeTfRoiAlign {
  const float* boxes;                         // [B, R, 4]
  const int* levels;                          // [B, R]
  const int* map_sizes;                       // [B, L, 2], or null: every image has the whole maps
  const void* features[kCascadeTfMaxLevels];  // [B, h, w, C]; in the gradient: others, each may be null for zeros
  void* gradients[kCascadeTfMaxLevels];       // as features, of the gradient alone
  int heights[kCascadeTfMaxLevels];
  int widths[kCascadeTfMaxLevels];
  float strides[kCascadeTfMaxLevels];
  int64_t batch;
  int64_t rois;  // of an image
  int64_t channels;
  int element_type;  // see packs.h
  int num_levels;
  int output_height;
  int output_width;
  int sampling_ratio;
  int aligned;
};

// Writes the pooled boxes to `output` [B, R, output_height, output_width, C].
int cascade_tf_roi_align(const CascadeTfRoiAlign* call, void* output, void* stream);

// Bytes of `workspace` for the gradient.
int64_t cascade_tf_roi_align_grad_workspace(const CascadeTfRoiAlign* call);

// Writes `gradients`. Every cell sums its own terms in the order of the RoIs: no two runs differ.
int cascade_tf_roi_align_grad(const CascadeTfRoiAlign* call, const void* upstream, void* workspace, void* stream);

}  // extern "C"

#endif  // CASCADE_TF_ROI_ALIGN_ROI_ALIGN_GPU_H_
