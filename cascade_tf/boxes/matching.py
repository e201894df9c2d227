"""Assignment of ground truth to anchors and to region proposals."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cascade_tf.boxes.geometry import cover, pairwise_iou
from cascade_tf.structures import Targets, Tensor

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1


class Match(NamedTuple):
    """What each candidate box stands for.

    Attributes:
        labels: [B, N] int32: 1 foreground, 0 background, -1 ignored.
        index: [B, N] int32 the object with the largest IoU (the first among equals), 0 where there is none.
        iou: [B, N] float32 IoU with it, 0 where there is none.
    """

    labels: Tensor
    index: Tensor
    iou: Tensor


def ignored_objects(targets: Targets, *, match_crowds: bool = False) -> Tensor:
    """Objects that candidates are compared with, but that none shall stand for.

    Args:
        targets: ground truth; those with a class that are neither valid nor crowds are to be ignored.
        match_crowds: whether crowds are taken for such objects too.

    Returns:
        [B, G] bool.
    """
    ignored = (targets.classes > 0) & ~targets.valid & ~targets.crowd
    return ignored | targets.crowd if match_crowds else ignored


def match_boxes(
    boxes: Tensor,
    targets: Targets,
    *,
    iou: float,
    crowd_cover: float | None = 0.7,
    match_crowds: bool = False,
) -> Match:
    """Labels boxes by one threshold: foreground from ``iou`` on, background below (paper, Eq. 9).

    Objects to ignore are matched as the others are, and what would be the foreground of one is ignored, as in
    the authors' Caffe code.

    Args:
        boxes: [B, N, 4] float32.
        targets: ground truth; an image may have none.
        iou: the quality that a detector is trained for, 0..1.
        crowd_cover: background boxes whose area lies in a crowd region by at least this share are ignored.
            None counts them as background.
        match_crowds: crowds are matched as if they were objects to ignore.

    Returns:
        The match; every box of an image without objects is background with IoU 0.
    """
    ignored = ignored_objects(targets, match_crowds=match_crowds)
    matched = targets.valid | ignored
    overlaps = _object_overlaps(boxes, targets.boxes, matched)
    index, best = _best_object(overlaps, matched)
    of_ignored = tf.gather(tf.pad(ignored, [[0, 0], [0, 1]]), index, batch_dims=1)
    labels = tf.where(best >= iou, tf.where(of_ignored, IGNORED, FOREGROUND), BACKGROUND)
    return Match(_ignore_crowds(labels, boxes, targets, crowd_cover), index, best)


def match_anchors(
    anchors: Tensor,
    targets: Targets,
    *,
    foreground_iou: float = 0.7,
    background_iou: float = 0.3,
    allow_low_quality: bool = True,
    claim_untouched: bool = False,
    crowd_cover: float | None = 0.7,
    of_image: Tensor | None = None,
) -> Match:
    """Labels anchors by two thresholds and gives every object the anchors that overlap it most.

    Background whose IoU with an object to ignore reaches ``background_iou`` is ignored.

    Args:
        anchors: [N, 4] float32, the same for every image.
        targets: ground truth; an image may have none.
        foreground_iou: foreground from here on.
        background_iou: background below; ignored in between.
        allow_low_quality: the anchors that attain an object's largest IoU are foreground too, whatever it is.
        claim_untouched: an object that overlaps no anchor gets every anchor with IoU 0 to it, as the rule's
            wording has it and detectron2 does; otherwise it gets none.
        crowd_cover: as in ``match_boxes``.
        of_image: [B, N] bool, the anchors that an image has; the others are ignored and claimed by no object.
            None: all of them.

    Returns:
        The match. ``index`` stays the anchor's own best object even when another one claims it.
    """
    boxes = tf.broadcast_to(anchors[None], [tf.shape(targets.boxes)[0], tf.shape(anchors)[0], 4])
    overlaps = _object_overlaps(anchors[None], targets.boxes, targets.valid)
    index, best = _best_object(overlaps, targets.valid)
    labels = tf.where(
        best >= foreground_iou, FOREGROUND, tf.where(best < background_iou, BACKGROUND, IGNORED)
    )
    if allow_low_quality:
        if of_image is not None:
            overlaps = tf.where(of_image[..., None], overlaps, 0.0)
        largest = tf.reduce_max(overlaps, axis=1, keepdims=True)
        attained = (overlaps == largest) & targets.valid[:, None, :]
        claimed = tf.reduce_any(attained if claim_untouched else attained & (largest > 0.0), axis=2)
        labels = tf.where(claimed, FOREGROUND, labels)
    if of_image is not None:
        labels = tf.where(of_image, labels, IGNORED)
    labels = _ignore_near(labels, anchors, targets, background_iou)
    return Match(_ignore_crowds(labels, boxes, targets, crowd_cover), index, best)


def gather_matched(values: Tensor, match: Match) -> Tensor:
    """The matched object's value for each candidate, zeros where an image has no object.

    Args:
        values: [B, G, ...], one value per object.
        match: of N candidates.

    Returns:
        [B, N, ...].
    """
    # A row of zeros at the end keeps the gather legal when there is no object at all.
    shape = tf.shape(values)
    zero_row = tf.zeros(tf.concat([shape[:1], [1], shape[2:]], axis=0), values.dtype)
    padded = tf.concat([values, zero_row], axis=1)
    matched = (match.iou > 0.0) | (match.labels == FOREGROUND)
    return tf.gather(padded, tf.where(matched, match.index, shape[1]), batch_dims=1)


def _object_overlaps(boxes: Tensor, objects: Tensor, counted: Tensor) -> Tensor:
    """[B, N, G] IoU with the objects; those that are not ``counted`` [B, G] have no overlap."""
    return tf.where(counted[:, None, :], pairwise_iou(boxes, objects), 0.0)


def _best_object(overlaps: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """[B, N] index and IoU of each candidate's best object; works for zero objects.

    A candidate that overlaps none gets the first object that is one, as an argmax over objects alone would
    say.
    """
    padded = tf.pad(overlaps, [[0, 0], [0, 0], [0, 1]])
    best = tf.reduce_max(padded, axis=2)
    index = tf.argmax(padded, axis=2, output_type=tf.int32)
    first = tf.argmax(tf.pad(tf.cast(valid, tf.int32), [[0, 0], [0, 1]]), axis=1, output_type=tf.int32)
    return tf.where(best > 0.0, index, first[:, None]), best


def _ignore_near(labels: Tensor, anchors: Tensor, targets: Targets, iou: float) -> Tensor:
    """Labels without the background that overlaps objects to ignore by ``iou``."""
    ignored = ignored_objects(targets)

    def ignore() -> Tensor:
        overlaps = _object_overlaps(anchors[None], targets.boxes, ignored)
        near = tf.reduce_any(overlaps >= iou, axis=2)
        return tf.where(near & (labels == BACKGROUND), IGNORED, labels)

    return tf.cond(tf.reduce_any(ignored), ignore, lambda: labels)


def _ignore_crowds(labels: Tensor, boxes: Tensor, targets: Targets, crowd_cover: float | None) -> Tensor:
    if crowd_cover is None:
        return labels

    def ignore() -> Tensor:
        shares = tf.where(targets.crowd[:, None, :], cover(boxes, targets.boxes), 0.0)
        inside = tf.reduce_any(shares >= crowd_cover, axis=2)
        return tf.where(inside & (labels == BACKGROUND), IGNORED, labels)

    # Most batches hold no crowd: the comparison with every anchor is worth a branch.
    return tf.cond(tf.reduce_any(targets.crowd), ignore, lambda: labels)
