"""Scored boxes of all levels to proposals."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.ops.nms import batched_nms
from cascade_tf.structures import Proposals, Tensor


def suppress(
    boxes: Tensor,
    scores: Tensor,
    levels: Tensor,
    *,
    num_levels: int,
    nms_iou: float,
    max_proposals: int,
    by_level: bool = False,
    implementation: str = "auto",
) -> Proposals:
    """Non-maximum suppression within each level, and the best of what is left.

    Args:
        boxes: [B, M, 4] float32.
        scores: [B, M] float32; boxes with minus infinity are never proposals.
        levels: [M] int32 in 0..L-1, where each box comes from.
        num_levels: L.
        nms_iou: a higher IoU suppresses.
        max_proposals: R, proposals of an image, at most.
        by_level: sorts proposals by their level first, then by score.
        implementation: of NMS, see ``ops``.

    Returns:
        R proposals without gradient, best first.
    """
    of_level = levels[None, :, None] == tf.range(num_levels)
    kept = batched_nms(
        boxes[:, :, None, :],
        tf.where(of_level, scores[..., None], -float("inf")),
        iou_threshold=nms_iou,
        score_threshold=-float("inf"),
        max_outputs=max_proposals,
        implementation=implementation,
    )
    valid = tf.range(tf.shape(kept.scores)[1])[None] < kept.count[:, None]
    chosen = tf.gather(boxes, kept.box_index, batch_dims=1)
    chosen = tf.where(valid[..., None], chosen, 0.0)
    proposals = Proposals(tf.stop_gradient(chosen), tf.where(valid, kept.scores, 0.0), valid)
    if not by_level:
        return proposals
    order = tf.argsort(tf.where(valid, kept.class_index, num_levels), axis=1, stable=True)
    return Proposals(*(tf.gather(value, order, batch_dims=1) for value in proposals))


def without_padding(proposals: Proposals) -> Proposals:
    """As many proposals per image as the fullest one of the batch has, one at least.

    Args:
        proposals: the valid ones of each image in front.
    """
    most = tf.reduce_max(tf.reduce_sum(tf.cast(proposals.valid, tf.int32), axis=1))
    return Proposals(*(value[:, : tf.maximum(most, 1)] for value in proposals))
