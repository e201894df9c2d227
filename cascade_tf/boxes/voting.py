"""Box voting (Gidaris and Komodakis, 2015): detections move to the mean of the candidates around them."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.boxes.geometry import pairwise_iou
from cascade_tf.structures import Detections, Tensor


def vote_boxes(
    detections: Detections, boxes: Tensor, scores: Tensor, *, iou: float | Tensor, score_threshold: float
) -> Detections:
    """Replaces each box by the mean of all candidates of its class that overlap it, weighted by their scores.

    The scores stay as they are (Detectron's scoring method "ID").

    Args:
        detections: what non-maximum suppression kept of the candidates.
        boxes: [B, N, 1, 4] or [B, N, K, 4] float32 candidates before the suppression.
        scores: [B, N, K] float32 of the candidates.
        iou: least overlap of a candidate that votes, in 0..1; 0.9 in Detectron.
        score_threshold: at least 0; a candidate that votes has a higher score.

    Returns:
        The detections with other boxes; the padding stays zero.
    """
    of_class = tf.maximum(detections.classes - 1, 0)
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1, keepdims=True)
    voters = tf.transpose(tf.where(finite, boxes, 0.0), [0, 2, 1, 3])
    # [B, 1, N, 4] where all classes share the boxes, else [B, D, N, 4].
    voters = voters if boxes.shape[2] == 1 else tf.gather(voters, of_class, batch_dims=1)
    weights = tf.gather(tf.transpose(scores, [0, 2, 1]), of_class, batch_dims=1)
    overlap = pairwise_iou(detections.boxes[:, :, None], voters)[:, :, 0]
    votes = detections.valid[..., None] & (overlap >= iou) & (weights > score_threshold)
    weights = tf.where(votes, weights, 0.0)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    # The mean of differences, which are small, keeps more digits than that of coordinates.
    moves = tf.reduce_sum(weights[..., None] * (voters - detections.boxes[:, :, None]), axis=2)
    return detections._replace(boxes=detections.boxes + moves / tf.where(total > 0.0, total, 1.0))
