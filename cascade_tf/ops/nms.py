"""Class-wise greedy non-maximum suppression of a batch to a fixed number of boxes.

Candidates are the pairs (box n, class k) whose score exceeds the threshold and whose box has finite
coordinates. Per class, candidates are visited from the best score down; one whose IoU with a kept box is
strictly above the IoU threshold is dropped. The best ``max_outputs`` survivors of all classes are returned.
Equal scores: the lower flattened index ``n * K + k`` comes first. A box without area overlaps nothing.
Boxes and scores are float32 whatever a network computes in: bfloat16 would move coordinates by pixels and
make scores equal that are not.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import floats
from cascade_tf.ops.selection import NMSOutput, nms_output, scored_boxes, select_in_turn


def batched_nms(
    boxes: Any,
    scores: Any,
    *,
    iou_threshold: float,
    score_threshold: float,
    max_outputs: int,
    implementation: str = "auto",
) -> NMSOutput:
    """Suppresses overlapping boxes of each class, for a batch of images. Has no gradient.

    Args:
        boxes: [B, N, Q, 4] float32 xyxy; Q = 1 (all classes share the boxes) or K.
        scores: [B, N, K] float32. NaN and minus infinity are never candidates.
        iou_threshold: in 0..1; a higher IoU suppresses.
        score_threshold: a candidate's score must exceed it.
        max_outputs: D, survivors kept per image.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        NMSOutput of fixed size D.

    Raises:
        ValueError: a wrong rank, box or class dimension, threshold or implementation.
    """
    boxes, scores = floats("batched_nms", "boxes", boxes), floats("batched_nms", "scores", scores)
    check_inputs("batched_nms", boxes, scores, iou_threshold, max_outputs)
    custom = library.custom_ops(implementation)
    if custom is None:
        boxes = scored_boxes("batched_nms", boxes, scores)
        if library.under_xla():
            return _nms_fixed_shapes(boxes, scores, iou_threshold, score_threshold, max_outputs)
        return _nms_tensorflow(boxes, scores, float(iou_threshold), float(score_threshold), int(max_outputs))
    return NMSOutput(
        *custom.cascade_tf_batched_nms(
            boxes=boxes,
            scores=scores,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_outputs=max_outputs,
        )
    )


def check_inputs(
    name: str, boxes: tf.Tensor, scores: tf.Tensor, iou_threshold: float, max_outputs: int
) -> None:
    """Raises ValueError, beginning with ``name``, where ``batched_nms`` would for these arguments."""
    if boxes.shape.rank != 4 or boxes.shape[3] not in (4, None):
        raise ValueError(f"{name}: boxes must be [B, N, Q, 4], got {boxes.shape}")
    if scores.shape.rank != 3:
        raise ValueError(f"{name}: scores must be [B, N, K], got {scores.shape}")
    if not boxes.shape[:1].is_compatible_with(scores.shape[:1]):
        raise ValueError(f"{name}: {boxes.shape[0]} images in boxes, {scores.shape[0]} in scores")
    if not boxes.shape[1:2].is_compatible_with(scores.shape[1:2]):
        raise ValueError(f"{name}: {boxes.shape[1]} boxes, {scores.shape[1]} rows of scores")
    if boxes.shape[2] not in (1, scores.shape[2], None) and scores.shape[2] is not None:
        raise ValueError(
            f"{name}: boxes must hold 1 box or one per class ({scores.shape[2]}), got {boxes.shape[2]}"
        )
    if not 0.0 <= iou_threshold <= 1.0:
        raise ValueError(f"{name}: iou_threshold must be in 0..1, got {iou_threshold}")
    if max_outputs < 1:
        raise ValueError(f"{name}: max_outputs must be at least 1, got {max_outputs}")


def _nms_tensorflow(
    boxes: tf.Tensor, scores: tf.Tensor, iou_threshold: float, score_threshold: float, max_outputs: int
) -> NMSOutput:
    """The twin: one core NMS op per image and class in a loop, so the graph does not grow with K."""
    batch, num_boxes, num_classes = tf.unstack(tf.shape(scores))
    box_sets = tf.shape(boxes)[2]
    # The core op orders the corners of a flipped box; here such a box has no area.
    corners = tf.concat([boxes[..., :2], tf.maximum(boxes[..., :2], boxes[..., 2:])], axis=-1)
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    corners = tf.where(finite[..., None], corners, tf.zeros_like(corners))
    candidate_scores = tf.where(finite, scores, tf.fill(tf.shape(scores), -float("inf")))
    # One row more than there are, because a loop over none does not know the size of its result.
    boxes_by_class = _rows(tf.transpose(corners, [0, 2, 1, 3]), [batch * box_sets, num_boxes, 4], 0.0)
    scores_by_class = _rows(
        tf.transpose(candidate_scores, [0, 2, 1]), [batch * num_classes, num_boxes], -float("inf")
    )

    def kept_by_one_class(index):
        image, class_index = index // tf.maximum(num_classes, 1), index % tf.maximum(num_classes, 1)
        class_scores = scores_by_class[index]
        kept, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes_by_class[image * box_sets + tf.minimum(class_index, tf.maximum(box_sets - 1, 0))],
            scores=class_scores,
            max_output_size=max_outputs,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            pad_to_max_output_size=False,
        )
        kept = kept[:count, None]
        rest = tf.fill([num_boxes], -float("inf"))
        return tf.tensor_scatter_nd_update(rest, kept, tf.gather(class_scores, kept[:, 0]))

    survivors = tf.map_fn(
        kept_by_one_class,
        tf.range(batch * num_classes + 1),
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )[:-1]
    survivors = tf.transpose(tf.reshape(survivors, [batch, num_classes, num_boxes]), [0, 2, 1])
    return _best(tf.reshape(survivors, [batch, num_boxes * num_classes]), num_classes, max_outputs)


def _rows(values: tf.Tensor, shape: list[Any], last: float) -> tf.Tensor:
    """The values in another shape, and one row more, of one number."""
    padding = [[0, 1], *[[0, 0]] * (len(shape) - 1)]
    return tf.pad(tf.reshape(values, shape), padding, constant_values=last)


def _nms_fixed_shapes(
    boxes: tf.Tensor, scores: tf.Tensor, iou_threshold: float, score_threshold: float, max_outputs: int
) -> NMSOutput:
    """The twin for XLA, which does not know sizes that depend on values: results one after another."""

    def without_overlap(remaining, overlap):
        return tf.where(overlap > iou_threshold, -float("inf"), remaining)

    return select_in_turn(
        boxes, scores, without_overlap, score_threshold=score_threshold, max_outputs=max_outputs
    )


def _best(flat_scores: tf.Tensor, num_classes: tf.Tensor, max_outputs: int) -> NMSOutput:
    """The best scores above minus infinity; ``top_k`` puts the lower index first among equals."""
    available = tf.minimum(tf.shape(flat_scores)[1], max_outputs)
    top = tf.math.top_k(flat_scores, available)
    padding = [[0, 0], [0, max_outputs - available]]
    size = [None, max_outputs]
    scores = tf.ensure_shape(tf.pad(top.values, padding, constant_values=-float("inf")), size)
    index = tf.ensure_shape(tf.pad(top.indices, padding), size)
    return nms_output(index, scores, scores > -float("inf"), num_classes)
