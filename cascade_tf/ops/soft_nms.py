"""Class-wise soft non-maximum suppression (Bodla et al., "Soft-NMS", ICCV 2017) of a batch.

Where ``batched_nms`` drops a box that overlaps a better one of its class, this lowers its score: the best
candidate is selected, the others decay by their IoU o with it, and so on. Linear: scores with o above the IoU
threshold are multiplied by 1 - o. Gaussian: all are multiplied by exp(-o^2 / sigma). What has decayed to the
score threshold is dropped. Candidates, the order of equal scores and boxes without area are as in
``batched_nms``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.nms import NMSOutput, check_inputs, nms_output, no_survivors

METHODS = ("linear", "gaussian")


def batched_soft_nms(
    boxes: Any,
    scores: Any,
    *,
    method: str,
    sigma: float = 0.5,
    iou_threshold: float = 0.5,
    score_threshold: float,
    max_outputs: int,
    implementation: str = "auto",
) -> NMSOutput:
    """Lowers the scores of boxes that overlap better ones of their class. Has no gradient.

    Args:
        boxes: [B, N, Q, 4] float32 xyxy; Q = 1 (all classes share the boxes) or K.
        scores: [B, N, K] float32. NaN is never a candidate.
        method: "linear" or "gaussian".
        sigma: width of the Gaussian, above 0; 0.5 in the paper.
        iou_threshold: in 0..1; a higher IoU lowers the score linearly. Not used by "gaussian".
        score_threshold: at least 0; a candidate's score must exceed it, before and after the decay.
        max_outputs: D, boxes kept per image.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        NMSOutput of fixed size D, with the decayed scores, best first.

    Raises:
        ValueError: a wrong rank, box or class dimension, method, sigma, threshold or implementation.
    """
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    scores = tf.stop_gradient(tf.cast(scores, tf.float32))
    check_inputs("batched_soft_nms", boxes, scores, iou_threshold, max_outputs)
    _check_decay(method, sigma, score_threshold)
    custom = library.custom_ops(implementation)
    settings = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    if custom is None:
        return _soft_nms_tensorflow(boxes, scores, method, sigma, **settings, max_outputs=max_outputs)
    return NMSOutput(
        *custom.cascade_tf_batched_soft_nms(
            boxes=boxes, scores=scores, method=method, sigma=sigma, **settings, max_outputs=max_outputs
        )
    )


def _check_decay(method: str, sigma: float, score_threshold: float) -> None:
    if method not in METHODS:
        raise ValueError(f"batched_soft_nms: method must be one of {METHODS}, got {method!r}")
    if not sigma > 0.0:
        raise ValueError(f"batched_soft_nms: sigma must be positive, got {sigma}")
    # A negative score would rise towards 0 when it decays.
    if not score_threshold >= 0.0:
        raise ValueError(f"batched_soft_nms: score_threshold must be at least 0, got {score_threshold}")


def _soft_nms_tensorflow(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    method: str,
    sigma: float,
    *,
    iou_threshold: float,
    score_threshold: float,
    max_outputs: int,
) -> NMSOutput:
    """The twin: a loop over the results, each step for all images at once."""
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
        row = tf.gather_nd(remaining, at) * _decay(overlap, method, sigma, iou_threshold)
        # At or below the threshold, or NaN: dropped, like the selected one.
        row = tf.where(row > score_threshold, row, 0.0)
        row = tf.tensor_scatter_nd_update(row, tf.stack([image, index], axis=1), tf.zeros([batch]))
        remaining = tf.tensor_scatter_nd_update(remaining, at, row)
        best = tf.tensor_scatter_nd_update(best, at, tf.reduce_max(row, axis=1))
        best_index = tf.tensor_scatter_nd_update(best_index, at, _argmax(row))
        # By image, then step: a transpose of whole numbers at the end would make oneDNN complain of them.
        place = tf.stack([image, tf.fill([batch], step)], axis=1)
        chosen = tf.tensor_scatter_nd_update(chosen, place, index * num_classes + class_index)
        chosen_scores = tf.tensor_scatter_nd_update(chosen_scores, place, score)
        return step + 1, remaining, best, best_index, chosen, chosen_scores

    *_, chosen, chosen_scores = tf.while_loop(
        lambda step, remaining, best, *_: tf.reduce_any(best > 0.0),
        select,
        (
            tf.constant(0),
            remaining,
            tf.reduce_max(remaining, axis=2),
            _argmax(remaining),
            tf.zeros([batch, max_outputs], tf.int32),
            tf.zeros([batch, max_outputs]),
        ),
        maximum_iterations=max_outputs,
    )
    size = [None, max_outputs]
    chosen = tf.ensure_shape(chosen, size)
    chosen_scores = tf.ensure_shape(chosen_scores, size)
    return nms_output(chosen, chosen_scores, chosen_scores > 0.0, num_classes)


def _by_class(boxes: tf.Tensor, scores: tf.Tensor, score_threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes [B, Q, N, 4] and scores [B, K, N], 0 for what is no candidate.

    One more box without a score stands at the end, so that there is always one to look at.
    """
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    remaining = tf.where(finite & (scores > score_threshold), scores, 0.0)
    corners = tf.pad(boxes, [[0, 0], [0, 1], [0, 0], [0, 0]])
    remaining = tf.pad(remaining, [[0, 0], [0, 1], [0, 0]])
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


def _decay(overlap: tf.Tensor, method: str, sigma: float, iou_threshold: float) -> tf.Tensor:
    """Factors of the scores, 1 where the overlap is not a number."""
    if method == "linear":
        return tf.where(overlap > iou_threshold, 1.0 - overlap, 1.0)
    # float64: every implementation of exp then rounds to the same float32.
    wide = tf.cast(overlap, tf.float64)
    factor = tf.cast(tf.exp(-(wide * wide) / np.float64(np.float32(sigma))), tf.float32)
    return tf.where(overlap > 0.0, factor, 1.0)
