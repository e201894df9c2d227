"""What the page says of errors: their kinds and what they cost, curves, the confusion matrix, pictures."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from cascade_tf.metrics.error_costs import KINDS, REPAIRS
from cascade_tf.metrics.error_results import ErrorResult, mean_of_classes
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.confusion import confusion_matrix
from cascade_tf.report.elements import gallery, percent, table

_MEANINGS = {
    "class": "the right place, IoU 0.5 or more with an object of another class",
    "localization": "the right class, IoU 0.1 to 0.5 with an object of it",
    "both": "another class, and IoU 0.1 to 0.5",
    "duplicate": "an object that a better detection has found already",
    "background": "IoU below 0.1 with all objects",
    "missed": "an object that nothing finds, nor would with another class or a better place",
    "false positives": "all kinds but the last, if they scored lower than whatever is right",
    "false negatives": "all objects that are not found, if they need not be",
}
_NOTE = (
    "What an error costs is the AP at IoU 0.5 that would be gained if all errors of its kind, and no others,"
    " were mended (Bolya et al., TIDE, 2020). Costs do not add up: a detection that is mended may make"
    " another one superfluous. AP looks at detections of all scores, and those with high ones weigh most."
)
_OPEN_CLASSES = 25
_OPEN_CHARTS = 6
_MOST_CHARTS = 100
_RECALLS = np.linspace(0.0, 1.0, 101)


def error_section(errors: ErrorResult) -> str:
    """Returns the table of the kinds of error, and that of the classes."""
    shapes = [("", errors)] if errors.mask is None else [("Boxes", errors), ("Masks", errors.mask)]
    rows = []
    for shape, result in shapes:
        if shape:
            rows.append(f'<tr class="group"><th colspan="5">{shape}</th></tr>')
        rows += _kind_rows(result)
    body = table(("error", "AP50 that it costs", "errors", _seen(errors), "what it is"), rows)
    kinds = f'<div class="kinds">{body}</div><p class="foot">{_NOTE}</p>'
    classes = "".join(_class_table(result, shape) for shape, result in shapes)
    return f"<section><h2>Kinds of error</h2>{kinds}{classes}</section>"


def _seen(errors: ErrorResult) -> str:
    return f"score ≥ {errors.score_threshold:g}"


def _kind_rows(result: ErrorResult) -> list[str]:
    rows, costs = [], result.costs()
    widest = max((costs[kind] for kind in KINDS if costs[kind] > 0), default=1.0)
    for kind in KINDS:
        width = 0.0 if math.isnan(costs[kind]) else 100 * max(costs[kind], 0.0) / widest
        cost = f'<td class="bar" style="--v:{width:.1f}">{percent(costs[kind])}</td>'
        counts = f"<td>{result.counts[kind].sum():,}</td><td>{result.seen[kind].sum():,}</td>"
        rows.append(_row(kind, cost + counts, _MEANINGS[kind]))
    for side in REPAIRS[len(KINDS) :]:
        rows.append(
            _row(f"all {side}", f"<td>{percent(costs[side])}</td><td></td><td></td>", _MEANINGS[side])
        )
    return rows


def _row(name: str, cells: str, meaning: str) -> str:
    return f'<tr><th scope="row">{name}</th>{cells}<td class="text">{meaning}</td></tr>'


def _class_table(result: ErrorResult, shape: str) -> str:
    """AP50 of each class and what each kind of error costs it, the worst first."""
    if not result.classes:
        return ""
    before, costs = result.average_precisions[""], result.class_costs()
    rows = []
    for k in np.argsort(np.nan_to_num(before, nan=2.0), kind="stable"):
        gains = [float(costs[repair][k]) for repair in REPAIRS]
        most = max(gains[: len(KINDS)])
        cells = "".join(
            f"<td{_mark(gain == most and gain >= 0.0005 and i < len(KINDS))}>{percent(gain)}</td>"
            for i, gain in enumerate(gains)
        )
        rows.append(
            f'<tr><th scope="row">{html.escape(result.classes[k])}</th><td>{result.objects[k]:,}</td>'
            f"<td>{percent(before[k])}</td>{cells}</tr>"
        )
    header = ("class", "objects", "AP50", *KINDS, *(f"all {side}" for side in REPAIRS[len(KINDS) :]))
    title = f"{shape}: " if shape else ""
    return _folded(f"{title}what each kind costs each class", table(header, rows), len(rows) > _OPEN_CLASSES)


def _mark(marked: bool) -> str:
    return ' class="best"' if marked else ""


def _folded(title: str, body: str, folded: bool) -> str:
    if folded:
        return f'<details class="fold"><summary>{html.escape(title.capitalize())}</summary>{body}</details>'
    return f'<h3 class="fold">{html.escape(title.capitalize())}</h3>{body}'


def curve_section(errors: ErrorResult) -> str:
    """Returns the curves of precision over recall, of all classes and of each."""
    shapes = [("", errors)] if errors.mask is None else [("Boxes: ", errors), ("Masks: ", errors.mask)]
    overall = "".join(_chart(f"{shape}all classes".capitalize(), result, None) for shape, result in shapes)
    if not overall:
        return ""
    # Of very many classes those with the most objects, for the sake of the page's size.
    shown = np.sort(np.argsort(-errors.objects, kind="stable")[:_MOST_CHARTS])
    charts = "".join(
        _chart(f"{shape}{errors.classes[k]}", result, k) for k in shown for shape, result in shapes
    )
    if len(errors.classes) < _OPEN_CHARTS:
        body = f'<div class="pair">{overall}{charts}</div>'
    else:
        title = "Each class"
        if len(shown) < len(errors.classes):
            title = f"The {len(shown)} classes with the most objects"
        folded = f'<summary>{title}</summary><div class="pair">{charts}</div>'
        body = f'<div class="pair">{overall}</div><details class="fold">{folded}</details>'
    note = (
        '<p class="foot">At each recall the best precision that is reached there or further on, which is what'
        " AP is the mean of. A curve falls to 0 where the detector finds no more objects.</p>"
    )
    return f"<section><h2>Precision over recall</h2>{body}{note}</section>"


def _chart(title: str, result: ErrorResult, k: int | None) -> str:
    lines = []
    for color, (iou, precision) in enumerate(result.curves.items()):
        values = [mean_of_classes(row) for row in precision] if k is None else precision[:, k].tolist()
        ap = mean_of_classes(np.array(values))
        lines.append(Series(f"IoU {iou:.2f}, AP {percent(ap)}", _RECALLS.tolist(), values, color))
    # One scale for all classes, so that their curves can be compared.
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    return line_chart(title, lines, x_label="recall", y_label="precision", x_ticks=ticks, y_ticks=ticks)


def confusion_section(errors: ErrorResult) -> str:
    """Returns the confusion matrix, with the pairs of classes that are confused most."""
    if not errors.classes:
        return ""
    note = (
        f'<p class="foot">Rows are objects, columns detections with {_seen(errors)}. Detections find objects'
        " of their own class first, IoU 0.5 or more, then what is left of both is matched whatever the"
        " classes are. The last column counts objects that are not found at all, the last row detections"
        " where nothing is, or nothing that a better one has not found. Colours are relative to the objects"
        " of a row; in the last row, to the detections of a class.</p>"
    )
    return (
        f"<section><h2>Confusion matrix</h2>{confusion_matrix(errors.classes, errors.confusion)}{note}"
        "</section>"
    )


def error_picture_section(errors: ErrorResult, pictures: Sequence[tuple[str, np.ndarray]]) -> str:
    """Returns the pictures with the worst errors, each as a caption and an image."""
    if not pictures:
        return ""
    note = (
        f'<p class="foot">Detections with {_seen(errors)}. The worst come first: the scores of wrong'
        " detections are added up, and 1 for each missed object. Green is found or right, which"
        " has no label among the detections; what has a dashed frame does not count.</p>"
    )
    return f"<section><h2>Worst errors</h2>{gallery(pictures, 'wide')}{note}</section>"
