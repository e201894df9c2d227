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

_VGG = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3")
_TEMPLATES = ("1_5x5", "1_7x7", "2_5x5", "2_7x7", "3_5x5", "3_7x7", "4_5x5")

MSCNN = {
    **{f"conv{name}/0": (4, 3 if name == "1_1" else 4, 3, 3) for name in _VGG},
    **{f"LFCN_{name}/0": (7, 4, int(name[-1]), int(name[-1])) for name in _TEMPLATES},
    "loss1_conv1/0": (4, 4, 3, 3), "conv6_1/0": (4, 4, 3, 3), "roi_c1/0": (4, 8, 3, 3), "fc6/0": (5, 100),
    "cls_pred/0": (3, 5), "bbox_pred/0": (12, 5),
}  # fmt: skip
"""The baseline of MS-CNN for KITTI, with two classes."""
MSCNN |= {name.replace("/0", "/1"): shape[:1] for name, shape in MSCNN.items()}
MSCNN |= {"conv4_3_2x/0": (4, 1, 4, 4)}
