"""The paper's detectors on a ResNet feature pyramid (Tables 5, 7, 9 and 10): the same parts, side by side.

Each is a `Part`: called with the names of the classes it makes a detector, and its settings go by dotted
names, ``cascade_rcnn_fpn(names, **{"backbone.depth": 101})``. The defaults are the paper's;
docs/conventions.md has those of other implementations in a table.
"""

from __future__ import annotations

from cascade_tf.heads import BoxHead, cascade, mask_heads
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import part

cascade_rcnn_fpn = part(two_stage, heads=part(cascade, ious=(0.5, 0.6, 0.7)))
"""Cascade R-CNN."""

cascade_mask_rcnn_fpn = part(two_stage, heads=part(cascade, ious=(0.5, 0.6, 0.7), masks=part(mask_heads)))
"""Cascade Mask R-CNN, with a mask head on the last stage."""

faster_rcnn_fpn = part(two_stage, heads=part(cascade, ious=(0.5,), head=part(BoxHead, class_agnostic=False)))
"""Faster R-CNN, the cascade's baseline: one stage, and as in other implementations a box for each class."""

mask_rcnn_fpn = part(
    two_stage,
    heads=part(cascade, ious=(0.5,), head=part(BoxHead, class_agnostic=False), masks=part(mask_heads)),
)
"""Mask R-CNN, the baseline of Table 10."""
