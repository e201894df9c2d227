"""Boxes and ground truth for the tests of matching and sampling."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.structures import Targets
from tests.reference import cascade as reference


def random_boxes(count, seed, min_side=0.0, extent=60):
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, extent, (count, 2))
    side = generator.uniform(min_side, extent, (count, 2))
    return np.concatenate([low, low + side], axis=1).astype(np.float32)


def targets(images, size=None, seeds=None):
    """Ground truth of a batch.

    Args:
        images: for each image a list of (box, class); class 0 marks a crowd, -c an object to ignore.
        size: G, padded number of objects; None is the largest number in an image.
        seeds: [B, 2].
    """
    size = max(len(objects) for objects in images) if size is None else size
    boxes = np.zeros([len(images), size, 4], np.float32)
    classes = np.zeros([len(images), size], np.int32)
    valid, crowd = np.zeros([len(images), size], bool), np.zeros([len(images), size], bool)
    for image, objects in enumerate(images):
        for place, (box, label) in enumerate(objects):
            boxes[image, place], classes[image, place] = box, abs(label)
            valid[image, place], crowd[image, place] = label > 0, label == 0
    seeds = np.stack([np.arange(len(images)), np.arange(len(images)) + 7], axis=1) if seeds is None else seeds
    return Targets(*(tf.constant(value) for value in (boxes, classes, valid, crowd, np.int32(seeds))))


def objects_of(some, image):
    """The objects and the crowds of one image as the slow reference takes them."""
    boxes, classes = some.boxes[image].numpy(), some.classes[image].numpy()
    valid, crowd = some.valid[image].numpy(), some.crowd[image].numpy()
    objects = [reference.Object(list(boxes[i]), int(classes[i])) for i in np.flatnonzero(valid)]
    return objects, [list(boxes[i]) for i in np.flatnonzero(crowd)]
