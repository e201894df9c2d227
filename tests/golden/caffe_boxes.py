"""Boxes and objects of the authors' Caffe code as this package has them, and the way back to its rows."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.structures import Proposals, StageOutput, Targets

# Coordinates of some hundred pixels in float32, written as a first pixel and a width and back.
PIXELS = 1e-3


def continuous(boxes):
    """[..., 4] first and last pixel as edges: a box of one pixel is one unit wide."""
    return np.asarray(boxes, np.float32) + np.float32([0, 0, 1, 1])


def rows(array):
    """Blobs of the shape [R, C, 1, 1] as [R, C]."""
    return array.reshape(array.shape[:2])


def padded(images, number, *columns):
    """Rows of several images as [B, R, ...] each, with the mask of the rows that exist.

    Args:
        images: [N] the image of each row.
        number: B.
        *columns: [N, ...] values of the rows.
    """
    of_image = [np.flatnonzero(images == image) for image in range(number)]
    longest = max(len(found) for found in of_image)
    valid = np.arange(longest) < np.array([len(found) for found in of_image])[:, None]
    filled = [np.zeros((number, longest, *column.shape[1:]), column.dtype) for column in columns]
    for whole, column in zip(filled, columns, strict=True):
        for image, found in enumerate(of_image):
            whole[image, : len(found)] = column[found]
    return (*filled, valid)


def proposals_of(rois, number):
    """RoI rows (image, box) as proposals of a batch of ``number`` images."""
    boxes, valid = padded(rois[:, 0], number, continuous(rois[:, 1:5]))
    return Proposals(tf.constant(boxes), tf.zeros(valid.shape), tf.constant(valid))


def targets_of(objects, number):
    """Rows (image, box, label, ignored, ...) as ground truth."""
    objects = objects[objects[:, 0] >= 0]
    boxes, classes, ignored, exists = padded(
        objects[:, 0], number, continuous(objects[:, 1:5]), objects[:, 5].astype(np.int32), objects[:, 6] > 0
    )
    assert (classes[ignored] > 0).all()
    no_crowd, seed = np.zeros_like(ignored), np.zeros([number, 2], np.int32)
    return Targets(*map(tf.constant, (boxes, classes, exists & ~ignored, no_crowd, seed)))


def coder_of(settings):
    """The coder with a layer's statistics and, as there, without a limit of growth."""
    std, mean = settings.get("bbox_std", [1] * 4), settings.get("bbox_mean", [0] * 4)
    return BoxCoder([float(v) for v in std], max_log_scale=np.inf, mean=[float(v) for v in mean])


def offsets(predicted):
    """[R, 8] with the background's first, or [R, 4 (K + 1)]: without those of the background."""
    return rows(predicted)[:, 4:]


def stage_output(samples, logits, deltas, boxes=None):
    """A stage's output of which the losses and metrics read no more than this."""
    empty = StageOutput(*[None] * len(StageOutput._fields))
    return empty._replace(samples=samples, logits=logits, deltas=deltas, boxes=boxes)


def find(boxes, among):
    """Index of the row of ``among`` that each box is; each row stands for one box.

    Raises:
        AssertionError: there is no such row.
    """
    free, found = np.ones(len(among), bool), []
    for box in boxes:
        distance = np.abs(among - box).max(axis=1)
        best = np.argmin(np.where(free, distance, np.inf))
        assert free[best], box
        assert distance[best] < PIXELS, (box, among[best])
        free[best] = False
        found.append(best)
    return np.array(found, int)
