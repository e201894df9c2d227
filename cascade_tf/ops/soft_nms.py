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
from cascade_tf.ops.argument_checks import floats
from cascade_tf.ops.nms import NMSOutput, check_inputs
from cascade_tf.ops.selection import scored_boxes, select_in_turn

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
    boxes, scores = floats("batched_soft_nms", "boxes", boxes), floats("batched_soft_nms", "scores", scores)
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
    """The twin: candidates that remain lose by their overlap with each selected one."""

    def lowered(remaining, overlap):
        return remaining * _decay(overlap, method, sigma, iou_threshold)

    boxes = scored_boxes("batched_soft_nms", boxes, scores)
    return select_in_turn(boxes, scores, lowered, score_threshold=score_threshold, max_outputs=max_outputs)


def _decay(overlap: tf.Tensor, method: str, sigma: float, iou_threshold: float) -> tf.Tensor:
    """Factors of the scores, 1 where the overlap is not a number."""
    if method == "linear":
        return tf.where(overlap > iou_threshold, 1.0 - overlap, 1.0)
    # float64: every implementation of exp then rounds to the same float32.
    wide = tf.cast(overlap, tf.float64)
    factor = tf.cast(tf.exp(-(wide * wide) / np.float64(np.float32(sigma))), tf.float32)
    return tf.where(overlap > 0.0, factor, 1.0)
