"""Detections of one stage's head on other boxes than its own: Fig. 7 and 8 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from cascade_tf.boxes import with_ground_truth
from cascade_tf.layers.base import require
from cascade_tf.prediction.inference import ImageDetections, to_records
from cascade_tf.structures import Detections, Proposals, Targets, Tensor


def detect_on_boxes(
    detector: Any,
    batches: Iterable[Any],
    *,
    head: int,
    stage: int = 1,
    source: Any = None,
    add_objects: bool = False,
    progress: Callable[[int], Any] = lambda count: None,
) -> list[ImageDetections]:
    """Detects with the head of one stage on the boxes that another stage gets.

    Args:
        detector: a ``TwoStageDetector`` with stages, whose head and final selection are used.
        batches: (ImageBatch, Targets), read once.
        head: number of the stage whose head classifies and regresses, from 1.
        stage: number of the stage whose input boxes it gets, from 1: the proposals.
        source: the detector that these boxes are of; None: the same one.
        add_objects: whether the objects themselves are among the boxes.
        progress: called with the number of images of each batch.

    Returns:
        A record for each image.

    Raises:
        ValueError: there is no such stage, or the two detectors see images in other sizes.
    """
    source = detector if source is None else source
    _check_stage("head", head, detector)
    _check_stage("stage", stage, source)
    for name in ("short_side", "max_side", "resize"):
        own, other = getattr(detector, name), getattr(source, name)
        require(own == other, f"{name} of the detector of the boxes", other, f"that of the other one, {own}")

    @tf.function(reduce_retracing=True, autograph=False)
    def look(batch: Any, targets: Targets) -> Detections:
        features = source.features(batch)
        with source.in_areas(batch):
            _, proposals = source.proposals.of_batch(features, batch)
            if stage > 1:
                samples = source.heads(features, proposals, batch.image_size)[stage - 1].samples
                proposals = Proposals(samples.boxes, samples.scores, samples.valid)
        if source is not detector:
            features = detector.features(batch)
        if add_objects:
            proposals = with_ground_truth(proposals, targets)
        with detector.in_areas(batch):
            return _detect(detector, head, features, proposals, batch.image_size)

    records: list[ImageDetections] = []
    for batch, targets in batches:
        found = look(batch, targets)
        records += to_records(found, batch, detector.class_names, detector.category_ids)
        progress(len(targets.valid))
    return records


def _detect(
    detector: Any, head: int, features: dict[str, Tensor], proposals: Proposals, image_size: Tensor
) -> Detections:
    stage = detector.heads.stages[head - 1]
    logits, deltas = detector.heads.head_on_boxes(head - 1, features, proposals.boxes)
    boxes = stage.decode(deltas, proposals.boxes)
    probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
    return detector.detection_output(boxes, probabilities, proposals.valid, image_size)


def _check_stage(name: str, number: int, detector: Any) -> None:
    count = len(getattr(detector.heads, "stages", ()))
    require(1 <= number <= count, name, number, f"a stage of the detector, 1..{count}")
