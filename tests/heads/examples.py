"""Small features, proposals, ground truth and heads for the tests of the layers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.heads import BoxHead, CascadeHeads, Stage
from cascade_tf.pooling import ROIAlign
from cascade_tf.structures import Proposals
from tests.boxes.examples import targets

CHANNELS = 4
NUM_CLASSES = 3
STRIDES = {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}
IMAGE_SIZE = tf.constant([[64.0, 96.0], [60.0, 90.0]])
OBJECTS = [[((10, 10, 40, 40), 2), ((50, 5, 90, 30), 1), ((60, 40, 80, 62), 3), ((0, 45, 30, 64), 0)], []]


def pyramid(height=64, width=96, batch=2, seed=0):
    """Random features of all levels, [B, h, w, CHANNELS]."""
    generator = np.random.default_rng(seed)
    shapes = {name: (batch, -(-height // s), -(-width // s), CHANNELS) for name, s in STRIDES.items()}
    return {
        name: tf.constant(generator.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()
    }


def jittered(boxes, count, scale, seed):
    """``count`` boxes around the given ones."""
    generator = np.random.default_rng(seed)
    boxes = np.asarray(boxes, np.float32)[generator.integers(0, len(boxes), count)]
    side = np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
    return (boxes + scale * side * generator.normal(size=boxes.shape)).astype(np.float32)


def proposals(seed=0):
    """18 boxes per image around the objects of the first image, the last two unusable."""
    around = [box for box, label in OBJECTS[0] if label]
    boxes = np.stack([jittered(around, 18, 0.15, seed + image) for image in range(2)])
    boxes[:, -1] = [30, 30, 20, 40]
    boxes[:, -2] = np.nan
    scores = np.random.default_rng(seed).normal(size=boxes.shape[:2]).astype(np.float32)
    valid = np.ones(boxes.shape[:2], bool)
    return Proposals(tf.constant(boxes), tf.constant(scores), tf.constant(valid))


def ground_truth():
    """Three objects and a crowd in the first image, nothing in the second."""
    return targets(OBJECTS)


def build_heads(
    class_agnostic=True,
    num_samples=40,
    ious=(0.5, 0.6, 0.7),
    weights=(1.0, 0.5, 0.25),
    spread=0.3,
    **settings,
):
    """A cascade whose heads move boxes by offsets of about ``spread`` standard deviations."""
    stages = []
    for number, (iou, weight) in enumerate(zip(ious, weights, strict=True), start=1):
        stages.append(
            Stage(
                BoxHead(NUM_CLASSES, class_agnostic=class_agnostic, units=8, name=f"head{number}"),
                iou=iou,
                std=(0.1 / number, 0.1 / number, 0.2 / number, 0.2 / number),
                weight=weight,
                num_samples=num_samples if number == 1 else None,
                foreground_fraction=1.0,
                name=f"stage{number}",
            )
        )
    heads = CascadeHeads(stages, ROIAlign(output_size=3, canonical_size=40.0, name="roi_align"), **settings)
    heads.build(dict.fromkeys(STRIDES, (None, None, None, CHANNELS)))
    generator = np.random.default_rng(5)
    for stage in stages:
        layers = [*((layer, 0.2) for layer in stage.head.dense), (stage.head.classifier, 0.5)]
        for layer, scale in (*layers, (stage.head.regressor, spread)):
            layer.kernel.assign(generator.normal(0, scale, layer.kernel.shape))
            layer.bias.assign(generator.normal(0, scale, layer.bias.shape))
    return heads


def arrays(structure):
    """The structure with arrays instead of tensors."""
    return type(structure)(*(np.asarray(value) for value in structure))
