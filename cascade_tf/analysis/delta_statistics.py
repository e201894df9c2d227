"""Means and deviations of the deltas that each stage of a cascade regresses (Sec. 4.2 and Fig. 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.losses import OWN_BOX_IOU
from cascade_tf.structures import Samples, Targets

_AXES = ("dx", "dy", "dw", "dh")


class Moments:
    """Number, mean and standard deviation of four numbers each, added batch by batch in float64.

    Batches are merged by their own means (Chan et al., 1979): sums of squares would lose the digits of small
    deviations.

    Attributes:
        count: values added.
        mean: [4] float64; 0 without values.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(4)
        self._squares = np.zeros(4)

    def add(self, values: np.ndarray) -> None:
        """Takes values [n, 4] in."""
        if not len(values):
            return
        values = np.asarray(values, np.float64)
        own_mean = values.mean(axis=0)
        total = self.count + len(values)
        difference = own_mean - self.mean
        self._squares += ((values - own_mean) ** 2).sum(axis=0)
        self._squares += difference**2 * (self.count * len(values) / total)
        self.mean += difference * (len(values) / total)
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """[4] float64 deviation from the mean, over the number of values; 0 without values."""
        return np.sqrt(self._squares / max(self.count, 1))


class StageDeltas(NamedTuple):
    """The offsets (dx, dy, dw, dh) from a stage's hypotheses to their objects, not normalised.

    Attributes:
        iou: the stage's threshold.
        all: of all hypotheses.
        kept: of those that are left when outliers are removed, whose IoU is below the threshold.
    """

    iou: float
    all: Moments
    kept: Moments

    @property
    def outliers(self) -> float:
        """Share of the hypotheses that are outliers, 0..1; 0 without any."""
        return 1.0 - self.kept.count / self.all.count if self.all.count else 0.0


def measure_deltas(
    detector: Any, batches: Iterable[Any], progress: Callable[[int], Any] = lambda count: None
) -> list[StageDeltas]:
    """Measures what the stages of a detector would learn to regress on a data set; see ``stage_deltas``.

    Args:
        detector: a ``TwoStageDetector`` with stages.
        batches: (ImageBatch, Targets), read once.
        progress: called with the number of images of each batch.

    Returns:
        One entry for each stage.

    Raises:
        ValueError: the detector has no stages, since its proposals are its detections.
    """
    found = [StageDeltas(stage.iou, Moments(), Moments()) for stage in stages_of(detector)]
    for of_batch in stage_deltas(detector, batches, progress):
        for stage, (deltas, overlaps) in zip(found, of_batch, strict=True):
            stage.all.add(deltas)
            stage.kept.add(deltas[overlaps >= np.float32(stage.iou)])
    return found


def stage_deltas(
    detector: Any, batches: Iterable[Any], progress: Callable[[int], Any] = lambda count: None
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """The offsets from the stages' hypotheses to their objects, batch by batch.

    Boxes are sampled and handed on as in training, by the weights as they are. Hypotheses of a stage are its
    boxes with an IoU of at least the lowest threshold of all stages: farther away there is nothing to
    regress. Objects' own boxes, told as in ``stage_metrics`` by their IoU, are left out, and so are those
    that match a crowd.

    Args:
        detector: a ``TwoStageDetector`` with stages.
        batches: (ImageBatch, Targets), read once.
        progress: called with the number of images of each batch.

    Yields:
        For each stage (dx, dy, dw, dh) [n, 4] float32, not normalised, and the hypotheses' IoU [n].

    Raises:
        ValueError: the detector has no stages, since its proposals are its detections.
    """
    lowest = min(stage.iou for stage in stages_of(detector))

    @tf.function(reduce_retracing=True, autograph=False)
    def look(batch: Any, targets: Targets) -> list[tuple[Any, Any]]:
        features = detector.features(batch)
        with detector.in_areas(batch):
            _, proposals = detector.proposals.of_batch(features, batch, training=True)
            outputs = detector.heads(features, proposals, batch.image_size, targets, training=True)
        return [_hypotheses(output.samples, targets, lowest) for output in outputs]

    for batch, targets in batches:
        yield [(deltas.numpy(), overlaps.numpy()) for deltas, overlaps in look(batch, targets)]
        progress(len(targets.valid))


def stages_of(detector: Any) -> Sequence[Any]:
    """The stages of a detector.

    Raises:
        ValueError: it has none.
    """
    stages = getattr(detector.heads, "stages", ())
    if not stages:
        raise ValueError("got a detector without stages, expected one that regresses boxes in stages")
    return stages


def _hypotheses(samples: Samples, targets: Targets, iou: float) -> tuple[Any, Any]:
    """Deltas [n, 4] and overlaps [n] of a stage's hypotheses."""
    # An image without objects has no row to gather; its overlaps are 0.
    of_object = tf.gather(tf.pad(targets.valid, [[0, 0], [0, 1]]), samples.gt_index, batch_dims=1)
    near = (samples.gt_iou >= iou) & (samples.gt_iou <= OWN_BOX_IOU)
    chosen = samples.valid & of_object & near
    deltas = BoxCoder(std=(1.0, 1.0, 1.0, 1.0)).encode(samples.gt_boxes, samples.boxes)
    return tf.boolean_mask(deltas, chosen), tf.boolean_mask(samples.gt_iou, chosen)


def deltas_table(stages: Sequence[StageDeltas]) -> str:
    """The means and deviations of each stage before and after the removal of outliers, as text."""
    titles = "".join(f"{axis + ' mean':>10}{axis + ' std':>9}" for axis in _AXES)
    lines = [f"{'stage':<7}{'IoU':>5}  {'outliers':<9}{'samples':>10}{titles}"]
    for number, stage in enumerate(stages, start=1):
        lines.append(f"{number:<7}{stage.iou:>5g}  {'with':<9}{_row(stage.all)}")
        lines.append(f"{f'{100 * stage.outliers:.2f} %':>12}  {'without':<9}{_row(stage.kept)}")
    return "\n".join(lines)


def _row(moments: Moments) -> str:
    values = zip(moments.mean, moments.std, strict=True)
    return f"{moments.count:>10}" + "".join(f"{mean:>10.4f}{std:>9.4f}" for mean, std in values)


def as_settings(stages: Sequence[StageDeltas]) -> tuple[str, str]:
    """The statistics without outliers as settings, ``means=...`` and ``stds=...`` of ``cascade``.

    Raises:
        ValueError: a stage has no hypotheses that are no outliers, or they are all alike.
    """
    for number, stage in enumerate(stages, start=1):
        if not np.all(stage.kept.std >= _LEAST_STD):
            raise ValueError(
                f"stage {number}: got {stage.kept.count} boxes with an IoU of {stage.iou:g} or more and the "
                f"deviations {stage.kept.std.round(6).tolist()}, expected boxes that differ; a detector that "
                "is trained finds some"
            )
    return f"means={_text(s.kept.mean for s in stages)}", f"stds={_text(s.kept.std for s in stages)}"


# The digits that settings are written with.
_LEAST_STD = 5e-5


def _text(rows: Iterable[np.ndarray]) -> str:
    return ",".join(f"[{','.join(f'{value:.4f}' for value in row)}]" for row in rows)
