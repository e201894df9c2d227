"""The result of an analysis of errors, and how it is shown and written.

Numbers are fractions in 0..1 inside and in JSON files; tables for people show them in percent.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.metrics.error_costs import KINDS, REPAIRS
from cascade_tf.metrics.error_kinds import BACKGROUND, FOREGROUND
from cascade_tf.metrics.tables import align
from cascade_tf.metrics.worst_images import JudgedImage

CURVES = (0.5, 0.75, 0.9)
"""The IoU thresholds of the curves of precision over recall."""


@dataclasses.dataclass(frozen=True)
class ErrorResult:
    """What is wrong with one set of detections in images with objects of K classes.

    Attributes:
        classes: their names.
        objects: [K] how many objects of each count.
        score_threshold: the least score of detections in ``seen``, ``confusion`` and ``images``.
        average_precisions: AP [K] at the foreground IoU, by what is mended; under ``""`` as it is. NaN for
            classes without objects.
        counts: how many errors [K] of each kind there are in all detections, by the class of the detection or
            missed object.
        seen: likewise, in the detections that score enough.
        confusion: [K + 1, K + 1], objects by detections, background last.
        curves: IoU -> precision [101, K] at recalls of 0, 0.01, ..., 1; NaN for classes without objects.
        images: those with the worst errors, the worst first.
        mask: the same of the masks, where they were looked at too.
    """

    classes: tuple[str, ...]
    objects: np.ndarray
    score_threshold: float
    average_precisions: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]
    seen: Mapping[str, np.ndarray]
    confusion: np.ndarray
    curves: Mapping[float, np.ndarray]
    images: tuple[JudgedImage, ...] = ()
    mask: ErrorResult | None = None

    @property
    def average_precision(self) -> float:
        """AP at the foreground IoU over all classes, COCO's AP50; NaN where there are no objects."""
        return mean_of_classes(self.average_precisions[""])

    def class_costs(self) -> dict[str, np.ndarray]:
        """AP [K] that each of ``REPAIRS`` would gain for each class; NaN for classes without objects."""
        before = self.average_precisions[""]
        return {repair: self.average_precisions[repair] - before for repair in REPAIRS}

    def costs(self) -> dict[str, float]:
        """AP that each of ``REPAIRS`` would gain, over all classes; NaN where there are no objects."""
        return {repair: mean_of_classes(gain) for repair, gain in self.class_costs().items()}

    def to_table(self) -> str:
        """Returns aligned text: a row for each kind of error, what it costs in percent, and how often."""
        least = f"at score >= {self.score_threshold:g}"
        shapes = [("", self)] if self.mask is None else [("boxes: ", self), ("masks: ", self.mask)]
        rows = [["error", "AP50 that it costs", "errors", least]]
        for shape, result in shapes:
            costs = result.costs()
            for kind in KINDS:
                counts = (int(result.counts[kind].sum()), int(result.seen[kind].sum()))
                rows.append([shape + kind, _percent(costs[kind]), *map(str, counts)])
            rows += [[shape + f"all {side}", _percent(costs[side]), "", ""] for side in REPAIRS[len(KINDS) :]]
        return align(rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for ``json``; NaN becomes None."""
        costs, class_costs = self.costs(), self.class_costs()
        kinds = {
            kind: {
                "cost": _plain(costs[kind]),
                "errors": int(self.counts[kind].sum()),
                "seen": int(self.seen[kind].sum()),
            }
            for kind in KINDS
        }
        per_class = {
            name: {
                "AP": _plain(self.average_precisions[""][k]),
                "objects": int(self.objects[k]),
                "costs": {repair: _plain(class_costs[repair][k]) for repair in REPAIRS},
                "errors": {kind: int(self.counts[kind][k]) for kind in KINDS},
                "seen": {kind: int(self.seen[kind][k]) for kind in KINDS},
            }
            for k, name in enumerate(self.classes)
        }
        curves = {
            f"{iou:.2f}": {name: [_plain(p) for p in precision[:, k]] for k, name in enumerate(self.classes)}
            for iou, precision in self.curves.items()
        }
        images = [
            {"image_id": image.image_id, "weight": image.weight, "errors": image.errors()}
            for image in self.images
        ]
        return {
            "foreground_iou": FOREGROUND,
            "background_iou": BACKGROUND,
            "score_threshold": self.score_threshold,
            "AP": _plain(self.average_precision),
            "kinds": kinds,
            **{side.replace(" ", "_"): {"cost": _plain(costs[side])} for side in REPAIRS[len(KINDS) :]},
            "per_class": per_class,
            "confusion": {"classes": [*self.classes, "background"], "counts": self.confusion.tolist()},
            "precision_at_recall": curves,
            "worst_images": images,
            **({"mask": self.mask.to_dict()} if self.mask else {}),
        }

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_dict`` as JSON (the whole file or none) and returns the path."""
        return write_atomically(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")

    def confusion_csv(self, path: str | os.PathLike[str]) -> Path:
        """Writes the confusion matrix with its names (the whole file or none) and returns the path.

        Rows are objects, columns detections; the last column counts missed objects, the last row false
        detections.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["object", *self.classes, "missed"])
        for name, row in zip([*self.classes, "background"], self.confusion.tolist(), strict=True):
            writer.writerow([name, *row])
        return write_atomically(path, text.getvalue())


def mean_of_classes(values: np.ndarray) -> float:
    """Mean of the values [K] of classes with objects, of which there may be none."""
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else math.nan


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
