"""Suppression as a loop over its results, and their form.

Sizes are fixed, whatever the values: that is what XLA compiles. Each step is one for all images at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import after_check

# The score of what is no candidate, or no longer.
_DROPPED = -float("inf")


class NMSOutput(NamedTuple):
    """Survivors of each image, best first; zeros in the padding.

    Attributes:
        box_index: [B, D] int32 index n of the box.
        class_index: [B, D] int32 index k of the score column, 0..K-1.
        scores: [B, D] float32.
        count: [B] int32 number of survivors.
    """

    box_index: Any
    class_index: Any
    scores: Any
    count: Any


def nms_output(index: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor, num_classes: tf.Tensor) -> NMSOutput:
    """Results from flattened indices ``n * K + k``, all [B, D] and best first; 0 where not valid."""
    index = tf.where(valid, index, 0)
    # An image without boxes or classes has no valid entry; the divisor only has to be defined.
    divisor = tf.maximum(num_classes, 1)
    return NMSOutput(
        box_index=index // divisor,
        class_index=index % divisor,
        scores=tf.where(valid, scores, 0.0),
        count=tf.reduce_sum(tf.cast(valid, tf.int32), axis=1),
    )


def no_survivors(batch: tf.Tensor, max_outputs: int) -> NMSOutput:
    """The result where there is nothing: zeros for ``batch`` images."""
    index = tf.zeros([batch, max_outputs], tf.int32)
    return NMSOutput(index, index, tf.zeros([batch, max_outputs]), tf.zeros([batch], tf.int32))


def scored_boxes(op: str, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The boxes [B, N, Q, 4] for a twin, which a running graph compares with scores [B, N, K]."""
    if not library.checks_sizes():
        return boxes
    sizes, wanted = tf.shape(boxes), tf.concat([tf.shape(scores), [4]], axis=0)
    fits = tf.equal(sizes, wanted) | tf.equal(sizes, [-1, -1, 1, -1])
    message = f"{op}: boxes must be [B, N, Q, 4] with Q = 1 or K for scores [B, N, K], got"
    return after_check(boxes, tf.reduce_all(fits), message, sizes, wanted)


def select_in_turn(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    lowered: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    *,
    score_threshold: float,
    max_outputs: int,
) -> NMSOutput:
    """Selects the best candidate, lowers the others of its class by their overlap with it, and so on.

    Args:
        boxes: [B, N, Q, 4] float32.
        scores: [B, N, K] float32.
        lowered: what remains of a class's scores, of these and their IoU with the selected box; all [B, N].
        score_threshold: what is at or below it, or NaN, is no candidate.
        max_outputs: D.
    """
    if 0 in (scores.shape[0], scores.shape[1], scores.shape[2]):
        return no_survivors(tf.shape(scores)[0], max_outputs)
    batch, _, num_classes = tf.unstack(tf.shape(scores))
    corners, remaining = _by_class(boxes, scores, score_threshold)
    image = tf.range(batch)
    last_box_set = tf.shape(boxes)[2] - 1

    def select(step, remaining, best, best_index, chosen, chosen_scores):
        class_index = _first_of_the_best(best, best_index)
        at = tf.stack([image, class_index], axis=1)
        index = tf.gather_nd(best_index, at)
        score = tf.gather_nd(best, at)
        own = tf.gather_nd(corners, tf.stack([image, tf.minimum(class_index, last_box_set)], axis=1))
        overlap = _iou(tf.gather(own, index, batch_dims=1)[:, None], own)
        row = lowered(tf.gather_nd(remaining, at), overlap)
        row = tf.where(row > score_threshold, row, _DROPPED)
        row = tf.tensor_scatter_nd_update(row, tf.stack([image, index], axis=1), tf.fill([batch], _DROPPED))
        remaining = tf.tensor_scatter_nd_update(remaining, at, row)
        best = tf.tensor_scatter_nd_update(best, at, tf.reduce_max(row, axis=1))
        best_index = tf.tensor_scatter_nd_update(best_index, at, _argmax(row))
        # By image, then step: a transpose of whole numbers at the end would make oneDNN complain of them.
        place = tf.stack([image, tf.fill([batch], step)], axis=1)
        chosen = tf.tensor_scatter_nd_update(chosen, place, index * num_classes + class_index)
        chosen_scores = tf.tensor_scatter_nd_update(chosen_scores, place, score)
        return step + 1, remaining, best, best_index, chosen, chosen_scores

    *_, chosen, chosen_scores = tf.while_loop(
        lambda step, remaining, best, *_: tf.reduce_any(best > _DROPPED),
        select,
        (
            tf.constant(0),
            remaining,
            tf.reduce_max(remaining, axis=2),
            _argmax(remaining),
            tf.zeros([batch, max_outputs], tf.int32),
            tf.fill([batch, max_outputs], _DROPPED),
        ),
        maximum_iterations=max_outputs,
    )
    size = [None, max_outputs]
    chosen = tf.ensure_shape(chosen, size)
    chosen_scores = tf.ensure_shape(chosen_scores, size)
    return nms_output(chosen, chosen_scores, chosen_scores > _DROPPED, num_classes)


def _by_class(boxes: tf.Tensor, scores: tf.Tensor, score_threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes [B, Q, N, 4] and scores [B, K, N] of the candidates.

    One more box without a score stands at the end, so that there is always one to look at.
    """
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    remaining = tf.where(finite & (scores > score_threshold), scores, _DROPPED)
    corners = tf.pad(boxes, [[0, 0], [0, 1], [0, 0], [0, 0]])
    remaining = tf.pad(remaining, [[0, 0], [0, 1], [0, 0]], constant_values=_DROPPED)
    return tf.transpose(corners, [0, 2, 1, 3]), tf.transpose(remaining, [0, 2, 1])


def _argmax(scores: tf.Tensor) -> tf.Tensor:
    return tf.argmax(scores, axis=-1, output_type=tf.int32)


def _first_of_the_best(best: tf.Tensor, best_index: tf.Tensor) -> tf.Tensor:
    """[B] the class whose best box is next; of equal scores that of the lower box, then the lower class."""
    is_best = best == tf.reduce_max(best, axis=1, keepdims=True)
    first_box = tf.where(is_best, best_index, tf.int32.max)
    return tf.argmin(first_box, axis=1, output_type=tf.int32)


def _iou(box: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """[B, N] IoU of boxes [B, 1, 4] and [B, N, 4], in the order of the C++ kernel's operations.

    With a box without area it is 0 or 0 / 0.
    """
    sides = tf.maximum(
        tf.minimum(box[..., 2:], others[..., 2:]) - tf.maximum(box[..., :2], others[..., :2]), 0.0
    )
    intersection = sides[..., 0] * sides[..., 1]
    area, other_areas = ((x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (box, others))
    return intersection / (area + other_areas - intersection)
