"""The figures about a detector's stages, as charts and as CSV, and the page that holds them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.metrics.binned import binned_means, shares_above
from cascade_tf.report.bars import Layer, bar_chart
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.cloud import cloud_chart, thinned
from cascade_tf.report.frame import document
from cascade_tf.report.side_by_side import Scene, side_by_side

_T = TypeVar("_T")

_IOU_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9)
_ALL_TICKS = (0.0, 0.1, 0.2, 0.3, 0.4, *_IOU_TICKS)
_SHARES = (0.5, 0.6, 0.7)
# Wide enough for a smooth curve of a few hundred boxes.
_CURVE_EDGES = np.linspace(0.5, 1.0, 21)
# The loss has its peak near u, which is seen from both sides.
_LOSS_EDGES = np.linspace(0.0, 1.0, 41)
_BAR_EDGES = np.linspace(0.0, 1.0, 11)
_REACH = 0.6
# Of each stage, in the CSV files. A data set of many images would fill gigabytes.
_MOST_OFFSETS = 20_000
_COLORS = 6


class Table(NamedTuple):
    """Numbers of a figure.

    Attributes:
        name: of the CSV file.
        columns: their names.
        rows: a value for each column.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def write_csv(self, folder: Path) -> Path:
        """Writes the numbers (the whole file or none) and returns the path."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return write_atomically(folder / f"{self.name}.csv", text.getvalue())


class Figure(NamedTuple):
    """One figure.

    Attributes:
        drawing: an HTML ``figure``; empty where there was nothing to draw.
        tables: what it is drawn from.
    """

    drawing: str
    tables: tuple[Table, ...]


class RunBoxes(NamedTuple):
    """The boxes of one run.

    Attributes:
        outputs: of ``boxes_at_test``.
        num_stages: how many of them are stages; the others are iterations of the last one.
    """

    outputs: Sequence[Any]
    num_stages: int


def lines_of(runs: Mapping[str, Mapping[str, _T]]) -> dict[str, _T]:
    """The lines of several runs in one chart, by their own names; of several runs behind the run's.

    >>> lines_of({"a": {"stage 1": 0}})
    {'stage 1': 0}
    >>> lines_of({"a": {"stage 1": 0}, "b": {"stage 1": 1}})
    {'a: stage 1': 0, 'b: stage 1': 1}
    """
    if len(runs) == 1:
        return {name: line for lines in runs.values() for name, line in lines.items()}
    return {f"{run}: {name}": line for run, lines in runs.items() for name, line in lines.items()}


def write_analysis(path: str | os.PathLike[str], name: str, figures: Sequence[Figure]) -> Path:
    """Writes the page (the whole file or none) and returns its path.

    Args:
        path: of the file.
        name: of the experiment.
        figures: in the order of the page.
    """
    drawings = "".join(figure.drawing for figure in figures)
    summary = "Each figure's numbers are in CSV files beside this page."
    sections = [f'<section><div class="pair">{drawings}</div></section>']
    return write_atomically(path, document(f"Stages of {name}", summary, sections))


def localization_figures(runs: Mapping[str, RunBoxes]) -> list[Figure]:
    """IoU that goes out over IoU that comes in, stage by stage and from the proposals on.

    Args:
        runs: by their names.
    """
    own = {
        run: {
            f"regressor {number}": (stage.before, stage.after)
            for number, stage in enumerate(found.outputs[: found.num_stages], start=1)
        }
        for run, found in runs.items()
    }
    along = {
        run: {
            f"after {number}": (stage.start, stage.reached)
            for number, stage in enumerate(found.outputs, start=1)
        }
        for run, found in runs.items()
    }
    return [
        _curves(
            "localization",
            "IoU after regression",
            lines_of(own),
            x_label="IoU of the box that comes in",
            y_label="IoU of the box that goes out",
            note="Each stage on the boxes that it gets. Dotted: the box stays as it is.",
            diagonal=True,
        ),
        _curves(
            "localization_along",
            "IoU after each stage or iteration",
            lines_of(along),
            x_label="IoU of the proposal",
            y_label="IoU reached",
            note="With the object of the proposal that a box comes from.",
            diagonal=True,
        ),
    ]


def classification_figure(runs: Mapping[str, RunBoxes]) -> Figure:
    """The classifiers' cross-entropy over the IoU of the boxes that they get.

    Args:
        runs: by their names.
    """
    pairs = {
        run: {f"classifier {n}": (stage.before, stage.loss) for n, stage in enumerate(found.outputs, start=1)}
        for run, found in runs.items()
    }
    return _curves(
        "classification",
        "Classification loss",
        lines_of(pairs),
        x_label="IoU of the box that comes in",
        y_label="cross-entropy",
        note="Each stage on the boxes that it gets, which are objects from its own u on.",
        edges=_LOSS_EDGES,
        x_ticks=_ALL_TICKS,
    )


def precision_figure(name: str, title: str, curves: Mapping[str, Mapping[float, float]]) -> Figure:
    """AP over the IoU threshold.

    Args:
        name: of the CSV file.
        title: of the chart.
        curves: line -> IoU threshold -> AP as a fraction.
    """
    lines = [
        _series(line, list(curve), [100 * value for value in curve.values()], color, markers=True)
        for color, (line, curve) in enumerate(curves.items())
    ]
    chart = line_chart(title, lines, x_label="IoU threshold", y_label="AP, %", digits=1, x_ticks=_IOU_TICKS)
    rows = [(line, iou, value) for line, curve in curves.items() for iou, value in curve.items()]
    return Figure(chart, (Table(name, ("line", "iou", "ap"), rows),))


def overlap_figures(
    name: str, when: str, overlaps: Sequence[np.ndarray], thresholds: Sequence[float]
) -> list[Figure]:
    """A histogram of IoU for each stage, with the share of boxes above the thresholds .5, .6, .7 and u.

    Args:
        name: of the CSV files, with the stage's number behind it; those of the shares end in ``_shares``.
        when: ``"Training"`` or ``"Test"``.
        overlaps: [n] of each stage.
        thresholds: u of each stage.
    """
    figures = []
    for number, (found, u) in enumerate(zip(overlaps, thresholds, strict=True), start=1):
        counts, _ = np.histogram(found, _BAR_EDGES)
        shares = counts / max(len(found), 1)
        above = dict(zip((*_SHARES, u), shares_above(found, (*_SHARES, u)), strict=True))
        listed = ", ".join(f"{100 * above[iou]:.1f} % ≥ {iou:g}" for iou in _SHARES)
        chart = bar_chart(
            f"{when}, stage {number}: IoU of its boxes",
            [f"{edge:.1f}" for edge in _BAR_EDGES[:-1]],
            [Layer("share", (100 * shares).tolist(), color=number - 1)],
            x_label="IoU from",
            y_label="boxes, %",
            note=f"{len(found):,} boxes: {listed}. The stage's own u is {u:g}: {100 * above[u]:.1f} %.",
        )
        bins = list(zip(_BAR_EDGES[:-1], _BAR_EDGES[1:], counts.tolist(), shares, strict=True))
        rows = [(iou, round(share * len(found)), share) for iou, share in sorted(above.items())]
        tables = (
            Table(f"{name}_{number}", ("from", "to", "boxes", "share"), bins),
            Table(f"{name}_{number}_shares", ("iou", "boxes", "share"), rows),
        )
        figures.append(Figure(chart, tables))
    return figures


def offset_figures(
    batches: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], thresholds: Sequence[float]
) -> list[Figure]:
    """Offsets (dx, dy) and (dw, dh) of each stage's hypotheses, outliers in a colour of their own.

    Args:
        batches: of ``stage_deltas``.
        thresholds: u of each stage; hypotheses below are outliers.

    Returns:
        Two for each stage. Moments are of all hypotheses; of many, some are points, spread evenly over them.
    """
    figures = []
    for number, (parts, u) in enumerate(zip(zip(*batches, strict=True), thresholds, strict=True), start=1):
        deltas = np.concatenate([deltas for deltas, _ in parts])
        overlaps = np.concatenate([overlaps for _, overlaps in parts])
        kept = overlaps >= np.float32(u)
        some = thinned(np.arange(len(deltas)), _MOST_OFFSETS)
        for axes, columns in (("dx, dy", slice(0, 2)), ("dw, dh", slice(2, 4))):
            first, second = axes.split(", ")
            points = deltas[:, columns]
            shown, inside = points[some], kept[some]
            clouds = [(f"IoU {u:g} or more", shown[inside], number - 1), ("outliers", shown[~inside], 5)]
            chart = cloud_chart(
                f"Stage {number}: {axes}",
                clouds,
                x_label=first,
                y_label=second,
                reach=_REACH,
                note=f"{_moments(points)}; without outliers {_moments(points[kept])}.",
            )
            moments = [
                (what, axis, len(chosen), _mean(chosen, column), _std(chosen, column))
                for what, chosen in (("all", points), ("without outliers", points[kept]))
                for column, axis in enumerate((first, second))
            ]
            rows = [
                (*point, iou, int(not is_kept))
                for point, iou, is_kept in zip(shown, overlaps[some], inside, strict=True)
            ]
            name = f"offsets_{number}_{first}_{second}"
            tables = (
                Table(name, ("hypotheses", "offset", "count", "mean", "std"), moments),
                Table(f"{name}_points", (first, second, "iou", "outlier"), rows),
            )
            figures.append(Figure(chart, tables))
    return figures


def detections_figure(scenes: Sequence[Scene]) -> Figure:
    """Pictures with their objects and the boxes of detectors, and the IoU at each box (Fig. 1).

    Args:
        scenes: one or more, all with the same detectors.
    """
    drawing, rows = side_by_side(scenes)
    columns = ("picture", "detector", "class", "score", "x1", "y1", "x2", "y2", "iou")
    return Figure(drawing, (Table("detections", columns, rows),))


def _curves(
    name: str,
    title: str,
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    x_label: str,
    y_label: str,
    note: str,
    diagonal: bool = False,
    edges: np.ndarray = _CURVE_EDGES,
    x_ticks: Sequence[float] = _IOU_TICKS,
) -> Figure:
    lines, rows = [], []
    for color, (line, (x, y)) in enumerate(pairs.items()):
        curve = binned_means(x, y, edges)
        lines.append(_series(line, curve.centers.tolist(), curve.means.tolist(), color))
        rows += [(line, *values) for values in zip(*curve, strict=True)]
    if diagonal:
        ends = [float(edges[0]), float(edges[-1])]
        lines.append(Series("as it comes in", ends, ends, len(pairs), dashed=True))
    chart = line_chart(
        title, lines, x_label=x_label, y_label=y_label, from_zero=not diagonal, x_ticks=x_ticks, note=note
    )
    return Figure(chart, (Table(name, ("line", "iou", "mean", "boxes"), rows),))


def _series(name: str, x: list[float], y: list[float], number: int, *, markers: bool = False) -> Series:
    """A line in a colour of its own, or dotted where there are more lines than colours."""
    return Series(name, x, y, number % _COLORS, dashed=number >= _COLORS, markers=markers)


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
