"""What the page says of evaluations: headline numbers, tables, and precision over the IoU threshold."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from cascade_tf.metrics.results import CLASS_KEYS, TABLE_KEYS, CocoResult
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.elements import percent, signed, table

_HEADLINES = {"AP": "IoU 0.50 to 0.95", "AP50": "IoU 0.50", "AP75": "IoU 0.75", "AP90": "IoU 0.90"}
_OPEN_CLASSES = 25
_IOU_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9)


def headline(results: Mapping[str, CocoResult], steps: int) -> str:
    """Returns tiles: the last result's main numbers, their gain over the first, and the training steps."""
    if not results:
        return ""
    first_name, first = next(iter(results.items()))
    last = list(results.values())[-1]
    tiles = []
    for key, meaning in _HEADLINES.items():
        gain = last.summary[key] - first.summary[key]
        change = f'<small class="{_direction(gain)}">{signed(gain)} over {html.escape(first_name)}</small>'
        number = f"<span>{key} · {meaning}</span><b>{percent(last.summary[key])}</b>"
        tiles.append(f'<div class="card tile">{number}{change if len(results) > 1 else ""}</div>')
    if steps:
        tiles.append(
            f'<div class="card tile"><span>training</span><b>{steps:,}</b><small>steps</small></div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def precision_section(results: Mapping[str, CocoResult]) -> str:
    """Returns the table of all results, AP over the IoU threshold, and the gain over the first result."""
    if not results:
        return ""
    best = {key: max(_finite(r.summary[key]) for r in results.values()) for key in TABLE_KEYS}
    rows = []
    for name, result in results.items():
        cells = []
        for key in TABLE_KEYS:
            value = result.summary[key]
            mark = ' class="best"' if len(results) > 1 and value == best[key] else ""
            cells.append(f"<td{mark}>{percent(value)}</td>")
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>')
    note = (
        "COCO average precision in percent: AP over IoU 0.50 to 0.95, then at single IoU thresholds; s, m, l:"
        " objects of area below 32², 32² to 96², above 96² pixels. AR100: average recall with 100 detections"
        " per image."
    )
    return (
        f'<section><h2>Average precision</h2>{table(("", *TABLE_KEYS), rows)}<p class="foot">{note}</p>'
        f'<div class="pair">{_iou_chart(results)}{_gain_chart(results)}</div></section>'
    )


def _iou_chart(results: Mapping[str, CocoResult]) -> str:
    lines = [
        Series(name, list(r.iou_curve), [100 * ap for ap in r.iou_curve.values()], color, markers=True)
        for color, (name, r) in enumerate(results.items())
    ]
    return line_chart(
        "AP over IoU",
        lines,
        x_label="IoU threshold",
        y_label="AP (%)",
        digits=1,
        x_ticks=_IOU_TICKS,
        note="How precision holds up as boxes must fit more closely.",
    )


def _gain_chart(results: Mapping[str, CocoResult]) -> str:
    if len(results) < 2:
        return ""
    (first_name, first), *others = results.items()
    lines = []
    for color, (name, result) in enumerate(others, start=1):
        gains = [100 * (ap - first.iou_curve.get(iou, math.nan)) for iou, ap in result.iou_curve.items()]
        lines.append(Series(name, list(result.iou_curve), gains, color, markers=True))
    return line_chart(
        f"Gain over {first_name}",
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
    keys = [key for key in CLASS_KEYS if key != "objects"]
    rows = []
    for class_name, numbers in sorted(result.per_class.items(), key=lambda item: -_finite(item[1]["AP"])):
        width = max(0.0, 100 * _finite(numbers["AP"]))
        bar = f'<td class="bar" style="--v:{width:.1f}">{percent(numbers["AP"])}</td>'
        cells = "".join(f"<td>{percent(numbers[key])}</td>" for key in keys[1:])
        head = f'<th scope="row">{html.escape(class_name)}</th><td>{numbers["objects"]:,.0f}</td>'
        rows.append(f"<tr>{head}{bar}{cells}</tr>")
    body = table(("class", "objects", *keys), rows)
    if len(rows) > _OPEN_CLASSES:
        body = f"<details><summary>All {len(rows)} classes</summary>{body}</details>"
    return f"<section><h2>Classes ({html.escape(name)})</h2>{body}</section>"


def _direction(value: float) -> str:
    if math.isnan(value) or abs(value) < 0.0005:
        return ""
    return "up" if value > 0 else "down"


def _finite(value: float) -> float:
    return -1.0 if math.isnan(value) else value
