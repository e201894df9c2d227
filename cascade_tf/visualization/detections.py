"""Boxes and masks with their names on a copy of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageDraw

from cascade_tf.visualization.boxes import draw_box, draw_dashed, draw_thin_box, style_of, visible_area
from cascade_tf.visualization.colors import PALETTE, colors_of
from cascade_tf.visualization.labels import Label, draw_label, label_text, place_label
from cascade_tf.visualization.mask_drawing import paint_mask, spread_colors
from cascade_tf.visualization.pictures import check_length, enlarge, to_picture

# Objects that fit into a picture with labels of the usual size; with more of them, filled, letters and lines
# become smaller, down to this part.
_ROOMY = 20
_MAX_DENSITY = 2.0


def draw_detections(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    classes: np.ndarray | None = None,
    *,
    masks: Sequence[Any] | np.ndarray | None = None,
    ground_truth: np.ndarray | None = None,
    score_threshold: float = 0.0,
    min_side: int = 480,
) -> np.ndarray:
    """Draws boxes, and masks, with their names and scores on a copy of an image.

    Better detections lie on top and choose the place of their label first: above the box, else below,
    inside or beside it, always within the picture. A label that would hide the label of a better detection
    is left out.

    Args:
        image: [H, W, 3] or [H, W] uint8.
        boxes: [n, 4] (x1, y1, x2, y2), pixels of ``image``; may be empty or reach beyond it. Boxes with a
            coordinate that is not finite, or wholly outside, are not drawn.
        scores: [n], shown with two digits.
        names: n class names, one per box.
        classes: [n] classes in 1..K, which give the colour; None gives each name its own.
        masks: [n, H, W] bool, or n items that are each [H, W] or COCO's run lengths. Objects are filled and
            outlined, each in its own colour rather than that of its class, and boxes become thin. No label
            hides a whole object, and with many of them letters become smaller.
        ground_truth: [g, 4] boxes of the objects, drawn as dashed white lines under the others.
        score_threshold: detections that score lower are not drawn.
        min_side: an image whose shorter side is below this many pixels is enlarged to it, so that labels
            can be read, with masks of many objects to twice as many; 0 keeps every image as it is.

    Returns:
        [H', W', 3] uint8.

    Raises:
        ValueError: the image is not uint8 of that shape, the lengths do not agree, or a mask is of another
            size than the image.
    """
    picture = to_picture(image)
    boxes = _to_boxes(boxes, "boxes")
    number = len(boxes)
    check_length("scores", scores, number)
    check_length("names", names, number)
    check_length("classes", classes, number)
    check_length("masks", masks, number)
    order = _drawing_order(scores, number, score_threshold)
    image_size = picture.size[::-1]
    density = 1.0 if masks is None else min(max(math.sqrt(len(order) / _ROOMY), 1.0), _MAX_DENSITY)
    picture, scale = enlarge(picture, min_side * density)
    style = style_of(picture.size, density)
    areas = {i: area for i in order if (area := visible_area(boxes[i] * scale, picture.size)) is not None}
    if masks is None:
        colors = dict(enumerate(colors_of(classes, names, number)))
    else:
        colors = dict(zip(areas, spread_colors(boxes[list(areas)], PALETTE), strict=True))
        for i in reversed(areas):
            paint_mask(picture, masks[i], colors[i], style.line, image_size)
    draw = ImageDraw.Draw(picture, "RGBA")
    if ground_truth is not None:
        for box in _to_boxes(ground_truth, "ground_truth") * scale:
            if (area := visible_area(box, picture.size)) is not None:
                draw_dashed(draw, area, style)
    labels: list[Label] = []
    in_sight = np.array([] if masks is None else list(areas.values())).reshape(-1, 4)
    for i, area in areas.items():
        place_label(labels, label_text(names, scores, i), colors[i], area, style, picture.size, in_sight)
    for i, area in reversed(areas.items()):
        if masks is None:
            draw_box(draw, area, colors[i], style)
        else:
            draw_thin_box(draw, area, colors[i])
    for label in reversed(labels):
        draw_label(draw, label, style)
    return np.array(picture)


def _to_boxes(boxes: np.ndarray, what: str) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{what} must be [n, 4], got {list(boxes.shape)}")
    return boxes


def _drawing_order(scores: np.ndarray | None, number: int, threshold: float) -> list[int]:
    """Indices of the detections to draw, best first."""
    if scores is None:
        return list(range(number))
    scores = np.asarray(scores, dtype=np.float64)
    return [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
