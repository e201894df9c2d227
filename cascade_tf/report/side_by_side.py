"""Objects and what several detectors find of them, picture by picture, with the IoU at each box."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.metrics.overlaps import pairwise_iou
from cascade_tf.report.bars import legend
from cascade_tf.report.elements import data_url

_WIDTH, _GAP, _CAPTION = 1080, 8, 20
_FONT, _DIGIT = 11, 6.4
# Least IoU, and number of the colour in the style sheet, from the best on.
_QUALITIES = ((0.9, 2), (0.7, 0), (0.5, 1), (0.0, 5))


class Found(NamedTuple):
    """What one detector finds in a picture.

    Attributes:
        boxes: [n, 4] xyxy in the picture's pixels.
        scores: [n] in 0..1.
        names: n class names.
    """

    boxes: np.ndarray
    scores: np.ndarray
    names: Sequence[str]


class Scene(NamedTuple):
    """A picture with its objects and what detectors find in it.

    Attributes:
        name: of the picture.
        pixels: [H, W, 3] uint8.
        objects: [m, 4] xyxy in the picture's pixels.
        found: by the names of the detectors.
    """

    name: str
    pixels: np.ndarray
    objects: np.ndarray
    found: Mapping[str, Found]


def best_ious(boxes: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """The IoU [n] of boxes [n, 4] with the objects [m, 4] that they overlap most; zeros without objects."""
    if not len(objects):
        return np.zeros(len(boxes))
    return pairwise_iou(boxes, objects).max(axis=1)


def side_by_side(scenes: Sequence[Scene]) -> tuple[str, list[tuple[Any, ...]]]:
    """Draws a row for each picture: its objects, then the boxes of each detector with their IoU.

    Args:
        scenes: one or more, all with the same detectors.

    Returns:
        An HTML ``figure``, and rows (picture, detector, class, score, x1, y1, x2, y2, IoU) of all boxes.
    """
    names = list(scenes[0].found)
    width = (_WIDTH - _GAP * len(names)) / (1 + len(names))
    top, parts, rows = 0.0, [], []
    for scene in scenes:
        picture = data_url(scene.pixels)
        scale = width / scene.pixels.shape[1]
        height = scene.pixels.shape[0] * scale
        for column, name in enumerate(["objects", *names]):
            left = column * (width + _GAP)
            inner = f'<image width="{width:.1f}" height="{height:.1f}" href="{picture}"></image>'
            inner += _frames(scene.objects * scale, "object")
            if column:
                found = scene.found[name]
                ious = best_ious(found.boxes, scene.objects)
                inner += _labelled(found.boxes * scale, ious, found)
                rows += [
                    (scene.name, name, label, float(score), *map(float, box), float(iou))
                    for label, score, box, iou in zip(
                        found.names, found.scores, found.boxes, ious, strict=True
                    )
                ]
            caption = f"{scene.name}: {name}" if not column else name
            parts.append(
                f'<g transform="translate({left:.1f} {top:.1f})"><svg width="{width:.1f}" '
                f'height="{height:.1f}">{inner}</svg><text y="{height + 14:.1f}">{html.escape(caption)}'
                "</text></g>"
            )
        top += height + _CAPTION
    return _figure("".join(parts), top), rows


def _figure(drawing: str, height: float) -> str:
    ranges = [
        (f"IoU {least:g} and more" if least else f"below {_QUALITIES[-2][0]:g}", color)
        for least, color in _QUALITIES
    ]
    title = "Detections and their IoU with the objects"
    note = "Objects are dashed. Each number is the IoU with the object that the box overlaps most."
    return (
        f'<figure class="card chart whole"><figcaption><h3>{title}</h3><p>{note}</p>{legend(ranges)}'
        f'</figcaption><svg class="drawing" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{title}">{drawing}</svg></figure>'
    )


def _frames(boxes: np.ndarray, kind: str, color: int | None = None) -> str:
    style = "" if color is None else f' style="--c:var(--s{color})"'
    return "".join(
        f'<rect class="{kind}"{style} x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" '
        f'height="{y2 - y1:.1f}"></rect>'
        for x1, y1, x2, y2 in boxes
    )


def _labelled(boxes: np.ndarray, ious: np.ndarray, found: Found) -> str:
    """Frames of the colours of their IoU with the number on top, the best scores last and so in front."""
    parts = []
    for index in np.argsort(found.scores, kind="stable"):
        (x1, y1, *_), iou = boxes[index], round(float(ious[index]), 2)
        color = next(number for least, number in _QUALITIES if iou >= least)
        left, top = max(float(x1), 0.0), max(float(y1) - _FONT - 2, 0.0)
        text = f"{iou:.2f}"
        parts.append(
            f"<g><title>{html.escape(found.names[index])}, score {found.scores[index]:.2f}</title>"
            f"{_frames(boxes[index : index + 1], 'found', color)}"
            f'<rect class="tag" style="--c:var(--s{color})" x="{left:.1f}" y="{top:.1f}" '
            f'width="{_DIGIT * len(text) + 4:.1f}" height="{_FONT + 2}"></rect>'
            f'<text class="tag" x="{left + 2:.1f}" y="{top + _FONT - 1:.1f}">{text}</text></g>'
        )
    return "".join(parts)
