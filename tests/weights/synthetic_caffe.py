"""Shapes of the blobs of the authors' Caffe networks, with few channels."""

from __future__ import annotations

ALEXNET = {
    "conv1/0": (4, 3, 11, 11), "conv1/1": (4,), "conv2/0": (4, 2, 5, 5), "conv2/1": (4,),
    "conv3/0": (4, 4, 3, 3), "conv3/1": (4,), "conv4/0": (4, 2, 3, 3), "conv4/1": (4,),
    "conv5/0": (4, 2, 3, 3), "conv5/1": (4,), "rpn_conv/0": (3, 4, 3, 3), "rpn_conv/1": (3,),
    "rpn_cls/0": (18, 3, 1, 1), "rpn_cls/1": (18,), "rpn_bbox/0": (36, 3, 1, 1), "rpn_bbox/1": (36,),
    "fc6/0": (5, 144), "fc6/1": (5,), "fc7/0": (5, 5), "fc7/1": (5,), "cls_pred/0": (4, 5),
    "cls_pred/1": (4,), "bbox_pred/0": (8, 5), "bbox_pred/1": (8,),
}  # fmt: skip
"""The baseline on AlexNet."""
