"""Losses of the region proposal network and of one cascade stage: structures in, scalars out."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.boxes.geometry import area, is_proper
from cascade_tf.loss_counts import mean_over, whole_count
from cascade_tf.structures import AnchorTargets, AreaOutput, RPNOutput, StageOutput, Tensor

# Boxes above this IoU are taken for appended ground truth in the metrics.
OWN_BOX_IOU = 0.975


class StageMetrics(NamedTuple):
    """What a stage achieves in training (scalars, over the foreground of a batch).

    The overlaps leave out boxes that came in with an IoU above 0.975: those are the objects' own boxes, which
    were appended to the proposals and say nothing about the detector. The authors' Caffe layer measures the
    same, and puts out -1 without foreground.

    Attributes:
        positives: foreground RoIs per image.
        iou_before: mean IoU of their boxes with their objects, before regression; 0 without foreground.
        iou_after: the same after regression.
        accuracy: share of valid RoIs whose class is right, background included.
    """

    positives: Tensor
    iou_before: Tensor
    iou_after: Tensor
    accuracy: Tensor


def smooth_l1(difference: Tensor, beta: float) -> Tensor:
    """Huber-like loss: quadratic below ``beta``, linear above; plain L1 at ``beta`` 0.

    Args:
        difference: any shape.
        beta: where the two pieces meet, with equal slopes.
    """
    size = tf.abs(difference)
    if beta == 0.0:
        return size
    return tf.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def rpn_losses(
    output: RPNOutput | AreaOutput,
    targets: AnchorTargets,
    *,
    samples_per_image: int | None,
    beta: float = 1.0 / 9.0,
) -> tuple[Tensor, Tensor]:
    """Objectness and box loss of the region proposal network.

    Both are sums over the sampled anchors divided by the number that would be sampled from a full batch, so
    that an image with few anchors does not weigh more. Or both are means, as in the authors' Caffe code: over
    the anchors that were drawn, and over the coordinates of the foreground among them.

    Args:
        output: raw output.
        targets: sampled labels.
        samples_per_image: anchors that the losses are normalised to; None: those that were drawn, and means.
        beta: of ``smooth_l1``; 1/9 in Detectron, 0 in detectron2.

    Returns:
        (objectness, box), float32 scalars; 0 where there is nothing to take a mean of.
    """
    sampled = targets.labels >= 0
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets.labels == 1, tf.float32), output.logits)
    objectness = tf.reduce_sum(tf.where(sampled, entropy, 0.0))
    foreground = (targets.labels == 1)[..., None]
    # The difference is masked before the loss: an infinite offset of an unused anchor must not turn into NaN.
    difference = tf.where(foreground, output.deltas - targets.deltas, 0.0)
    box = tf.reduce_sum(smooth_l1(difference, beta))
    if samples_per_image is None:
        drawn, coordinates = _count(sampled), 4.0 * _count(foreground)
        return mean_over(objectness, drawn), mean_over(box, coordinates)
    count = tf.cast(samples_per_image * tf.shape(output.logits)[0], tf.float32)
    return objectness / count, box / count


def branch_losses(
    logits: Tensor, deltas: Tensor, labels: Tensor, wanted: Tensor, *, negative_multiple: int, beta: float
) -> tuple[Tensor, Tensor]:
    """Class and box losses of the templates of one proposal branch (Cai et al., 2016), over a batch.

    The class loss is the mean over what was chosen, in which foreground and background have shares of 1 to
    ``negative_multiple`` however many there are of each; where there is but one of them it is the plain mean.
    The box loss is the mean over the coordinates of the foreground.

    Args:
        logits: [B, N, T, K + 1] float32 of N cells and T templates, background first.
        deltas: [B, N, T, 4] float32.
        labels: [B, N, T] int32 classes, 0 background, -1 not chosen.
        wanted: [B, N, T, 4] float32.
        negative_multiple: share of the background for one of the foreground.
        beta: of ``smooth_l1``.

    Returns:
        (class, box), each [T] float32; 0 where there is nothing to take a mean of.
    """

    def total(values: Tensor) -> Tensor:
        return tf.reduce_sum(values, axis=(0, 1))

    foreground, background = (tf.cast(mask, tf.float32) for mask in (labels > 0, labels == 0))
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
    counts = whole_count(total(foreground)), whole_count(total(background))
    means = [
        tf.math.divide_no_nan(total(mask * entropy), count)
        for mask, count in zip((foreground, background), counts, strict=True)
    ]
    share = 1.0 / (1.0 + negative_multiple)
    share = tf.where(counts[1] == 0.0, 1.0, tf.where(counts[0] == 0.0, 0.0, share))
    # The difference is masked before the loss: an infinite offset of an unused candidate must not become NaN.
    difference = tf.where((labels > 0)[..., None], deltas - wanted, 0.0)
    boxes = tf.math.divide_no_nan(total(tf.reduce_sum(smooth_l1(difference, beta), axis=-1)), 4.0 * counts[0])
    return share * means[0] + (1.0 - share) * means[1], boxes


def _count(mask: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.float32))


def stage_losses(
    output: StageOutput,
    coder: BoxCoder,
    *,
    beta: float = 1.0,
    box_weight: float = 1.0,
    hard_examples: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Class and box loss of one stage, each divided by its number of RoIs in the batch (paper, Eq. 2, 7, 12).

    Args:
        output: of a training pass.
        coder: of that stage; its statistics normalise the regression targets.
        beta: of ``smooth_l1``; 1 in the paper, 0 in detectron2.
        box_weight: factor of the box loss (lambda of Eq. 12).
        hard_examples: RoIs per image that take part, those whose sum of both losses is largest
            (Shrivastava et al., 2016); the losses are divided by their number. ``box_weight`` does not count
            in the choice.

    Returns:
        (class, box), float32 scalars; 0 for a batch without a valid RoI.
    """
    valid = output.samples.valid
    class_losses, box_losses = _roi_losses(output, coder, beta)
    if hard_examples is not None:
        valid = hardest(class_losses + box_losses, valid, hard_examples)
    count = whole_count(_count(valid))
    class_loss, box_loss = (
        tf.math.divide_no_nan(tf.reduce_sum(tf.where(valid, losses, 0.0)), count)
        for losses in (class_losses, box_losses)
    )
    return class_loss, box_weight * box_loss


def _roi_losses(output: StageOutput, coder: BoxCoder, beta: float) -> tuple[Tensor, Tensor]:
    """[B, S] class and box loss of each RoI."""
    samples = output.samples
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(samples.classes, output.logits)
    foreground = samples.valid & (samples.classes > 0)
    wanted = coder.encode(samples.gt_boxes, samples.boxes)
    difference = tf.where(foreground[..., None], _own_deltas(output) - wanted, 0.0)
    return entropy, tf.reduce_sum(smooth_l1(difference, beta), axis=-1)


def hardest(losses: Tensor, valid: Tensor, count: int) -> Tensor:
    """The RoIs of each image with the largest losses, of equal ones the last.

    Args:
        losses: [B, S] float32, not negative.
        valid: [B, S] bool.
        count: RoIs per image, at most.

    Returns:
        [B, S] bool.
    """
    # The op puts the first of equals first: reversed, so that the last does.
    ranked = tf.reverse(tf.where(valid, tf.stop_gradient(losses), -1.0), [1])
    order = tf.argsort(ranked, axis=1, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, axis=1)
    return valid & (tf.reverse(rank, [1]) < count)


def mask_loss(logits: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross-entropy over the cells of all foreground RoIs (He et al., 2017).

    Args:
        logits: [B, F, M, M] float32 of each RoI's true class.
        wanted: [B, F, M, M] float32 in {0, 1}.
        valid: [B, F] bool.

    Returns:
        float32 scalar; 0 for a batch without foreground.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits)
    entropy = tf.where(valid[:, :, None, None], entropy, 0.0)
    cells = tf.reduce_sum(tf.cast(valid, tf.float32)) * tf.cast(
        tf.reduce_prod(tf.shape(logits)[2:]), tf.float32
    )
    return mean_over(tf.reduce_sum(entropy), cells)


def _own_deltas(output: StageOutput) -> Tensor:
    """[B, S, 4] the offsets of each sample's true class."""
    deltas = output.deltas
    if deltas.shape[-1] == 4:
        return deltas
    shape = tf.shape(deltas)
    by_class = tf.reshape(deltas, [shape[0], shape[1], deltas.shape[-1] // 4, 4])
    return tf.gather(by_class, tf.maximum(output.samples.classes - 1, 0), axis=2, batch_dims=2)


def stage_metrics(output: StageOutput) -> StageMetrics:
    """How good the boxes of a stage are before and after it.

    Args:
        output: of a training pass.
    """
    samples = output.samples
    foreground = tf.cast(samples.valid & (samples.classes > 0), tf.float32)
    regressed = foreground * tf.cast(samples.gt_iou <= OWN_BOX_IOU, tf.float32)
    count = tf.reduce_sum(regressed)
    # A wild offset makes a box of NaN or infinity, which even a weight of 0 would not hide.
    after = tf.where(is_proper(output.boxes), _paired_iou(output.boxes, samples.gt_boxes), 0.0)
    right = tf.argmax(output.logits, axis=-1, output_type=tf.int32) == samples.classes
    valid = tf.cast(samples.valid, tf.float32)
    return StageMetrics(
        positives=tf.reduce_sum(foreground) / tf.cast(tf.shape(valid)[0], tf.float32),
        iou_before=tf.math.divide_no_nan(tf.reduce_sum(regressed * samples.gt_iou), count),
        iou_after=tf.math.divide_no_nan(tf.reduce_sum(regressed * after), count),
        accuracy=tf.math.divide_no_nan(
            tf.reduce_sum(valid * tf.cast(right, tf.float32)), tf.reduce_sum(valid)
        ),
    )


def _paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    top_left = tf.maximum(boxes[..., :2], others[..., :2])
    bottom_right = tf.minimum(boxes[..., 2:], others[..., 2:])
    intersection = area(tf.concat([top_left, bottom_right], axis=-1))
    return tf.math.divide_no_nan(intersection, area(boxes) + area(others) - intersection)
