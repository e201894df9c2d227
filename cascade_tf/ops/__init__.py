"""Functions over tensors: no layers, no variables. Each C++ op has a TensorFlow twin with equal results."""

from cascade_tf.ops.gradients import scale_gradient
from cascade_tf.ops.library import IMPLEMENTATIONS
from cascade_tf.ops.mask_targets import crop_masks
from cascade_tf.ops.nms import NMSOutput, batched_nms
from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.ops.resize import pad_images, resize_image, shortest_edge_size
from cascade_tf.ops.roi_align import assign_levels, roi_align, roi_align_in_turn
from cascade_tf.ops.soft_nms import batched_soft_nms

__all__ = [
    "IMPLEMENTATIONS",
    "NMSOutput",
    "assign_levels",
    "batched_nms",
    "batched_soft_nms",
    "crop_masks",
    "pad_images",
    "paste_masks",
    "resize_image",
    "roi_align",
    "roi_align_in_turn",
    "scale_gradient",
    "shortest_edge_size",
]
