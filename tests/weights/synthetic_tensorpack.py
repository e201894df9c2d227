"""Tensors of tensorpack's models by name and shape, as its code creates them, and what they compute."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.weights.reference_network import (
    batch_norm,
    convolve,
    flattened_channels_first,
    pyramid,
    resnet,
)
from tests.weights.synthetic_caffe2 import Model

NORM = ("bn/gamma", "bn/beta", "bn/mean/EMA", "bn/variance/EMA")


def detector_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a detector, without the ``:0`` of a session's dump."""
    shapes: dict[str, tuple[int, ...]] = {}
    _add_backbone(shapes, model)
    for level in range(2, 6):
        _add(shapes, f"fpn/lateral_1x1_c{level}", (1, 1, model.outer * 2 ** (level - 2), model.fpn))
        _add(shapes, f"fpn/posthoc_3x3_p{level}", (3, 3, model.fpn, model.fpn))
    _add(shapes, "rpn/conv0", (3, 3, model.fpn, model.fpn))
    _add(shapes, "rpn/class", (1, 1, model.fpn, model.anchors))
    _add(shapes, "rpn/box", (1, 1, model.fpn, 4 * model.anchors))
    for stage in range(1, model.stages + 1):
        _add_box_head(shapes, model, stage)
    if model.masks:
        inputs = model.fpn
        for number in range(model.mask_convs):
            _add(shapes, f"maskrcnn/fcn{number}", (3, 3, inputs, model.mask_channels))
            inputs = model.mask_channels
        shapes["maskrcnn/deconv/W"] = (2, 2, model.mask_channels, inputs)
        shapes["maskrcnn/deconv/b"] = (model.mask_channels,)
        _add(shapes, "maskrcnn/conv", (1, 1, model.mask_channels, model.classes))
    return shapes


def _add_backbone(shapes, model):
    def add(name, *shape):
        shapes[f"{name}/W"] = shape
        shapes.update({f"{name}/{vector}": shape[-1:] for vector in NORM})

    add("conv0", 7, 7, 3, model.stem)
    width = model.stem
    for group, count in enumerate(model.blocks):
        inner, outer = model.inner * 2**group, model.outer * 2**group
        for block in range(count):
            prefix = f"group{group}/block{block}"
            add(f"{prefix}/conv1", 1, 1, width, inner)
            add(f"{prefix}/conv2", 3, 3, inner, inner)
            add(f"{prefix}/conv3", 1, 1, inner, outer)
            if block == 0:
                add(f"{prefix}/convshortcut", 1, 1, width, outer)
            width = outer


def _add(shapes, name, shape):
    shapes[f"{name}/W"] = shape
    shapes[f"{name}/b"] = shape[-1:]


def _prefix(model, stage):
    """Of the hidden layers, and of the outputs."""
    if model.stages == 1:
        return "fastrcnn", "fastrcnn/outputs"
    return f"cascade_rcnn_stage{stage}/head", f"cascade_rcnn_stage{stage}/outputs"


def _add_box_head(shapes, model, stage):
    hidden, outputs = _prefix(model, stage)
    for number in range(model.head_convs):
        _add(shapes, f"{hidden}/conv{number}", (3, 3, model.fpn, model.fpn))
    if model.head_convs:
        _add(shapes, f"{hidden}/fc", (model.fpn * 49, model.units))
    else:
        _add(shapes, f"{hidden}/fc6", (model.fpn * 49, model.units))
        _add(shapes, f"{hidden}/fc7", (model.units, model.units))
    _add(shapes, f"{outputs}/class", (model.units, model.classes + 1))
    _add(shapes, f"{outputs}/box", (model.units, 4 if model.agnostic else 4 * (model.classes + 1)))


def distinct(shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors with random values of a size that keeps activations near 1."""
    rng = np.random.default_rng(seed)

    def values(name, shape):
        if name.endswith(("gamma", "variance/EMA")):
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(0, 0.3 if len(shape) == 1 else 1.4 / np.sqrt(np.prod(shape[:-1])), shape)

    return {name: values(name, shape).astype(np.float32) for name, shape in shapes.items()}


class TensorpackNetwork:
    """What tensorpack's graph computes from the tensors."""

    def __init__(self, tensors, model: Model):
        self.tensors, self.model = tensors, model

    def features(self, images) -> tuple[list, list]:
        """C2 to C5, and P2 to P6."""
        maps = resnet(images, self.model.blocks, self._backbone_layer, stride_in_1x1=False)
        return maps, pyramid(maps, self._pyramid_layer)

    def region_proposals(self, level) -> tuple[np.ndarray, np.ndarray]:
        """Logits [B, h, w, A] and offsets [B, h, w, 4 A] of one level."""
        x = tf.nn.relu(self._convolution("rpn/conv0", level))
        return self._convolution("rpn/class", x), self._convolution("rpn/box", x)

    def box_head(self, pooled, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """Logits [R, K + 1] and offsets of the foreground [R, 4] or [R, 4 K]."""
        hidden, outputs = _prefix(self.model, stage)
        x = pooled
        for number in range(self.model.head_convs):
            x = tf.nn.relu(self._convolution(f"{hidden}/conv{number}", x))
        x = flattened_channels_first(np.asarray(x))
        for name in ("fc",) if self.model.head_convs else ("fc6", "fc7"):
            x = np.maximum(self._fully_connected(f"{hidden}/{name}", x), 0)
        logits, deltas = (self._fully_connected(f"{outputs}/{name}", x) for name in ("class", "box"))
        by_class = deltas.reshape(len(deltas), -1, 4)
        return logits, (by_class if self.model.agnostic else by_class[:, 1:]).reshape(len(deltas), -1)

    def mask_head(self, pooled) -> np.ndarray:
        """Logits of the classes [R, 2 P, 2 P, K]."""
        x = pooled
        for number in range(self.model.mask_convs):
            x = tf.nn.relu(self._convolution(f"maskrcnn/fcn{number}", x))
        shape = (len(x), 2 * x.shape[1], 2 * x.shape[2], self.model.mask_channels)
        x = tf.nn.conv2d_transpose(x, self.tensors["maskrcnn/deconv/W"], shape, 2, "VALID")
        x = tf.nn.relu(x + self.tensors["maskrcnn/deconv/b"])
        return self._convolution("maskrcnn/conv", x)

    def _backbone_layer(self, stage, block, part, x, stride):
        part = {"shortcut": "convshortcut"}.get(part, part)
        name = "conv0" if stage == 1 else f"group{stage - 2}/block{block}/{part}"
        kernel = self.tensors[f"{name}/W"]
        before = kernel.shape[0] // 2
        # Even maps lose nothing by it: the last row of a symmetric padding is never read.
        after = before - 1 if stride == 2 and before else before
        x = convolve(x, kernel, stride, (before, after))
        return batch_norm(x, *(self.tensors[f"{name}/{vector}"] for vector in NORM))

    def _pyramid_layer(self, kind, level, x):
        return self._convolution(
            f"fpn/lateral_1x1_c{level}" if kind == "lateral" else f"fpn/posthoc_3x3_p{level}", x
        )

    def _convolution(self, name, x):
        return convolve(x, self.tensors[f"{name}/W"]) + self.tensors[f"{name}/b"]

    def _fully_connected(self, name, x):
        return x @ self.tensors[f"{name}/W"] + self.tensors[f"{name}/b"]
