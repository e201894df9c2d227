"""The page about a data set: counts, warnings, pictures, sizes of boxes beside anchors, classes."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.report.bars import Layer, bar_chart
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.elements import gallery, percent, table
from cascade_tf.report.frame import document
from cascade_tf.report.size_chart import HEIGHT, Cloud, size_chart

_CSS = """
.anchor{fill:none;stroke:var(--c);stroke-width:2}
.lines{margin:0;padding-left:20px;font-size:14.5px;overflow-wrap:anywhere}
.lines li{margin:4px 0}
.bad{border-color:var(--down)}
h3.group{margin:22px 0 10px}
"""
_FEW, _MANY = 12, 200
_OPEN_CLASSES = 25
_GOOD, _ENOUGH = 0.7, 0.5
_IOUS = np.linspace(0, 1, 51)
_OBJECT_BINS = (0, 1, 2, 3, 5, 9, 17, 33, 65, 129)
_SHOWN_SIZES = 12


class SplitFigures(NamedTuple):
    """A split.

    Attributes:
        name: of the split.
        facts: texts by their names, which are the same for all splits.
        images: how many.
        objects: how many, neither regions nor ignored.
        counts: [m] objects of each image.
        classes: (name, objects, images) of each class.
        image_sizes: [m, 2] (height, width).
        sides: [n, 2] width and height of the boxes at the network's scale, or in their own pixels.
        best: [n] IoU of each box with its best anchor; None: there are no anchors.
    """

    name: str
    facts: Mapping[str, str]
    images: int
    objects: int
    counts: np.ndarray
    classes: Sequence[tuple[str, int, int]]
    image_sizes: np.ndarray
    sides: np.ndarray
    best: np.ndarray | None


def write_data_page(
    path: str | os.PathLike[str],
    *,
    title: str,
    splits: Sequence[SplitFigures],
    anchors: np.ndarray,
    scale: str,
    remarks: Mapping[str, Sequence[str]],
    pictures: Mapping[str, Sequence[tuple[str, np.ndarray]]],
) -> Path:
    """Writes a page about a data set that needs no other file and no network.

    Args:
        path: file to write.
        title: heading of the page.
        splits: at least one.
        anchors: [A, 2] width and height; may be empty.
        scale: says in which pixels the sides of boxes and anchors are.
        remarks: lines by their headings, the worst first; empty ones are left out.
        pictures: (caption, [H, W, 3] uint8 image) by headings.

    Returns:
        The path.

    Raises:
        ValueError: a picture is not uint8 [H, W, 3].
    """
    sections = [
        _tiles(splits),
        _remark_section(remarks),
        _figure_section(splits),
        _picture_section(pictures),
        _size_section(splits, anchors, scale),
        _class_section(splits),
        _image_section(splits),
    ]
    names = ", ".join(split.name for split in splits)
    summary = f"What is in {names}, before anything is learnt from it."
    return write_atomically(path, document(title, summary, sections, css=_CSS))


def _tiles(splits: Sequence[SplitFigures]) -> str:
    tiles = [(f"{split.name}", f"{split.images:,}", f"images, {split.objects:,} objects") for split in splits]
    names = {name for split in splits for name, objects, _ in split.classes if objects}
    tiles.append(("classes", f"{len(names):,}", "with objects"))
    best = [split.best for split in splits if split.best is not None]
    joined = np.concatenate(best) if best else np.zeros(0)
    if len(joined):
        for iou in (_ENOUGH, _GOOD):
            share = f"{percent(float(np.mean(joined >= iou)))} %"
            tiles.append(("boxes with an anchor", share, f"of IoU {iou:g} or more"))
    return '<div class="tiles">' + "".join(map(_tile, tiles)) + "</div>"


def _tile(texts: tuple[str, str, str]) -> str:
    above, number, below = map(html.escape, texts)
    return f'<div class="card tile"><span>{above}</span><b>{number}</b><small>{below}</small></div>'


def _remark_section(remarks: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for number, (title, lines) in enumerate(remarks.items()):
        if lines:
            kind = "card bad" if number == 0 else "card"
            parts.append(
                f'<section><h2>{html.escape(title)}</h2><div class="{kind}">{_list(lines)}</div></section>'
            )
    return "".join(parts)


def _list(lines: Sequence[str]) -> str:
    def items(some: Sequence[str]) -> str:
        return '<ul class="lines">' + "".join(f"<li>{html.escape(line)}</li>" for line in some) + "</ul>"

    if len(lines) <= _FEW:
        return items(lines)
    rest = [*lines[_FEW:_MANY], *([f"{len(lines) - _MANY:,} more"] if len(lines) > _MANY else [])]
    return (
        f"{items(lines[:_FEW])}<details><summary>{len(lines) - _FEW:,} more</summary>{items(rest)}</details>"
    )


def _figure_section(splits: Sequence[SplitFigures]) -> str:
    rows = [_row(name, [split.facts[name] for split in splits]) for name in splits[0].facts]
    note = (
        "Five numbers are the least, 10, 50 and 90 percent, and the most; sizes in the pictures' own pixels."
    )
    body = table(["", *(split.name for split in splits)], rows)
    return f'<section><h2>Figures</h2>{body}<p class="foot">{note}</p></section>'


def _row(name: str, cells: Sequence[str]) -> str:
    texts = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{html.escape(name)}</th>{texts}</tr>'


def _picture_section(pictures: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> str:
    groups = "".join(
        f'<h3 class="group">{html.escape(title)}</h3>{gallery(some)}'
        for title, some in pictures.items()
        if some
    )
    return f"<section><h2>Pictures</h2>{groups}</section>" if groups else ""


def _size_section(splits: Sequence[SplitFigures], anchors: np.ndarray, scale: str) -> str:
    clouds = [Cloud(split.name, split.sides, color) for color, split in enumerate(splits) if len(split.sides)]
    charts = [
        size_chart("Width and height", clouds, anchors, note=f"{scale} Of many boxes some are shown."),
        _fit_chart(splits),
        _share_chart(splits),
        _count_chart(splits),
    ]
    drawn = "".join(charts)
    return f'<section><h2>Boxes</h2><div class="pair">{drawn}</div></section>' if drawn else ""


def _fit_chart(splits: Sequence[SplitFigures]) -> str:
    """Boxes by size, and how well the anchors fit those of each size."""
    sides = np.concatenate([split.sides for split in splits])
    if not len(sides):
        return ""
    powers = np.floor(np.log2(np.sqrt(sides.prod(axis=1)))).astype(int)
    bins = range(int(powers.min()), int(powers.max()) + 1)
    labels = [f"{2.0**power:g}" for power in bins]

    def histogram(chosen: np.ndarray) -> list[float]:
        return [int((powers[chosen] == power).sum()) for power in bins]

    best = [split.best for split in splits if split.best is not None]
    if len(best) < len(splits):
        layers = [Layer("boxes", histogram(np.ones(len(sides), bool)))]
        return bar_chart(
            "Boxes by size", labels, layers, x_label="√area from, pixels", y_label="boxes", height=HEIGHT
        )
    fit = np.concatenate(best)
    layers = [
        Layer(f"anchor of IoU ≥ {_GOOD:g}", histogram(fit >= _GOOD), 2),
        Layer(f"{_ENOUGH:g} to {_GOOD:g}", histogram((fit >= _ENOUGH) & (fit < _GOOD)), 4),
        Layer(f"below {_ENOUGH:g}", histogram(fit < _ENOUGH), 1),
    ]
    return bar_chart(
        "Boxes by size, and how well an anchor fits",
        labels,
        layers,
        x_label="√area from, pixels",
        y_label="boxes",
        note="Boxes without a good anchor learn from their best one alone, or from none.",
        height=HEIGHT,
    )


def _share_chart(splits: Sequence[SplitFigures]) -> str:
    lines = [
        Series(split.name, list(_IOUS), [100 * float(np.mean(split.best >= iou)) for iou in _IOUS], color)
        for color, split in enumerate(splits)
        if split.best is not None and len(split.best)
    ]
    return line_chart(
        "Boxes with an anchor of at least this IoU",
        lines,
        x_label="IoU",
        y_label="percent of the boxes",
        digits=1,
        x_ticks=(0, 0.2, 0.4, 0.6, 0.8, 1.0),
    )


def _count_chart(splits: Sequence[SplitFigures]) -> str:
    most = max((int(split.counts.max(initial=0)) for split in splits), default=0)
    lows = [low for low in _OBJECT_BINS if low <= most]
    highs = [*(low - 1 for low in lows[1:]), most]
    labels = [f"{low}" if low == high else f"{low}–{high}" for low, high in zip(lows, highs, strict=True)]
    layers = [
        Layer(split.name, np.histogram(split.counts, [*lows, most + 1])[0].tolist(), color)
        for color, split in enumerate(splits)
    ]
    return bar_chart("Objects of an image", labels, layers, x_label="objects", y_label="images")


def _class_section(splits: Sequence[SplitFigures]) -> str:
    counts = {
        split.name: {name: (objects, images) for name, objects, images in split.classes} for split in splits
    }
    totals: dict[str, int] = {}
    for of_split in counts.values():
        for name, (objects, _) in of_split.items():
            totals[name] = totals.get(name, 0) + objects
    if not totals:
        return ""
    most = max(max(totals.values()), 1)
    rows = []
    for name in sorted(totals, key=lambda one: -totals[one]):
        bar = f'<td class="bar" style="--v:{100 * totals[name] / most:.1f}">{totals[name]:,}</td>'
        cells = "".join(
            f"<td>{objects:,}</td><td>{images:,}</td>"
            for objects, images in (of_split.get(name, (0, 0)) for of_split in counts.values())
        )
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{bar}{cells}</tr>')
    header = ["class", "objects", *(f"{name}: {what}" for name in counts for what in ("objects", "images"))]
    body = table(header, rows)
    if len(rows) > _OPEN_CLASSES:
        body = f"<details><summary>{len(rows)} classes</summary>{body}</details>"
    return f"<section><h2>Classes</h2>{body}</section>"


def _image_section(splits: Sequence[SplitFigures]) -> str:
    sizes = np.concatenate([split.image_sizes for split in splits])
    if not len(sizes):
        return ""
    values, counts = np.unique(sizes, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [
        _bar_row(f"{values[i][1]} × {values[i][0]}", int(counts[i]), len(sizes)) for i in order[:_SHOWN_SIZES]
    ]
    if len(order) > _SHOWN_SIZES:
        rest = int(counts[order[_SHOWN_SIZES:]].sum())
        rows.append(_bar_row(f"{len(order) - _SHOWN_SIZES:,} other sizes", rest, len(sizes)))
    return f"<section><h2>Sizes of the pictures</h2>{table(['width × height', 'images'], rows)}</section>"


def _bar_row(name: str, count: int, total: int) -> str:
    bar = f'<td class="bar" style="--v:{100 * count / total:.1f}">{count:,}</td>'
    return f'<tr><th scope="row">{html.escape(name)}</th>{bar}</tr>'
