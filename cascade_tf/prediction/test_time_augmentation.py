"""Test-time augmentation: an image in several sizes and mirrored, and one set of detections from all.

As in Detectron (rows ** of Tables 5 and 10): the boxes of all passes, before any suppression and in the
original image's frame, go through one threshold and one non-maximum suppression. Kept boxes may then move to
the mean of the candidates around them. Masks are the mean of what the mask heads say of the final boxes in
each pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.boxes import vote_boxes
from cascade_tf.prediction.network_calls import batch_spec, make_batch, prepare_weights, traced
from cascade_tf.structures import Batch, Detections, InstanceDetections, ProposalBatch, Tensor


class Pass(NamedTuple):
    """One way to show an image to the network.

    Attributes:
        short_side: length of the shorter side, pixels.
        max_side: limit of the longer side, pixels.
        flip: whether the image is mirrored.
        resize: how the image gets its size, as in ``ops.resize.network_size``.
    """

    short_side: int
    max_side: int
    flip: bool
    resize: str = "shorter_side"


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done beside looking at an image once, in the detector's own size.

    Attributes:
        scales: further lengths of the shorter side, pixels.
        max_side: limit of the longer side at these; None: the detector's own.
        flip: shows each size mirrored too.
        vote_iou: box voting among candidates with at least this overlap, see ``vote_boxes``; None: no voting.

    Raises:
        ValueError: a size that is not positive, or an overlap outside (0, 1].
    """

    scales: tuple[int, ...] = ()
    max_side: int | None = None
    flip: bool = False
    vote_iou: float | None = None

    def __post_init__(self) -> None:
        sizes = (*self.scales, *(() if self.max_side is None else (self.max_side,)))
        if any(size < 1 for size in sizes):
            got = f"scales {self.scales} and max_side {self.max_side}"
            raise ValueError(f"augmentation: got {got}, expected sizes above 0")
        if self.vote_iou is not None and not 0.0 < self.vote_iou <= 1.0:
            raise ValueError(
                f"augmentation: got vote_iou {self.vote_iou}, expected an overlap in (0, 1] or None"
            )

    def passes(self, short_side: int, max_side: int, resize: str = "shorter_side") -> list[Pass]:
        """All passes of a detector whose own size is given, that one first; others keep the aspect ratio."""
        flips = (False, True) if self.flip else (False,)
        own = [Pass(short_side, max_side, flip, resize) for flip in flips]
        return own + [Pass(scale, self.max_side or max_side, flip) for scale in self.scales for flip in flips]


def detect(detector: Any, batch: Batch, augmentation: Augmentation) -> Detections | InstanceDetections:
    """Detects objects in all passes together.

    Only the boxes of a pass are kept. For masks the backbone sees every pass a second time, because the
    feature pyramids of all of them would fill the memory.

    Args:
        detector: a ``TwoStageDetector``.
        batch: images in their original sizes, padded: ``image_size`` is ``original_size``.
        augmentation: the passes and the voting.

    Returns:
        Detections in pixels of the original images.
    """
    prepare_weights(detector)
    return detect_prepared(detector, batch, augmentation)


def detect_prepared(
    detector: Any, batch: Batch, augmentation: Augmentation
) -> Detections | InstanceDetections:
    """`detect` for a caller that has prepared the weights for a series of calls, see ``prepare_weights``.

    Args:
        detector: see `detect`.
        batch: see there.
        augmentation: see there.

    Returns:
        See there.
    """
    views = _Views(detector, batch)
    passes = augmentation.passes(detector.short_side, detector.max_side, detector.resize)
    parts = zip(*(views.candidates(one) for one in passes), strict=True)
    boxes, probabilities, valid = (tf.concat(part, axis=1) for part in parts)
    detections = _select(detector, boxes, probabilities, valid, batch.image_size, augmentation.vote_iou)
    if not detector.has_masks:
        return detections
    return InstanceDetections(*detections, _mean_masks(views, passes, detections))


class _Views:
    """The images of a batch, and what a detector finds in them in one pass."""

    def __init__(self, detector: Any, batch: Batch):
        self.detector = detector
        self.image_size = batch.image_size
        self.given = batch.proposals if isinstance(batch, ProposalBatch) else None
        self.images = [
            pixels[: int(height), : int(width)]
            for pixels, (height, width) in zip(batch.images.numpy(), batch.image_size.numpy(), strict=True)
        ]

    def candidates(self, one: Pass) -> tuple[Tensor, Tensor, Tensor]:
        """What the last stage says: boxes [B, R, 1 or K, 4] in the images' frame, probabilities, validity."""
        batch = self._show(one)
        boxes, probabilities, valid = traced(self.detector, "last_stage", _last_stage)(batch)
        boxes = _scale(boxes, self.image_size / batch.image_size)
        return _mirror(boxes, self.image_size) if one.flip else boxes, probabilities, valid

    def masks(self, one: Pass, boxes: Tensor, classes: Tensor) -> Tensor:
        """Mask probabilities [B, D, M, M] of boxes [B, D, 4] in the images' frame."""
        batch = self._show(one)
        boxes = _mirror(boxes, self.image_size) if one.flip else boxes
        boxes = _scale(boxes, batch.image_size / self.image_size)
        signature = (batch_spec(self.detector), *_BOXES_AND_CLASSES)
        run = traced(self.detector, "masks_of_boxes", _masks_of_boxes, signature)
        masks = run(batch, boxes, classes)
        return tf.reverse(masks, axis=[3]) if one.flip else masks

    def _show(self, one: Pass) -> Batch:
        # Mirrored before the resize: then an image and its mirror image are shown in the same pictures.
        images = [image[:, ::-1] for image in self.images] if one.flip else self.images
        batch = make_batch(
            images,
            short_side=one.short_side,
            max_side=one.max_side,
            size_divisor=self.detector.size_divisor,
            side_multiple=self.detector.side_multiple,
            resize=one.resize,
        )
        if self.given is None:
            return batch
        boxes = _mirror(self.given.boxes, self.image_size) if one.flip else self.given.boxes
        boxes = _scale(boxes, batch.image_size / self.image_size)
        return ProposalBatch(*batch, self.given._replace(boxes=boxes))


_BOXES_AND_CLASSES = (tf.TensorSpec([None, None, 4], tf.float32), tf.TensorSpec([None, None], tf.int32))


def _last_stage(detector: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    features, _, proposals = detector.propose(batch)
    with detector.in_areas(batch):
        outputs = detector.heads(features, proposals, batch.image_size)
        boxes = detector.heads.detection_boxes(outputs)
        return boxes, detector.heads.class_probabilities(outputs), outputs[-1].samples.valid


def _masks_of_boxes(detector: Any, batch: Batch, boxes: Tensor, classes: Tensor) -> Tensor:
    # Scores play no part in masks.
    detections = Detections(boxes, tf.zeros_like(boxes[..., 0]), classes, classes > 0)
    with detector.in_areas(batch):
        return detector.heads.with_masks(detector.features(batch), detections).masks


def _select(
    detector: Any,
    boxes: Tensor,
    probabilities: Tensor,
    valid: Tensor,
    image_size: Tensor,
    vote_iou: float | None,
) -> Detections:
    """The detector's own final selection, then the voting."""

    def select(network: Any, *tensors: Tensor) -> Detections:
        output = network.detection_output
        boxes, scores = output.candidates(*tensors)
        detections = output.select(boxes, scores)
        if vote_iou is None:
            return detections
        threshold = max(output.score_threshold, 0.0)
        return vote_boxes(detections, boxes, scores, iou=vote_iou, score_threshold=threshold)

    tensors = (boxes, probabilities, valid, image_size)
    signature = [tf.TensorSpec([None, None, *x.shape[2:]], x.dtype) for x in tensors[:3]]
    signature.append(tf.TensorSpec([None, 2], tf.float32))
    return traced(detector, f"selection with voting {vote_iou}", select, signature)(*tensors)


def _mean_masks(views: _Views, passes: Sequence[Pass], detections: Detections) -> Tensor:
    """[B, D, M, M] mean of the final boxes' masks over the passes."""
    most = int(np.sum(detections.valid, axis=1).max(initial=0))
    count = detections.classes.shape[1]
    if most == 0:
        # One pass tells the size of the masks that there are not.
        passes = passes[:1]
    boxes, classes = detections.boxes[:, :most], detections.classes[:, :most]
    total: Any = 0.0
    for one in passes:
        total += views.masks(one, boxes, classes)
    return tf.pad(total / float(len(passes)), [[0, 0], [0, count - most], [0, 0], [0, 0]])


def _scale(boxes: Tensor, factor: Tensor) -> Tensor:
    """Boxes [B, ..., 4] times factors [B, 2] of (height, width)."""
    factors = tf.tile(factor[:, ::-1], [1, 2])
    return boxes * tf.reshape(factors, [-1, *[1] * (boxes.shape.rank - 2), 4])


def _mirror(boxes: Tensor, image_size: Tensor) -> Tensor:
    """Boxes [B, ..., 4] in the mirrored image."""
    width = tf.reshape(image_size[:, 1], [-1, *[1] * (boxes.shape.rank - 2)])
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    return tf.stack([width - x2, y1, width - x1, y2], axis=-1)
