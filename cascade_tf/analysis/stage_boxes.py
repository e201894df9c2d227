"""Hypotheses and their objects, stage by stage: how good they come in, and how good they go out.

What Fig. 2 (a, b), 4 and 9 (a) of the paper are drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.analysis.delta_statistics import stages_of
from cascade_tf.boxes import is_proper, pairwise_iou
from cascade_tf.structures import StageOutput, Targets, Tensor


class StageBoxes(NamedTuple):
    """The boxes of one stage at test, one row each, float32.

    Attributes:
        before: [n] IoU of the box that the stage gets with the object that it overlaps most; 0: with none.
        after: [n] IoU of the box that it makes with the same object.
        loss: [n] cross-entropy of its classifier, with the class of that object where ``before`` is the
            stage's u or more, else background (Eq. 9).
        start: [n] IoU of the proposal that the box comes from with the proposal's own object.
        reached: [n] IoU of the box that the stage makes with the proposal's object.
    """

    before: np.ndarray
    after: np.ndarray
    loss: np.ndarray
    start: np.ndarray
    reached: np.ndarray


def boxes_at_test(
    detector: Any, batches: Iterable[Any], progress: Callable[[int], Any] = lambda count: None
) -> list[StageBoxes]:
    """Follows proposals through the stages as they run at test.

    Args:
        detector: a ``TwoStageDetector`` with stages.
        batches: (ImageBatch, Targets), read once. Boxes that overlap most what is no object
            to detect, a crowd say, are left out.
        progress: called with the number of images of each batch.

    Returns:
        One entry for each output: the stages, and further iterations of the last.

    Raises:
        ValueError: the detector has no stages.
    """
    thresholds = [stage.iou for stage in stages_of(detector)]

    @tf.function(reduce_retracing=True, autograph=False)
    def look(batch: Any, targets: Targets) -> list[tuple[Tensor, ...]]:
        features = detector.features(batch)
        with detector.in_areas(batch):
            _, proposals = detector.proposals.of_batch(features, batch)
            outputs = detector.heads(features, proposals, batch.image_size)
        first = _best(outputs[0].samples.boxes, targets)
        # Further iterations are the last stage's.
        own = [thresholds[min(number, len(thresholds) - 1)] for number in range(len(outputs))]
        return [_row(output, u, first, targets) for output, u in zip(outputs, own, strict=True)]

    found: list[list[tuple[np.ndarray, ...]]] = []
    for batch, targets in batches:
        found.append([tuple(value.numpy() for value in rows) for rows in look(batch, targets)])
        progress(len(targets.valid))
    stages = zip(*found, strict=True)
    return [StageBoxes(*(np.concatenate(parts) for parts in zip(*rows, strict=True))) for rows in stages]


def training_overlaps(
    detector: Any, batches: Iterable[Any], progress: Callable[[int], Any] = lambda count: None
) -> list[np.ndarray]:
    """IoU of the hypotheses that each stage is trained on, before any are drawn from them.

    For the first stage these are the proposals, later all boxes of the stage before, as in training. Objects
    that join them themselves are left out, and so are boxes that overlap most what is no object to detect.

    Args:
        detector: a ``TwoStageDetector`` with stages.
        batches: (ImageBatch, Targets), read once.
        progress: called with the number of images of each batch.

    Returns:
        T arrays [n] float32.

    Raises:
        ValueError: the detector has no stages.
    """
    stages_of(detector)

    @tf.function(reduce_retracing=True, autograph=False)
    def look(batch: Any, targets: Targets) -> list[Tensor]:
        features = detector.features(batch)
        with detector.in_areas(batch):
            _, proposals = detector.proposals.of_batch(features, batch, training=True)
            outputs = detector.heads(features, proposals, batch.image_size, targets, training=True)
        given = [proposals, *(output.samples for output in outputs[1:])]
        return [_overlaps(one.boxes, one.valid, targets) for one in given]

    found: list[list[np.ndarray]] = []
    for batch, targets in batches:
        found.append([value.numpy() for value in look(batch, targets)])
        progress(len(targets.valid))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


class _Best(NamedTuple):
    """The object that a box overlaps most: its number, and their IoU.

    ``usable`` are boxes of which that object is one to detect, or that overlap nothing.
    """

    index: Tensor
    iou: Tensor
    usable: Tensor


def _best(boxes: Tensor, targets: Targets) -> _Best:
    there = targets.valid | targets.crowd | (targets.classes > 0)
    # With a column for "none", an image without objects has something to take the largest of.
    proper = is_proper(boxes)
    overlaps = pairwise_iou(tf.where(proper[..., None], boxes, 0.0), targets.boxes)
    overlaps *= tf.cast(there, tf.float32)[:, None]
    overlaps = tf.pad(overlaps, [[0, 0], [0, 0], [0, 1]])
    index, iou = tf.argmax(overlaps, axis=-1, output_type=tf.int32), tf.reduce_max(overlaps, axis=-1)
    valid = tf.gather(tf.pad(targets.valid, [[0, 0], [0, 1]]), index, batch_dims=1)
    return _Best(index, iou, proper & (valid | (iou == 0.0)))


def _row(output: StageOutput, u: float, first: _Best, targets: Targets) -> tuple[Tensor, ...]:
    own = _best(output.samples.boxes, targets)
    chosen = output.samples.valid & own.usable & first.usable
    is_object = own.iou >= u
    classes = tf.gather(tf.pad(targets.classes, [[0, 0], [0, 1]]), own.index, batch_dims=1)
    labels = tf.where(is_object, classes, 0)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, output.logits)
    after = _iou_with(output.boxes, own.index, targets)
    reached = _iou_with(output.boxes, first.index, targets)
    return tuple(tf.boolean_mask(value, chosen) for value in (own.iou, after, loss, first.iou, reached))


def _iou_with(boxes: Tensor, index: Tensor, targets: Targets) -> Tensor:
    """[B, R] IoU of boxes [B, R, 4] with the objects of their numbers; 0 with none."""
    # A wild offset makes boxes that are no boxes.
    boxes = tf.where(is_proper(boxes)[..., None], boxes, 0.0)
    overlaps = tf.pad(pairwise_iou(boxes, targets.boxes), [[0, 0], [0, 0], [0, 1]])
    return tf.gather(overlaps, index, batch_dims=2)


def _overlaps(boxes: Tensor, valid: Tensor, targets: Targets) -> Tensor:
    """[n] IoU of the boxes that are valid, usable and no object's own box, which is the same to the bit."""
    best = _best(boxes, targets)
    of_object = tf.gather(tf.pad(targets.boxes, [[0, 0], [0, 1], [0, 0]]), best.index, batch_dims=1)
    is_own = tf.reduce_all(boxes == of_object, axis=-1)
    return tf.boolean_mask(best.iou, valid & best.usable & ~is_own)
