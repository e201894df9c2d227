"""Anchors of the authors' Caffe networks, (width, height) in pixels (zhaoweicai/cascade-rcnn, examples)."""

from __future__ import annotations

VOC_ANCHORS = (
    (176.0, 88.0), (88.0, 176.0), (128.0, 128.0),
    (352.0, 176.0), (176.0, 352.0), (256.0, 256.0),
    (704.0, 352.0), (352.0, 704.0), (512.0, 512.0),
)  # fmt: skip
"""The 9 anchors of a cell of the networks for Pascal VOC, at stride 16."""

COCO_ANCHORS = ((88.0, 44.0), (44.0, 88.0), (64.0, 64.0), *VOC_ANCHORS)
"""The 12 anchors of a cell of the networks for COCO on one map, at stride 16."""

FPN_PLUS_ANCHORS = (
    ((44.0, 22.0), (22.0, 44.0), (32.0, 32.0)),
    ((88.0, 44.0), (44.0, 88.0), (64.0, 64.0)),
    ((176.0, 88.0), (88.0, 176.0), (128.0, 128.0)),
    (
        (352.0, 176.0), (176.0, 352.0), (256.0, 256.0),
        (704.0, 352.0), (352.0, 704.0), (512.0, 512.0),
    ),
)  # fmt: skip
"""The anchors of the networks for COCO on the pyramid FPN+, for the strides 4, 8, 16 and 32."""
