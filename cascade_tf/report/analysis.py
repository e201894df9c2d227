"""The figures about a detector's stages, as charts and as CSV, and the page that holds them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.metrics.binned import binned_means, shares_above
from cascade_tf.report.bars import Layer, bar_chart
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.cloud import cloud_chart
from cascade_tf.report.frame import document
from cascade_tf.report.side_by_side import Scene, side_by_side

_IOU_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9)
_SHARES = (0.5, 0.6, 0.7)
# Wide enough for a smooth curve of a few hundred boxes.
_CURVE_EDGES = np.linspace(0.5, 1.0, 21)
_BAR_EDGES = np.linspace(0.0, 1.0, 11)
_REACH = 0.6


class Figure(NamedTuple):
    """One figure.

    Attributes:
        name: of the CSV file.
        drawing: an HTML ``figure``; empty where there was nothing to draw.
        columns: of the CSV file.
        rows: of the CSV file.
    """

    name: str
    drawing: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def write_csv(self, folder: Path) -> Path:
        """Writes the numbers (the whole file or none) and returns the path."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return write_atomically(folder / f"{self.name}.csv", text.getvalue())


def write_analysis(path: str | os.PathLike[str], name: str, figures: Sequence[Figure]) -> Path:
    """Writes the page (the whole file or none) and returns its path.

    Args:
        path: of the file.
        name: of the experiment.
        figures: in the order of the page.
    """
    drawings = "".join(figure.drawing for figure in figures)
    summary = "Each figure's numbers are in the CSV file of its name beside this page."
    sections = [f'<section><div class="pair">{drawings}</div></section>']
    return write_atomically(path, document(f"Stages of {name}", summary, sections))


def localization_figures(stages: Sequence[Any], num_stages: int) -> list[Figure]:
    """IoU that goes out over IoU that comes in, stage by stage and from the proposals on.

    Args:
        stages: of ``boxes_at_test``.
        num_stages: how many of them are stages; the others are iterations of the last one.
    """
    own = {
        f"regressor {number}": (stage.before, stage.after)
        for number, stage in enumerate(stages[:num_stages], start=1)
    }
    along = {f"after {number}": (stage.start, stage.reached) for number, stage in enumerate(stages, start=1)}
    return [
        _curves(
            "localization",
            "IoU after regression",
            own,
            x_label="IoU of the box that comes in",
            y_label="IoU of the box that goes out",
            note="Each stage on the boxes that it gets. Dotted: the box stays as it is.",
            diagonal=True,
        ),
        _curves(
            "localization_along",
            "IoU after each stage or iteration",
            along,
            x_label="IoU of the proposal",
            y_label="IoU reached",
            note="With the object of the proposal that a box comes from.",
            diagonal=True,
        ),
    ]


def classification_figure(stages: Sequence[Any]) -> Figure:
    """The classifiers' cross-entropy over the IoU of the boxes that they get."""
    pairs = {f"classifier {n}": (stage.before, stage.loss) for n, stage in enumerate(stages, start=1)}
    return _curves(
        "classification",
        "Classification loss",
        pairs,
        x_label="IoU of the box that comes in",
        y_label="cross-entropy with the object's class",
        note="Each stage on the boxes that it gets.",
    )


def precision_figure(name: str, title: str, curves: Mapping[str, Mapping[float, float]]) -> Figure:
    """AP over the IoU threshold.

    Args:
        name: of the CSV file.
        title: of the chart.
        curves: line -> IoU threshold -> AP as a fraction.
    """
    lines = [
        Series(line, list(curve), [100 * value for value in curve.values()], color, markers=True)
        for color, (line, curve) in enumerate(curves.items())
    ]
    chart = line_chart(title, lines, x_label="IoU threshold", y_label="AP, %", digits=1, x_ticks=_IOU_TICKS)
    rows = [(line, iou, value) for line, curve in curves.items() for iou, value in curve.items()]
    return Figure(name, chart, ("line", "iou", "ap"), rows)


def overlap_figures(
    name: str, when: str, overlaps: Sequence[np.ndarray], thresholds: Sequence[float]
) -> list[Figure]:
    """A histogram of IoU for each stage, with the share of boxes above the thresholds .5, .6 and .7.

    Args:
        name: of the CSV files, with the stage's number behind it.
        when: ``"Training"`` or ``"Test"``.
        overlaps: [n] of each stage.
        thresholds: u of each stage.
    """
    figures = []
    for number, (found, u) in enumerate(zip(overlaps, thresholds, strict=True), start=1):
        counts, _ = np.histogram(found, _BAR_EDGES)
        shares = counts / max(len(found), 1)
        above = shares_above(found, (*_SHARES, u))
        listed = ", ".join(
            f"{100 * share:.1f} % ≥ {iou:g}" for iou, share in zip(_SHARES, above, strict=False)
        )
        chart = bar_chart(
            f"{when}, stage {number}: IoU of its boxes",
            [f"{edge:.1f}" for edge in _BAR_EDGES[:-1]],
            [Layer("share", (100 * shares).tolist(), color=number - 1)],
            x_label="IoU from",
            y_label="boxes, %",
            note=f"{len(found):,} boxes: {listed}. The stage's own u is {u:g}: {100 * above[-1]:.1f} %.",
        )
        bins = zip(_BAR_EDGES[:-1], _BAR_EDGES[1:], counts, shares, strict=True)
        rows: list[tuple[Any, ...]] = [(low, high, int(count), share) for low, high, count, share in bins]
        rows += [
            (iou, 1.0, round(share * len(found)), share)
            for iou, share in zip((*_SHARES, u), above, strict=True)
        ]
        figures.append(Figure(f"{name}_{number}", chart, ("from", "to", "boxes", "share"), rows))
    return figures


def offset_figures(
    batches: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], thresholds: Sequence[float]
) -> list[Figure]:
    """Offsets (dx, dy) and (dw, dh) of each stage's hypotheses, outliers in a colour of their own.

    Args:
        batches: of ``stage_deltas``.
        thresholds: u of each stage; hypotheses below are outliers.
    """
    figures = []
    for number, (parts, u) in enumerate(zip(zip(*batches, strict=True), thresholds, strict=True), start=1):
        deltas = np.concatenate([deltas for deltas, _ in parts])
        kept = np.concatenate([overlaps for _, overlaps in parts]) >= np.float32(u)
        for axes, columns in (("dx, dy", slice(0, 2)), ("dw, dh", slice(2, 4))):
            first, second = axes.split(", ")
            points = deltas[:, columns]
            clouds = [(f"IoU {u:g} or more", points[kept], number - 1), ("outliers", points[~kept], 5)]
            chart = cloud_chart(
                f"Stage {number}: {axes}",
                clouds,
                x_label=first,
                y_label=second,
                reach=_REACH,
                note=f"{_moments(points)}; without outliers {_moments(points[kept])}.",
            )
            rows = [
                (what, axis, len(chosen), _mean(chosen, column), _std(chosen, column))
                for what, chosen in (("all", points), ("without outliers", points[kept]))
                for column, axis in enumerate((first, second))
            ]
            name = f"offsets_{number}_{first}_{second}"
            figures.append(Figure(name, chart, ("hypotheses", "offset", "count", "mean", "std"), rows))
    return figures


def detections_figure(scenes: Sequence[Scene]) -> Figure:
    """Pictures with their objects and the boxes of detectors, and the IoU at each box (Fig. 1).

    Args:
        scenes: one or more, all with the same detectors.
    """
    drawing, rows = side_by_side(scenes)
    columns = ("picture", "detector", "class", "score", "x1", "y1", "x2", "y2", "iou")
    return Figure("detections", drawing, columns, rows)


def _curves(
    name: str,
    title: str,
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    x_label: str,
    y_label: str,
    note: str,
    diagonal: bool = False,
) -> Figure:
    lines, rows = [], []
    for color, (line, (x, y)) in enumerate(pairs.items()):
        curve = binned_means(x, y, _CURVE_EDGES)
        lines.append(Series(line, curve.centers.tolist(), curve.means.tolist(), color))
        rows += [(line, *values) for values in zip(*curve, strict=True)]
    if diagonal:
        ends = [float(_CURVE_EDGES[0]), float(_CURVE_EDGES[-1])]
        lines.append(Series("as it comes in", ends, ends, len(pairs), dashed=True))
    chart = line_chart(
        title, lines, x_label=x_label, y_label=y_label, from_zero=not diagonal, x_ticks=_IOU_TICKS, note=note
    )
    return Figure(name, chart, ("line", "from_iou", "mean", "boxes"), rows)


def _moments(points: np.ndarray) -> str:
    means = ", ".join(f"{_mean(points, column):.3f}" for column in (0, 1))
    stds = ", ".join(f"{_std(points, column):.3f}" for column in (0, 1))
    return f"mean {means} and deviation {stds}"


def _mean(points: np.ndarray, column: int) -> float:
    return float(points[:, column].mean(dtype=np.float64)) if len(points) else math.nan


def _std(points: np.ndarray, column: int) -> float:
    return float(points[:, column].std(dtype=np.float64)) if len(points) else math.nan


def _cell(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
