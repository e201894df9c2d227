"""The page: headline numbers, tables, charts, pictures, settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.metrics.error_results import ErrorResult
from cascade_tf.metrics.measurement import Measurement
from cascade_tf.metrics.results import CocoResult
from cascade_tf.report.benchmark import benchmark_chart, benchmark_section, benchmark_tile
from cascade_tf.report.elements import definitions, dotted, duration, gallery
from cascade_tf.report.errors import (
    confusion_section,
    curve_section,
    error_picture_section,
    error_section,
)
from cascade_tf.report.evaluation import class_section, headline, precision_section
from cascade_tf.report.frame import document
from cascade_tf.report.history import History
from cascade_tf.report.training import training_section


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: str = "",
    settings: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    results: Mapping[str, CocoResult | Measurement] | None = None,
    errors: ErrorResult | None = None,
    error_pictures: Sequence[tuple[str, np.ndarray]] = (),
    pictures: Sequence[tuple[str, np.ndarray]] = (),
    timings: Mapping[str, float | str] | None = None,
    files: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a run as one HTML page that needs no other file and no network.

    Parts that are not given are left out.

    Args:
        path: file to write.
        title: heading of the page.
        summary: a sentence or two under it.
        settings: the run's settings; nested mappings and sequences are shown as dotted names.
        history: the lines of ``metrics.jsonl``: ``step``, losses and per-stage numbers, flat or nested.
        results: row name -> evaluation, in order, such as the stages of a cascade; the last row is the
            headline, and gains are counted from the first. A `Measurement` has the numbers of the data set's
            own benchmark beside COCO's.
        errors: what is wrong with the last result's detections.
        error_pictures: (caption, [H, W, 3] uint8 image) of the worst of them.
        pictures: likewise, of anything else.
        timings: what took how long: seconds, or text.
        files: what lies where.

    Returns:
        The path.

    Raises:
        ValueError: a picture is not uint8 [H, W, 3].
    """
    measured = {
        name: one if isinstance(one, Measurement) else Measurement(one)
        for name, one in (results or {}).items()
    }
    of_coco = {name: one.coco for name, one in measured.items()}
    benchmarks = {name: one.benchmark for name, one in measured.items() if one.benchmark}
    log = History(history)
    sections = [
        headline(of_coco, log.last_step(), benchmark_tile(benchmarks)),
        benchmark_section(benchmarks),
        precision_section(of_coco),
        _picture_section(pictures),
        class_section(of_coco),
        *_error_sections(errors, error_pictures),
        training_section(log, benchmark_chart(benchmarks, log)),
        _run_section(settings or {}, timings or {}, files or {}),
    ]
    return write_atomically(path, document(title, summary, sections))


def _error_sections(errors: ErrorResult | None, pictures: Sequence[tuple[str, np.ndarray]]) -> list[str]:
    if errors is None:
        return []
    return [
        error_section(errors),
        error_picture_section(errors, pictures),
        confusion_section(errors),
        curve_section(errors),
    ]


def _picture_section(pictures: Sequence[tuple[str, np.ndarray]]) -> str:
    if not pictures:
        return ""
    return f"<section><h2>Pictures</h2>{gallery(pictures)}</section>"


def _run_section(
    settings: Mapping[str, Any], timings: Mapping[str, float | str], files: Mapping[str, Any]
) -> str:
    parts = []
    if timings:
        rows = [(name, duration(value)) for name, value in timings.items()]
        parts.append(f'<div class="card"><h3>Time</h3><br>{definitions(rows)}</div>')
    if files:
        rows = [(name, str(value)) for name, value in files.items()]
        parts.append(f'<div class="card"><h3>Files</h3><br>{definitions(rows)}</div>')
    section = f'<section><h2>This run</h2><div class="pair">{"".join(parts)}</div>' if parts else "<section>"
    if settings:
        table = definitions(dotted(settings), kind="mono")
        section += f'<br><details class="card"><summary>Settings</summary>{table}</details>'
    return section + "</section>" if parts or settings else ""
