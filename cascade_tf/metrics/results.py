"""The numbers of a COCO evaluation, and how they are shown, written and read.

Numbers are fractions in 0..1 inside and in JSON and CSV files; tables for people show them in percent, as
papers do. A number that is not defined (no such object in the ground truth) is NaN: ``null`` in JSON, an
empty cell in CSV, a dash in a table.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cascade_tf.files import write_atomically
from cascade_tf.metrics.tables import align, with_nan, without_nan, write_csv

IOU_THRESHOLDS: tuple[float, ...] = tuple(i / 100 for i in range(50, 100, 5))
"""The ten IoU thresholds that AP and AR are averaged over."""

SUMMARY_KEYS: tuple[str, ...] = (
    "AP", "AP50", "AP60", "AP70", "AP75", "AP80", "AP85", "AP90", "AP95", "APs", "APm", "APl",
    "AR1", "AR10", "AR100", "ARs", "ARm", "ARl",
)  # fmt: skip
"""Names in ``CocoResult.summary``, in the order in which they are shown."""

CLASS_KEYS: tuple[str, ...] = ("AP", "AP50", "AP75", "AP90", "AR100", "objects")
"""Names in each entry of ``CocoResult.per_class``."""

TABLE_KEYS: tuple[str, ...] = (*SUMMARY_KEYS[:12], "AR100")
"""Columns of the tables for people: the paper's, with AP85, AP95 and AR at 100 detections."""


MAX_CLASS_ROWS = 40
"""Most rows of a table of classes; of more classes the ten best and the ten worst are shown."""

_BEST_AND_WORST = 10


@dataclasses.dataclass(frozen=True)
class CocoResult:
    """Average precision and recall of one set of detections, by the COCO protocol.

    Attributes:
        summary: the numbers over all classes, keyed by ``SUMMARY_KEYS``. ``AP75`` is at IoU 0.75, ``AP`` the
            mean over IoU 0.50:0.05:0.95; s, m, l are objects of area below 32², 32² to 96², above 96² pixels;
            ``AR10`` allows 10 detections per image and class, ``AR1`` one, everything else 100.
        per_class: class name -> numbers keyed by ``CLASS_KEYS``; ``objects`` counts the ground truth, crowds
            aside.
        iou_curve: IoU threshold -> AP at that threshold, over all classes.
        mask: the same of the masks, where they were measured too; the numbers beside it are the boxes'.
        no_mask: why there are no numbers of the masks that were found; empty where there are, or no masks.
    """

    summary: dict[str, float]
    per_class: dict[str, dict[str, float]]
    iou_curve: dict[float, float]
    mask: CocoResult | None = None
    no_mask: str = ""

    def numbers(self) -> dict[str, float]:
        """Returns the numbers over all classes: the boxes' by their names, the masks' as ``mask_AP`` etc."""
        masks = self.mask.summary if self.mask else {}
        return {**self.summary, **{f"mask_{key}": value for key, value in masks.items()}}

    def to_table(self, csv_file: str | os.PathLike[str] | None = None) -> str:
        """Returns aligned text, in percent: the summary, then one row per class.

        Of more than ``MAX_CLASS_ROWS`` classes the best and the worst are shown.

        Args:
            csv_file: where ``to_csv`` has written all classes, to point to.
        """
        return f"{compare_table({'all classes': self})}\n\n{_class_table(self, csv_file)}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for ``json``: NaN becomes None, thresholds become text such as ``"0.75"``.

        ``mask`` is a block like the whole; it and ``no_mask`` are there only where they say something.
        """
        return {
            "summary": without_nan(self.summary),
            "per_class": {name: without_nan(numbers) for name, numbers in self.per_class.items()},
            "iou_curve": without_nan({f"{iou:.2f}": value for iou, value in self.iou_curve.items()}),
            **({"mask": self.mask.to_dict()} if self.mask else {}),
            **({"no_mask": self.no_mask} if self.no_mask else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CocoResult:
        """Inverse of ``to_dict``.

        Raises:
            ValueError: a part is missing.
        """
        try:
            return cls(
                summary=with_nan(values["summary"]),
                per_class={name: with_nan(numbers) for name, numbers in values["per_class"].items()},
                iou_curve={float(iou): value for iou, value in with_nan(values["iou_curve"]).items()},
                mask=cls.from_dict(values["mask"]) if values.get("mask") else None,
                no_mask=values.get("no_mask", ""),
            )
        except KeyError as error:
            raise ValueError(
                f"an evaluation needs summary, per_class and iou_curve; {error} is missing"
            ) from None

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_dict`` as JSON (the whole file or none) and returns the path."""
        return write_atomically(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    def to_csv(
        self, path: str | os.PathLike[str], further: Mapping[str, float] = MappingProxyType({})
    ) -> Path:
        """Writes one row for all classes and one per class (the whole file or none) and returns the path.

        Columns: ``class``, ``shape`` (``box``, and further down ``mask``), ``objects``, then
        ``SUMMARY_KEYS``; what is not measured per class is left empty.

        Args:
            path: file to write.
            further: numbers for columns of their own, in the row of all classes.
        """
        rows: list[tuple[str, str, Mapping[str, float]]] = []
        for shape, result in self._shapes():
            total = sum(numbers["objects"] for numbers in result.per_class.values())
            rows.append(("all", shape, {**result.summary, "objects": total}))
            rows += [(name, shape, numbers) for name, numbers in result.per_class.items()]
        name, shape, numbers = rows[0]
        rows[0] = (name, shape, {**numbers, **further})
        return write_csv(path, "class", ("objects", *SUMMARY_KEYS, *further), rows)

    def _shapes(self) -> list[tuple[str, CocoResult]]:
        return [("box", self), *([("mask", self.mask)] if self.mask else [])]


def compare_table(results: Mapping[str, CocoResult], keys: Sequence[str] = TABLE_KEYS) -> str:
    """Returns aligned text, in percent: one row per result (stages, models), one column per number.

    Where masks were measured, a second row for each such result follows below, and a line tells why a result
    has none.

    Args:
        results: row name -> result.
        keys: columns, of ``SUMMARY_KEYS``.
    """
    with_masks = any(result.mask for result in results.values())
    boxes = {f"{name}, boxes" if with_masks else name: result for name, result in results.items()}
    masks = {f"{name}, masks": result.mask for name, result in results.items() if result.mask}
    rows = [
        [name, *(_cell(key, result.summary[key]) for key in keys)] for name, result in (boxes | masks).items()
    ]
    # One reason holds for all rows, which share the ground truth.
    reasons = dict.fromkeys(result.no_mask for result in results.values() if result.no_mask)
    return "\n".join([align([["", *keys], *rows]), *(f"No AP of masks: {reason}." for reason in reasons)])


def compare_csv(
    path: str | os.PathLike[str],
    results: Mapping[str, CocoResult],
    further: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> Path:
    """Writes one CSV row per result, with all of ``SUMMARY_KEYS`` (the whole file or none).

    Columns: ``name``, ``shape`` (``box``, and further down ``mask``), then the numbers.

    Args:
        path: file to write.
        results: row name -> result.
        further: row name -> numbers for columns of their own, beside those of boxes.

    Returns:
        The path.
    """
    rows = [(name, "box", {**result.summary, **further.get(name, {})}) for name, result in results.items()]
    rows += [(name, "mask", result.mask.summary) for name, result in results.items() if result.mask]
    columns = dict.fromkeys(number for numbers in further.values() for number in numbers)
    return write_csv(path, "name", (*SUMMARY_KEYS, *columns), rows)


def _class_table(result: CocoResult, csv_file: str | os.PathLike[str] | None) -> str:
    """One row per class, of boxes and of masks: who finds one well may draw it badly."""
    of_masks = [key for key in CLASS_KEYS if key != "objects"] if result.mask else []
    rows = [["class", *CLASS_KEYS, *(f"mask {key}" for key in of_masks)]]
    for name, numbers in result.per_class.items():
        cells = [_cell(key, numbers[key]) for key in CLASS_KEYS]
        masks = result.mask.per_class[name] if result.mask else {}
        rows.append([name, *cells, *(_cell(key, masks[key]) for key in of_masks)])
    if len(result.per_class) <= MAX_CLASS_ROWS:
        return align(rows)
    return _best_and_worst(result, rows, csv_file)


def _best_and_worst(
    result: CocoResult, rows: Sequence[Sequence[str]], csv_file: str | os.PathLike[str] | None
) -> str:
    """The rows of some classes, and a line about the others."""
    row_of = {row[0]: row for row in rows[1:]}
    ranked = [name for name, numbers in result.per_class.items() if not math.isnan(numbers["AP"])]
    ranked.sort(key=lambda name: -result.per_class[name]["AP"])
    shown, about = [row_of[name] for name in ranked], f"the {len(ranked)} with objects"
    if len(ranked) > MAX_CLASS_ROWS:
        gap = [["...", *[""] * (len(rows[0]) - 1)]]
        shown = shown[:_BEST_AND_WORST] + gap + shown[-_BEST_AND_WORST:]
        about = f"the {_BEST_AND_WORST} best and the {_BEST_AND_WORST} worst by AP of boxes"
    where = csv_file or "the file of to_csv"
    return f"{align([rows[0], *shown])}\nOf {len(row_of)} classes {about}; all are in {where}."


def _cell(key: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if key == "objects" else f"{100 * value:.1f}"
