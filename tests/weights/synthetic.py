"""Names and shapes of checkpoints, from the documentation of their formats, for any architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cascade_tf.weights.files.checkpoint_file import CheckpointFile

R50_BLOCKS, R101_BLOCKS, R152_BLOCKS = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
ANCHORS = 3


@dataclass(frozen=True)
class Architecture:
    """A two-stage detector with a feature pyramid; the default is Faster R-CNN R50 for COCO.

    Norms are "batch", "group" or "none".
    """

    blocks: tuple = R50_BLOCKS
    stem: int = 64
    inner: int = 64  # bottleneck channels of the first stage
    outer: int = 256
    groups: int = 1
    norm: str = "batch"
    deformable: tuple = ()
    fpn: int = 256
    fpn_norm: str = "none"
    classes: int = 80
    stages: int = 1
    agnostic: bool = False
    convs: int = 0
    conv_channels: int = 256
    fcs: int = 2
    units: int = 1024
    head_norm: str = "none"
    mask_heads: int = 0
    mask_convs: int = 4
    mask_channels: int = 256
    mask_norm: str = "none"
    mask_agnostic: bool = False


FASTER = Architecture()
MASK = Architecture(mask_heads=1)
CASCADE = Architecture(stages=3, agnostic=True)
CASCADE_MASK = replace(CASCADE, mask_heads=1)
CASCADE_THREE_MASKS = replace(CASCADE, mask_heads=3)
GROUP = {
    "norm": "group",
    "fpn_norm": "group",
    "convs": 4,
    "fcs": 1,
    "head_norm": "group",
    "mask_norm": "group",
}
X101_32X8D = {"blocks": R101_BLOCKS, "groups": 32, "inner": 256}
X101_32X4D = {"blocks": R101_BLOCKS, "groups": 32, "inner": 128}
X101_64X4D = {"blocks": R101_BLOCKS, "groups": 64, "inner": 256}
# Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv: the backbone's statistics are frozen, heads have GN.
X152_DCONV = replace(
    CASCADE_MASK,
    blocks=R152_BLOCKS,
    groups=32,
    inner=256,
    deformable=(3, 4, 5),
    convs=4,
    fcs=1,
    head_norm="group",
    mask_convs=8,
    mask_norm="group",
)
SMALL = {
    "stem": 8,
    "inner": 4,
    "outer": 16,
    "fpn": 16,
    "units": 12,
    "conv_channels": 8,
    "mask_channels": 8,
    "classes": 2,
}
"""Sizes at which values can be looked at; the numbers of layers stay."""


def detectron2_shapes(a):
    """Every tensor of detectron2's state dict."""
    table = _Table()

    def conv(name, outputs, inputs, kernel, norm, bias=None):
        table.layer(name, (outputs, inputs, kernel, kernel), bias=norm == "none" if bias is None else bias)
        table.norm(f"{name}.norm", outputs, norm)

    backbone = "backbone.bottom_up"
    conv(f"{backbone}.stem.conv1", a.stem, 3, 7, a.norm, bias=False)
    for block in _blocks(a):
        name = f"{backbone}.res{block.stage}.{block.number}"
        if block.number == 0:
            conv(f"{name}.shortcut", block.outer, block.inputs, 1, a.norm, bias=False)
        conv(f"{name}.conv1", block.inner, block.inputs, 1, a.norm, bias=False)
        conv(f"{name}.conv2", block.inner, block.inner // a.groups, 3, a.norm, bias=False)
        conv(f"{name}.conv3", block.outer, block.inner, 1, a.norm, bias=False)
        if block.stage in a.deformable:
            conv(f"{name}.conv2_offset", 18, block.inner, 3, "none")
    for level in range(2, 6):
        conv(f"backbone.fpn_lateral{level}", a.fpn, a.outer * 2 ** (level - 2), 1, a.fpn_norm)
        conv(f"backbone.fpn_output{level}", a.fpn, a.fpn, 3, a.fpn_norm)
    rpn = "proposal_generator.rpn_head"
    conv(f"{rpn}.conv", a.fpn, a.fpn, 3, "none")
    conv(f"{rpn}.objectness_logits", ANCHORS, a.fpn, 1, "none")
    conv(f"{rpn}.anchor_deltas", 4 * ANCHORS, a.fpn, 1, "none")
    for stage in range(a.stages):
        suffix = f".{stage}" if a.stages > 1 else ""
        head = f"roi_heads.box_head{suffix}"
        channels = a.fpn
        for number in range(1, a.convs + 1):
            conv(f"{head}.conv{number}", a.conv_channels, channels, 3, a.head_norm)
            channels = a.conv_channels
        features = channels * 7 * 7
        for number in range(1, a.fcs + 1):
            table.layer(f"{head}.fc{number}", (a.units, features))
            features = a.units
        predictor = f"roi_heads.box_predictor{suffix}"
        table.layer(f"{predictor}.cls_score", (a.classes + 1, features))
        table.layer(f"{predictor}.bbox_pred", (4 if a.agnostic else 4 * a.classes, features))
    if a.mask_heads:
        channels = a.fpn
        for number in range(1, a.mask_convs + 1):
            conv(f"roi_heads.mask_head.mask_fcn{number}", a.mask_channels, channels, 3, a.mask_norm)
            channels = a.mask_channels
        table.layer(
            "roi_heads.mask_head.deconv", (channels, a.mask_channels, 2, 2), bias_size=a.mask_channels
        )
        masks = 1 if a.mask_agnostic else a.classes
        conv("roi_heads.mask_head.predictor", masks, a.mask_channels, 1, "none")
    return table.shapes


def mmdetection_shapes(a):
    """Every tensor of MMDetection's state dict (2.x and 3.x)."""
    table = _Table(counts_batches=True)
    letters = {"batch": "bn", "group": "gn", "none": ""}

    def module(name, outputs, inputs, kernel, norm):
        """mmcv's ConvModule."""
        table.layer(f"{name}.conv", (outputs, inputs, kernel, kernel), bias=norm == "none")
        table.norm(f"{name}.{letters[norm]}", outputs, norm)

    def conv(name, outputs, inputs, kernel):
        table.layer(name, (outputs, inputs, kernel, kernel))

    norm = letters[a.norm]
    table.layer("backbone.conv1", (a.stem, 3, 7, 7), bias=False)
    table.norm(f"backbone.{norm}1", a.stem, a.norm)
    for block in _blocks(a):
        name = f"backbone.layer{block.stage - 1}.{block.number}"
        kernels = (
            (block.inner, block.inputs, 1, 1),
            (block.inner, block.inner // a.groups, 3, 3),
            (block.outer, block.inner, 1, 1),
        )
        for number, kernel in enumerate(kernels, start=1):
            table.layer(f"{name}.conv{number}", kernel, bias=False)
            table.norm(f"{name}.{norm}{number}", kernel[0], a.norm)
        if block.stage in a.deformable:
            conv(f"{name}.conv2.conv_offset", 18, block.inner, 3)
        if block.number == 0:
            table.layer(f"{name}.downsample.0", (block.outer, block.inputs, 1, 1), bias=False)
            table.norm(f"{name}.downsample.1", block.outer, a.norm)
    for index in range(4):
        module(f"neck.lateral_convs.{index}", a.fpn, a.outer * 2**index, 1, a.fpn_norm)
        module(f"neck.fpn_convs.{index}", a.fpn, a.fpn, 3, a.fpn_norm)
    conv("rpn_head.rpn_conv", a.fpn, a.fpn, 3)
    conv("rpn_head.rpn_cls", ANCHORS, a.fpn, 1)
    conv("rpn_head.rpn_reg", 4 * ANCHORS, a.fpn, 1)
    for stage in range(a.stages):
        head = f"roi_head.bbox_head.{stage}" if a.stages > 1 else "roi_head.bbox_head"
        channels = a.fpn
        for index in range(a.convs):
            module(f"{head}.shared_convs.{index}", a.conv_channels, channels, 3, a.head_norm)
            channels = a.conv_channels
        features = channels * 49
        for index in range(a.fcs):
            table.layer(f"{head}.shared_fcs.{index}", (a.units, features))
            features = a.units
        table.layer(f"{head}.fc_cls", (a.classes + 1, features))
        table.layer(f"{head}.fc_reg", (4 if a.agnostic else 4 * a.classes, features))
    for index in range(a.mask_heads):
        head = f"roi_head.mask_head.{index}" if a.stages > 1 else "roi_head.mask_head"
        channels = a.fpn
        for number in range(a.mask_convs):
            module(f"{head}.convs.{number}", a.mask_channels, channels, 3, a.mask_norm)
            channels = a.mask_channels
        table.layer(f"{head}.upsample", (channels, a.mask_channels, 2, 2), bias_size=a.mask_channels)
        conv(f"{head}.conv_logits", 1 if a.mask_agnostic else a.classes, a.mask_channels, 1)
    return table.shapes


def blank(shapes):
    """Zeros that take no memory, whatever their shape."""
    return {name: np.broadcast_to(np.float32(0.0), shape) for name, shape in shapes.items()}


def distinct(shapes):
    """Arrays in which no value occurs twice, across all of them.

    Float32 tells integers apart up to 2 ** 24.
    """
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        arrays[name] = np.arange(start, start + size, dtype=np.float32).reshape(shape)
        start += size
    assert start < 2**24
    return arrays


def checkpoint(arrays, metadata=None, path="model.pth"):
    """What a reader would return for a file with these contents."""
    return CheckpointFile(arrays, metadata or {}, "torch", Path(path))


@dataclass(frozen=True)
class _Block:
    stage: int
    number: int
    inputs: int
    inner: int
    outer: int


def _blocks(a):
    inputs = a.stem
    for stage, count in enumerate(a.blocks, start=2):
        factor = 2 ** (stage - 2)
        for number in range(count):
            yield _Block(stage, number, inputs, a.inner * factor, a.outer * factor)
            inputs = a.outer * factor


class _Table:
    """Collects names and shapes."""

    def __init__(self, counts_batches=False):
        self.shapes = {}
        self.counts_batches = counts_batches

    def layer(self, name, kernel, bias=True, bias_size=None):
        self.shapes[f"{name}.weight"] = kernel
        if bias:
            self.shapes[f"{name}.bias"] = (bias_size or kernel[0],)

    def norm(self, name, channels, kind):
        vectors = {"none": (), "group": ("weight", "bias")}.get(
            kind, ("weight", "bias", "running_mean", "running_var")
        )
        for vector in vectors:
            self.shapes[f"{name}.{vector}"] = (channels,)
        if kind == "batch" and self.counts_batches:
            self.shapes[f"{name}.num_batches_tracked"] = ()
