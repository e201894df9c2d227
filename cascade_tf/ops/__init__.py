"""Functions over tensors: no layers, no variables. Each C++ op has a TensorFlow twin with equal results.

Importing them registers the C++ ops with TensorFlow, where they have been built: graphs that name them load.
"""

from cascade_tf.ops import library
from cascade_tf.ops.gradients import clip_values, scale_gradient
from cascade_tf.ops.grid_roi_align import grid_roi_align
from cascade_tf.ops.library import IMPLEMENTATIONS
from cascade_tf.ops.mask_targets import crop_masks
from cascade_tf.ops.nms import NMSOutput, batched_nms
from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.ops.ps_roi_pool import ps_roi_pool
from cascade_tf.ops.resize import pad_images, resize_image, resize_part, shortest_edge_size
from cascade_tf.ops.roi_align import assign_levels, roi_align, roi_align_in_turn
from cascade_tf.ops.roi_pool import roi_pool
from cascade_tf.ops.soft_nms import batched_soft_nms

__all__ = [
    "IMPLEMENTATIONS",
    "NMSOutput",
    "assign_levels",
    "batched_nms",
    "batched_soft_nms",
    "clip_values",
    "crop_masks",
    "grid_roi_align",
    "pad_images",
    "paste_masks",
    "ps_roi_pool",
    "resize_image",
    "resize_part",
    "roi_align",
    "roi_align_in_turn",
    "roi_pool",
    "scale_gradient",
    "shortest_edge_size",
]

library.register()
