"""Random choice of the anchors and regions that a step trains on."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cascade_tf.boxes.geometry import is_proper
from cascade_tf.boxes.matching import BACKGROUND, FOREGROUND, IGNORED, Match, gather_matched, match_boxes
from cascade_tf.structures import Proposals, Samples, Targets, Tensor


def random_priority(seed: Tensor, count: Tensor, salt: int) -> Tensor:
    """Uniform random numbers that depend on each example's seed alone.

    Args:
        seed: [B, 2] int32.
        count: numbers per example.
        salt: tells apart the places that draw from one seed.

    Returns:
        [B, count] float32 in 0..1.
    """
    salted = seed + tf.constant([0, salt * 7919], tf.int32)
    return tf.map_fn(
        lambda one: tf.random.stateless_uniform([count], one),
        salted,
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )


def sample_labels(
    labels: Tensor,
    seed: Tensor,
    *,
    num_samples: int,
    foreground_fraction: float,
    salt: int,
    of_image: Tensor | None = None,
) -> Tensor:
    """Keeps a random subset of foreground and background, the rest becomes ignored.

    Args:
        labels: [B, N] int32: 1 foreground, 0 background, -1 ignored.
        seed: [B, 2] int32.
        num_samples: labels kept per image, at most.
        foreground_fraction: share of foreground among them, at most; background fills the rest.
        salt: see ``random_priority``.
        of_image: [B, N] bool: the draw is the one among these alone, where the others are ignored; None: all
            count.

    Returns:
        [B, N] int32 labels.
    """
    priority = random_priority(seed, tf.shape(labels)[1], salt)
    if of_image is not None:
        place = tf.cumsum(tf.cast(of_image, tf.int32), axis=1, exclusive=True)
        priority = tf.gather(priority, place, batch_dims=1)
    foreground = labels == FOREGROUND
    num_foreground = tf.minimum(_count(foreground), int(num_samples * foreground_fraction))
    keep = _keep_smallest(priority, foreground, num_foreground, int(num_samples * foreground_fraction))
    background = labels == BACKGROUND
    keep |= _keep_smallest(priority, background, num_samples - num_foreground, num_samples)
    return tf.where(keep, labels, IGNORED)


def sample_rois(
    proposals: Proposals,
    targets: Targets,
    *,
    iou: float,
    num_samples: int | None,
    foreground_fraction: float = 0.25,
    append_ground_truth: bool = True,
    crowd_cover: float | None = 0.7,
    match_crowds: bool = False,
    background_range: Sequence[float] | None = None,
    top_up: bool = False,
    salt: int = 0,
) -> Samples:
    """Labels proposals at one IoU threshold and, in the first stage, draws a fixed number of them.

    Later stages keep every box of the stage before (Sec. 6.1.2): after a regression most boxes have moved to
    a higher IoU, so that thinning out the background is neither needed nor wanted.

    Args:
        proposals: candidates; those that are not valid, not finite or without area are never sampled.
        targets: ground truth.
        iou: threshold of foreground.
        num_samples: S, boxes per image (512 in the paper's FPN detectors); None keeps them all.
        foreground_fraction: share of foreground among ``num_samples``, at most.
        append_ground_truth: whether the objects' own boxes join the proposals.
        crowd_cover: as in ``match_boxes``.
        match_crowds: as in ``match_boxes``.
        background_range: background has an IoU from the first of these two on and below the second, other
            boxes are left out; None: below ``iou``.
        top_up: where there are fewer than ``num_samples``, boxes that ``background_range`` leaves out fill
            up as background, in the order of the proposals.
        salt: see ``random_priority``.

    Returns:
        Samples, foreground before background where ``num_samples`` is given, else in the order of the
        proposals.
    """
    boxes, scores, usable = with_ground_truth(proposals, targets) if append_ground_truth else proposals
    usable &= is_proper(boxes)
    match = match_boxes(boxes, targets, iou=iou, crowd_cover=crowd_cover, match_crowds=match_crowds)
    labels = tf.where(usable, match.labels, IGNORED)
    low, high = background_range or (0.0, iou)
    left_out = (labels == BACKGROUND) & ((match.iou < low) | (match.iou >= high))
    match = match._replace(labels=tf.where(left_out, IGNORED, labels))
    if num_samples is not None:
        chosen = sample_labels(
            match.labels,
            targets.seed,
            num_samples=num_samples,
            foreground_fraction=foreground_fraction,
            salt=salt,
        )
        if top_up:
            missing = num_samples - _count(chosen != IGNORED)
            chosen = tf.where(_keep_first(left_out, missing), BACKGROUND, chosen)
        boxes, scores, match = _front(boxes, scores, match._replace(labels=chosen), num_samples)
    foreground = match.labels == FOREGROUND
    return Samples(
        boxes=tf.stop_gradient(boxes),
        scores=tf.stop_gradient(scores),
        valid=match.labels != IGNORED,
        classes=tf.where(foreground, gather_matched(targets.classes, match), 0),
        gt_boxes=gather_matched(targets.boxes, match),
        gt_iou=match.iou,
        gt_index=match.index,
    )


def with_ground_truth(proposals: Proposals, targets: Targets) -> Proposals:
    """The proposals and, behind them, the objects' own boxes with a score that no proposal has.

    Training appends them for the sake of the foreground. At test they show what a detector makes of proposals
    that it has otherwise too few of (Fig. 7 (b)).

    Args:
        proposals: R boxes per image.
        targets: G objects per image; those to ignore, crowds and padding are not valid proposals.

    Returns:
        R + G proposals.
    """
    logits = tf.fill(tf.shape(targets.classes), _GROUND_TRUTH_LOGIT)
    return Proposals(
        tf.concat([proposals.boxes, targets.boxes], axis=1),
        tf.concat([proposals.scores, logits], axis=1),
        tf.concat([proposals.valid, targets.valid], axis=1),
    )


def relabelled(
    samples: Samples,
    targets: Targets,
    *,
    iou: float,
    crowd_cover: float | None = 0.7,
    match_crowds: bool = False,
) -> Samples:
    """The same boxes with the labels of another threshold (y_u of Eq. 14).

    Args:
        samples: of `sample_rois`.
        targets: ground truth.
        iou: threshold of foreground, not below the samples' own.
        crowd_cover: as in ``match_boxes``.
        match_crowds: as in ``match_boxes``.
    """
    match = match_boxes(samples.boxes, targets, iou=iou, crowd_cover=crowd_cover, match_crowds=match_crowds)
    return samples._replace(
        valid=samples.valid & (match.labels != IGNORED),
        classes=tf.where(match.labels == FOREGROUND, samples.classes, 0),
    )


def unlabelled_samples(proposals: Proposals) -> Samples:
    """All proposals as a stage looks at them at test: nothing is drawn, and labels say nothing.

    Args:
        proposals: R boxes per image.

    Returns:
        R samples.
    """
    nothing = tf.zeros_like(proposals.scores)
    return Samples(
        boxes=proposals.boxes,
        scores=proposals.scores,
        valid=proposals.valid,
        classes=tf.cast(nothing, tf.int32),
        gt_boxes=tf.zeros_like(proposals.boxes),
        gt_iou=nothing,
        gt_index=tf.cast(nothing, tf.int32),
    )


# The logit that detectron2 gives to appended objects: a probability of 1 - 1e-10.
_GROUND_TRUTH_LOGIT = 23.02585


def _front(boxes: Tensor, scores: Tensor, match: Match, size: int) -> tuple[Tensor, Tensor, Match]:
    """The ``size`` first boxes in the order foreground, background, ignored; stable within each."""
    count = tf.shape(boxes)[1]
    missing = tf.maximum(size - count, 0)
    boxes = tf.pad(boxes, [[0, 0], [0, missing], [0, 0]])
    scores = tf.pad(scores, [[0, 0], [0, missing]])
    labels = tf.pad(match.labels, [[0, 0], [0, missing]], constant_values=IGNORED)
    order = tf.argsort(-labels, axis=1, stable=True)[:, :size]
    order = tf.ensure_shape(order, [None, size])

    def pick(values: Tensor) -> Tensor:
        return tf.gather(values, order, batch_dims=1)

    index = tf.pad(match.index, [[0, 0], [0, missing]])
    iou = tf.pad(match.iou, [[0, 0], [0, missing]])
    return pick(boxes), pick(scores), Match(pick(labels), pick(index), pick(iou))


def _count(mask: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def _keep_first(mask: Tensor, count: Tensor) -> Tensor:
    """[B, N] bool: the first ``count`` [B] entries of ``mask``."""
    return mask & (tf.cumsum(tf.cast(mask, tf.int32), axis=1) <= count[:, None])


def _keep_smallest(priority: Tensor, mask: Tensor, count: Tensor, limit: int) -> Tensor:
    """[B, N] bool: the ``count`` [B] entries of ``mask`` with the smallest priority; ``count <= limit``."""
    size = tf.shape(priority)[1]
    top = tf.math.top_k(tf.where(mask, 1.0 - priority, -1.0), k=tf.minimum(limit, size))
    chosen = (top.values >= 0.0) & (tf.range(tf.shape(top.indices)[1])[None] < count[:, None])
    rows = tf.broadcast_to(tf.range(tf.shape(priority)[0])[:, None], tf.shape(top.indices))
    places = tf.stack([rows, top.indices], axis=-1)
    return tf.scatter_nd(places, tf.cast(chosen, tf.int32), tf.shape(priority)) > 0
