"""A small detector and a batch for it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.structures import ImageBatch
from tests.boxes.examples import targets

HEIGHT, WIDTH = 64, 96
CLASS_NAMES = ("square", "disc", "star")
OBJECTS = [[((8, 8, 40, 40), 1), ((50, 20, 90, 60), 3)], [((20, 10, 60, 50), 2)]]


def build(recipe=cascade_rcnn_fpn, **settings):
    """Group normalisation keeps an untrained network's activations in range."""
    settings = {
        "backbone.depth": 14,
        "backbone.width": 0.125,
        "backbone.norm": "group",
        "neck.norm": "group",
        "backbone.freeze_at": 0,
        "neck.channels": 32,
        "heads.head.units": 32,
        "proposals.anchor_sizes": (8, 16, 32, 64, 128),
        "heads.*.canonical_size": 56.0,
        "proposals.pre_nms_train": 60,
        "proposals.pre_nms_test": 40,
        "proposals.post_nms_train": 50,
        "proposals.post_nms_test": 30,
        "heads.num_samples": 24,
        "output.score_threshold": 0.0,
        "output.max_detections": 20,
        **settings,
    }
    return recipe(CLASS_NAMES, (3, 5, 9), **settings)


def image_batch(size=((64, 96), (60, 80)), seed=0):
    """Noise with a flat patch where each object lies."""
    images = np.random.default_rng(seed).integers(0, 90, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for image, objects in enumerate(OBJECTS):
        for (x1, y1, x2, y2), label in objects:
            images[image, y1:y2, x1:x2] = np.eye(3, dtype=np.uint8)[label - 1] * 255
    size = tf.constant(size, tf.float32)
    return ImageBatch(tf.constant(images), size, 2 * size, tf.constant([11, 12], tf.int64))


def ground_truth(**settings):
    return targets(OBJECTS, **settings)


def one(structure, image):
    """The batch of one image out of a larger one."""
    return type(structure)(*(value[image : image + 1] for value in structure))
