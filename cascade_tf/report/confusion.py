"""A confusion matrix for people: numbers while there are few classes, else a map of coloured cells."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from cascade_tf.report.elements import table

_MOST_NUMBERS = 12
"""Classes up to which each cell shows its number."""

_LARGEST_MAP = 150
"""Classes up to which there is a map; of more nobody could read the names."""

_MOST_PAIRS = 20

# Of the map, in its own units.
_CELL, _LETTERS = 12, 9
_LONGEST_NAME = 16


def confusion_matrix(classes: Sequence[str], matrix: np.ndarray) -> str:
    """Returns the matrix as numbers, else as a map with the most frequent confusions, else these alone.

    Args:
        classes: K names.
        matrix: [K + 1, K + 1] numbers of objects by detections, background last.
    """
    shares = _shares(matrix)
    if len(classes) <= _MOST_NUMBERS:
        return _numbers(classes, matrix, shares)
    drawn = _map(classes, matrix, shares) if len(classes) <= _LARGEST_MAP else ""
    return drawn + _pairs(classes, matrix)


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Of the objects of the row; in the last row, of the detections of the column."""
    of_row = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    of_row[-1] = matrix[-1] / np.maximum(matrix.sum(axis=0), 1)
    return of_row


def _numbers(classes: Sequence[str], matrix: np.ndarray, shares: np.ndarray) -> str:
    rows = []
    for i, name in enumerate([*classes, "background"]):
        cells = "".join(
            f'<td class="{_kind(i, j)}" style="--v:{share:.3f}">{_number(i, j, count, len(classes))}</td>'
            for j, (count, share) in enumerate(zip(matrix[i].tolist(), shares[i].tolist(), strict=True))
        )
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    return f'<div class="matrix">{table(("object ↓ detection →", *classes, "missed"), rows)}</div>'


def _kind(i: int, j: int) -> str:
    return "hit" if i == j else "slip"


def _number(i: int, j: int, count: int, num_classes: int) -> str:
    return "" if i == j == num_classes else f"{count:,}"


def _map(classes: Sequence[str], matrix: np.ndarray, shares: np.ndarray) -> str:
    size = len(matrix)
    margin = _LETTERS * 0.62 * min(max(len(name) for name in [*classes, "background"]), _LONGEST_NAME) + 8
    whole = margin + size * _CELL + 2
    parts = []
    for i, (row, column) in enumerate(zip([*classes, "background"], [*classes, "missed"], strict=True)):
        middle = margin + (i + 0.5) * _CELL
        parts.append(
            f'<text x="{margin - 4:.0f}" y="{middle:.0f}" dy="3" text-anchor="end">{_short(row)}</text>'
            f'<text transform="translate({middle:.0f} {margin - 4:.0f}) rotate(-90)" dy="3">'
            f"{_short(column)}</text>"
        )
    parts.append(
        f'<rect class="ground" x="{margin:.0f}" y="{margin:.0f}" width="{size * _CELL}" '
        f'height="{size * _CELL}"></rect>'
    )
    for i, j in zip(*np.nonzero(matrix), strict=True):
        # The square root lifts what is rare out of the ground.
        parts.append(
            f'<rect class="{_kind(i, j)}" x="{margin + j * _CELL:.0f}" y="{margin + i * _CELL:.0f}" '
            f'width="{_CELL - 1}" height="{_CELL - 1}" style="--v:{np.sqrt(shares[i, j]):.2f}">'
            f"<title>{html.escape(_sentence(classes, i, j))}: {matrix[i, j]:,}</title></rect>"
        )
    return (
        f'<div class="card scroll"><svg class="map" viewBox="0 0 {whole:.0f} {whole:.0f}" role="img" '
        f'aria-label="Confusion matrix" style="min-width:{whole:.0f}px">{"".join(parts)}</svg></div>'
    )


def _short(name: str) -> str:
    return html.escape(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")


def _pairs(classes: Sequence[str], matrix: np.ndarray) -> str:
    """The most frequent confusions of two classes."""
    between = matrix[:-1, :-1] * (1 - np.eye(len(classes), dtype=np.int64))
    order = np.argsort(-between, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, between.shape), strict=True) if between[i, j]]
    if not pairs:
        return ""
    rows = [
        f'<tr><th scope="row">{html.escape(_sentence(classes, i, j))}</th><td>{between[i, j]:,}</td>'
        f"<td>{matrix[i].sum():,}</td></tr>"
        for i, j in pairs
    ]
    return f'<h3 class="fold">Most frequent confusions</h3>{table(("", "times", "of objects"), rows)}'


def _sentence(classes: Sequence[str], i: int, j: int) -> str:
    if i == len(classes):
        return f"{classes[j]} where nothing is"
    if j == len(classes):
        return f"{classes[i]} missed"
    return f"{classes[i]} found" if i == j else f"{classes[i]} taken for {classes[j]}"
