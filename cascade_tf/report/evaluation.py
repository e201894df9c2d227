"""What the page says of evaluations: headline numbers, tables, and precision over the IoU threshold.

Where masks were measured, everything appears twice: boxes first, then masks.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from cascade_tf.metrics.results import CLASS_KEYS, TABLE_KEYS, CocoResult
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.elements import percent, signed, table

_HEADLINES = {"AP": "IoU 0.50–0.95", "AP50": "IoU 0.50", "AP75": "IoU 0.75", "AP90": "IoU 0.90"}
_PLURALS = {"box": "boxes", "mask": "masks"}
_CLASS_NUMBERS = tuple(key for key in CLASS_KEYS if key != "objects")
_NOTE = (
    "COCO average precision in percent: AP over IoU 0.50 to 0.95, then at single IoU thresholds; s, m, l:"
    " objects of area below 32², 32² to 96², above 96² pixels. AR100: average recall with 100 detections"
    " per image."
)
_OPEN_CLASSES = 25
_IOU_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9)


def headline(results: Mapping[str, CocoResult], steps: int, benchmark: str = "") -> str:
    """Returns tiles: the last result's main numbers, their gain over the first, and the training steps.

    Args:
        results: row name -> evaluation.
        steps: of the training; 0 where there was none.
        benchmark: the tile of the data set's own benchmark, which comes first.
    """
    if not results:
        return ""
    shapes = _by_shape(results)
    rows = [_tiles(of_shape, f"{shape} " if len(shapes) > 1 else "") for shape, of_shape in shapes.items()]
    if benchmark:
        rows[0].insert(0, benchmark)
    if steps:
        rows[0].append(
            f'<div class="card tile"><span>training</span><b>{steps:,}</b><small>steps</small></div>'
        )
    # Where there are two rows, their columns stand below each other.
    kind = f'"tiles columns" style="--n:{len(rows[0])}"' if len(rows) > 1 else '"tiles"'
    return f"<div class={kind}>{''.join(tile for row in rows for tile in row)}</div>"


def _by_shape(results: Mapping[str, CocoResult]) -> dict[str, dict[str, CocoResult]]:
    masks = {name: result.mask for name, result in results.items() if result.mask}
    return {"box": dict(results), **({"mask": masks} if masks else {})}


def _tiles(results: Mapping[str, CocoResult], shape: str) -> list[str]:
    first_name, first = next(iter(results.items()))
    last = list(results.values())[-1]
    tiles = []
    for key, meaning in _HEADLINES.items():
        gain = last.summary[key] - first.summary[key]
        change = f'<small class="{_direction(gain)}">{signed(gain)} over {html.escape(first_name)}</small>'
        number = f"<span>{shape}{key} · {meaning}</span><b>{percent(last.summary[key])}</b>"
        tiles.append(f'<div class="card tile">{number}{change if len(results) > 1 else ""}</div>')
    return tiles


def precision_section(results: Mapping[str, CocoResult]) -> str:
    """Returns the table of all results, AP over the IoU threshold, and the gain over the first result."""
    if not results:
        return ""
    shapes = _by_shape(results)
    rows, charts = [], []
    for shape, of_shape in shapes.items():
        title = f"{_PLURALS[shape].capitalize()}: " if len(shapes) > 1 else ""
        if title:
            rows.append(f'<tr class="group"><th colspan="{len(TABLE_KEYS) + 1}">{title[:-2]}</th></tr>')
        rows += _result_rows(of_shape)
        charts += [_iou_chart(of_shape, title, _PLURALS[shape]), _gain_chart(of_shape, title)]
    body = table(("", *TABLE_KEYS), rows)
    note = f'<p class="foot">{_NOTE}{_why_no_masks(results)}</p>'
    section = f'{body}{note}<div class="pair">{"".join(charts)}</div>'
    return f"<section><h2>Average precision</h2>{section}</section>"


def _why_no_masks(results: Mapping[str, CocoResult]) -> str:
    reasons = dict.fromkeys(result.no_mask for result in results.values() if result.no_mask)
    return "".join(f" Masks are not measured: {html.escape(reason)}." for reason in reasons)


def _result_rows(results: Mapping[str, CocoResult]) -> list[str]:
    best = {key: max(_finite(r.summary[key]) for r in results.values()) for key in TABLE_KEYS}
    rows = []
    for name, result in results.items():
        cells = []
        for key in TABLE_KEYS:
            value = result.summary[key]
            mark = ' class="best"' if len(results) > 1 and value == best[key] else ""
            cells.append(f"<td{mark}>{percent(value)}</td>")
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    return rows


def _iou_chart(results: Mapping[str, CocoResult], title: str, shapes: str) -> str:
    lines = [
        Series(name, list(r.iou_curve), [100 * ap for ap in r.iou_curve.values()], color, markers=True)
        for color, (name, r) in enumerate(results.items())
    ]
    return line_chart(
        f"{title}AP over IoU",
        lines,
        x_label="IoU threshold",
        y_label="AP (%)",
        digits=1,
        x_ticks=_IOU_TICKS,
        note=f"How precision holds up as {shapes} must fit more closely.",
    )


def _gain_chart(results: Mapping[str, CocoResult], title: str) -> str:
    if len(results) < 2:
        return ""
    (first_name, first), *others = results.items()
    lines = []
    for color, (name, result) in enumerate(others, start=1):
        gains = [100 * (ap - first.iou_curve.get(iou, math.nan)) for iou, ap in result.iou_curve.items()]
        lines.append(Series(name, list(result.iou_curve), gains, color, markers=True))
    return line_chart(
        f"{title}Gain over {first_name}",
        lines,
        x_label="IoU threshold",
        y_label="AP points",
        digits=1,
        x_ticks=_IOU_TICKS,
        note="Above zero: better than the first row. A cascade gains most at high IoU.",
    )


def class_section(results: Mapping[str, CocoResult]) -> str:
    """Returns the table of the last result's classes, best first."""
    if not results:
        return ""
    name, result = list(results.items())[-1]
    if not result.per_class:
        return ""
    of_masks = result.mask.per_class if result.mask else {}
    rows = []
    for class_name, numbers in sorted(result.per_class.items(), key=lambda item: -_finite(item[1]["AP"])):
        cells = _class_cells(numbers) + (_class_cells(of_masks[class_name]) if of_masks else "")
        head = f'<th scope="row">{html.escape(class_name)}</th><td>{numbers["objects"]:,.0f}</td>'
        rows.append(f"<tr>{head}{cells}</tr>")
    mask_keys = [f"mask {key}" for key in _CLASS_NUMBERS] if of_masks else []
    body = table(("class", "objects", *_CLASS_NUMBERS, *mask_keys), rows)
    if len(rows) > _OPEN_CLASSES:
        body = f"<details><summary>All {len(rows)} classes</summary>{body}</details>"
    return f"<section><h2>Classes ({html.escape(name)})</h2>{body}</section>"


def _class_cells(numbers: Mapping[str, float]) -> str:
    """AP with a bar, and the others."""
    width = max(0.0, 100 * _finite(numbers["AP"]))
    bar = f'<td class="bar" style="--v:{width:.1f}">{percent(numbers["AP"])}</td>'
    return bar + "".join(f"<td>{percent(numbers[key])}</td>" for key in _CLASS_NUMBERS[1:])


def _direction(value: float) -> str:
    if math.isnan(value) or abs(value) < 0.0005:
        return ""
    return "up" if value > 0 else "down"


def _finite(value: float) -> float:
    return -1.0 if math.isnan(value) else value
