"""Blobs of Detectron's models by name and shape, as its code creates them, and what they compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tests.weights.reference_network import (
    convolve,
    flattened_channels_first,
    group_norm,
    pyramid,
    resnet,
)

BLOCKS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}


@dataclass(frozen=True)
class Model:
    """The form of a model; by default a Cascade R-CNN of Table 7."""

    depth: int = 50
    stem: int = 64
    inner: int = 64
    outer: int = 256
    groups: int = 1
    gn: bool = False
    fpn: int = 256
    anchors: int = 3
    stages: int = 3
    classes: int = 80
    agnostic: bool = True
    head_convs: int = 0
    units: int = 1024
    masks: bool = False
    mask_convs: int = 4
    mask_channels: int = 256
    agnostic_masks: bool = False

    @property
    def blocks(self) -> tuple[int, ...]:
        return BLOCKS[self.depth]


SMALL = {
    "depth": 14, "stem": 6, "inner": 4, "outer": 16, "fpn": 8, "classes": 3, "units": 10, "mask_convs": 2,
    "mask_channels": 5,
}  # fmt: skip


def backbone_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the ResNet's blobs."""
    shapes: dict[str, tuple[int, ...]] = {}

    def add(name, outputs, inputs, kernel, norm):
        shapes[f"{name}_w"] = (outputs, inputs, kernel, kernel)
        for ending in ("s", "b"):
            shapes[f"{norm}_{ending}"] = (outputs,)

    kind = "gn" if model.gn else "bn"
    add("conv1", model.stem, 3, 7, "conv1_gn" if model.gn else "res_conv1_bn")
    width = model.stem
    for stage, count in enumerate(model.blocks, start=2):
        inner, outer = model.inner * 2 ** (stage - 2), model.outer * 2 ** (stage - 2)
        for block in range(count):
            prefix = f"res{stage}_{block}_"
            add(f"{prefix}branch2a", inner, width, 1, f"{prefix}branch2a_{kind}")
            add(f"{prefix}branch2b", inner, inner // model.groups, 3, f"{prefix}branch2b_{kind}")
            add(f"{prefix}branch2c", outer, inner, 1, f"{prefix}branch2c_{kind}")
            if block == 0:
                add(f"{prefix}branch1", outer, width, 1, f"{prefix}branch1_{kind}")
            width = outer
    return shapes


def detector_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all blobs of a detector."""
    shapes = backbone_shapes(model)
    for level, count in enumerate(model.blocks, start=2):
        block = f"res{level}_{count - 1}_sum"
        lateral = f"fpn_inner_{block}" if level == 5 else f"fpn_inner_{block}_lateral"
        _add(shapes, lateral, (model.fpn, model.outer * 2 ** (level - 2), 1, 1), model.gn)
        _add(shapes, f"fpn_{block}", (model.fpn, model.fpn, 3, 3), model.gn)
    _add(shapes, "conv_rpn_fpn2", (model.fpn, model.fpn, 3, 3))
    _add(shapes, "rpn_cls_logits_fpn2", (model.anchors, model.fpn, 1, 1))
    _add(shapes, "rpn_bbox_pred_fpn2", (4 * model.anchors, model.fpn, 1, 1))
    for stage in range(1, model.stages + 1):
        _add_box_head(shapes, model, "" if stage == 1 else f"_{stage}")
    if model.masks:
        _add_mask_head(shapes, model)
    return shapes


def _add(shapes, name, shape, gn=False):
    shapes[f"{name}_w"] = shape
    for ending in ("gn_s", "gn_b") if gn else ("b",):
        shapes[f"{name}_{ending}"] = shape[:1]


def _add_box_head(shapes, model, suffix):
    for number in range(1, model.head_convs + 1):
        _add(shapes, f"head_conv{number}{suffix}", (model.fpn, model.fpn, 3, 3), model.gn)
    _add(shapes, f"fc6{suffix}", (model.units, model.fpn * 49))
    if not model.head_convs:
        _add(shapes, f"fc7{suffix}", (model.units, model.units))
    boxes = 2 if model.agnostic else model.classes + 1
    _add(shapes, f"cls_score{suffix}", (model.classes + 1, model.units))
    _add(shapes, f"bbox_pred{suffix}", (4 * boxes, model.units))


def _add_mask_head(shapes, model):
    prefix, inputs = "_mask_fcn" if model.gn else "_[mask]_fcn", model.fpn
    for number in range(1, model.mask_convs + 1):
        _add(shapes, f"{prefix}{number}", (model.mask_channels, inputs, 3, 3), model.gn)
        inputs = model.mask_channels
    shapes["conv5_mask_w"] = (inputs, model.mask_channels, 2, 2)
    shapes["conv5_mask_b"] = (model.mask_channels,)
    masks = 1 if model.agnostic_masks else model.classes + 1
    _add(shapes, "mask_fcn_logits", (masks, model.mask_channels, 1, 1))


def distinct(shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Blobs with random values of a size that keeps activations near 1."""
    rng = np.random.default_rng(seed)

    def values(name, shape):
        if len(shape) == 1:
            return rng.uniform(0.5, 1.5, shape) if name.endswith("n_s") else rng.normal(0, 0.3, shape)
        return rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)

    return {name: values(name, shape).astype(np.float32) for name, shape in shapes.items()}


def weightless(shapes) -> dict[str, np.ndarray]:
    """Blobs of full size that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


class Caffe2Network:
    """What Detectron's graph computes from the blobs."""

    def __init__(self, blobs, model: Model, stride_in_1x1: bool):
        self.blobs, self.model, self.stride_in_1x1 = blobs, model, stride_in_1x1

    def features(self, images) -> tuple[list, list]:
        """C2 to C5, and P2 to P6."""
        maps = resnet(images, self.model.blocks, self.backbone_layer, self.stride_in_1x1)
        return maps, pyramid(maps, self._pyramid_layer)

    def region_proposals(self, level) -> tuple[np.ndarray, np.ndarray]:
        """Logits [B, h, w, A] and offsets [B, h, w, 4 A] of one level."""
        x = tf.nn.relu(self._convolution("conv_rpn_fpn2", level))
        return self._convolution("rpn_cls_logits_fpn2", x), self._convolution("rpn_bbox_pred_fpn2", x)

    def box_head(self, pooled, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """Logits [R, K + 1] and offsets of the foreground [R, 4] or [R, 4 K]."""
        suffix = "" if stage == 1 else f"_{stage}"
        x = pooled
        for number in range(1, self.model.head_convs + 1):
            x = tf.nn.relu(self._convolution(f"head_conv{number}{suffix}", x))
        x = self._fully_connected(f"fc6{suffix}", flattened_channels_first(np.asarray(x)))
        if not self.model.head_convs:
            x = self._fully_connected(f"fc7{suffix}", np.maximum(x, 0))
        x = np.maximum(x, 0)
        logits, deltas = (self._fully_connected(f"{name}{suffix}", x) for name in ("cls_score", "bbox_pred"))
        return logits, deltas[:, 4:]

    def mask_head(self, pooled) -> np.ndarray:
        """Logits of the foreground classes [R, 2 P, 2 P, K]."""
        prefix = "_mask_fcn" if self.model.gn else "_[mask]_fcn"
        x = pooled
        for number in range(1, self.model.mask_convs + 1):
            x = tf.nn.relu(self._convolution(f"{prefix}{number}", x))
        # Each cell turns into a square of two by two cells.
        x = np.einsum("rhwc,coij->rhiwjo", x, self.blobs["conv5_mask_w"])
        size = x.shape[1] * 2
        x = x.reshape(len(x), size, size, -1) + self.blobs["conv5_mask_b"]
        logits = self._convolution("mask_fcn_logits", np.maximum(x, 0)).numpy()
        return logits if self.model.agnostic_masks else logits[..., 1:]

    def backbone_layer(self, stage, block, part, x, stride):
        """A convolution of the ResNet with its normalisation."""
        name = "conv1" if stage == 1 else f"res{stage}_{block}_{BRANCHES[part]}"
        x = convolve(x, np.transpose(self.blobs[f"{name}_w"], (2, 3, 1, 0)), stride)
        if self.model.gn:
            return group_norm(x, self.blobs[f"{name}_gn_s"], self.blobs[f"{name}_gn_b"])
        norm = "res_conv1_bn" if stage == 1 else f"{name}_bn"
        return x * self.blobs[f"{norm}_s"] + self.blobs[f"{norm}_b"]

    def _pyramid_layer(self, kind, level, x):
        block = f"res{level}_{self.model.blocks[level - 2] - 1}_sum"
        if kind == "output":
            return self._convolution(f"fpn_{block}", x)
        return self._convolution(f"fpn_inner_{block}" + ("" if level == 5 else "_lateral"), x)

    def _convolution(self, name, x):
        x = convolve(x, np.transpose(self.blobs[f"{name}_w"], (2, 3, 1, 0)))
        if f"{name}_gn_s" in self.blobs:
            return group_norm(x, self.blobs[f"{name}_gn_s"], self.blobs[f"{name}_gn_b"])
        return x + self.blobs[f"{name}_b"]

    def _fully_connected(self, name, x):
        return x @ self.blobs[f"{name}_w"].T + self.blobs[f"{name}_b"]
