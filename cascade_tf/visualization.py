"""Pictures of detections, for people.

Everything is sized to the picture: lines, letters and margins look the same on a thumbnail and on a
photograph.
"""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cascade_tf.mask_drawing import Color, paint_mask, spread_colors

Area = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""

# Told apart with every common colour blindness and on light and dark ground: neighbours differ in
# lightness as well as in hue. Further classes repeat the hues, lighter and darker in turn.
_PALETTE: tuple[Color, ...] = (
    (255, 176, 0),
    (0, 132, 255),
    (255, 64, 120),
    (0, 206, 150),
    (170, 90, 255),
    (255, 112, 30),
    (90, 215, 255),
    (225, 90, 205),
    (178, 214, 40),
    (128, 120, 255),
)
_INK: Color = (0, 0, 0)
_PAPER: Color = (255, 255, 255)
# A label is left out rather than hide more than this part of the labels of better detections.
_MAX_LABEL_OVERLAP = 0.3
# Nor, where objects are filled, more than this part of one of them.
_MAX_COVER = 0.4
# Objects that fit into a picture with labels of the usual size; with more of them, filled, letters and lines
# become smaller, down to this part.
_ROOMY = 20
_MAX_DENSITY = 2.0


class _Style(NamedTuple):
    """Sizes in pixels."""

    line: int
    font: Any
    margin: int


class _Label(NamedTuple):
    text: str
    color: Color
    area: Area


def class_color(index: int) -> Color:
    """Returns the (red, green, blue) of a class in 0..255; the same class always has the same colour.

    Args:
        index: class in 1..K.
    """
    index = max(int(index) - 1, 0)
    turn, index = divmod(index, len(_PALETTE))
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in _PALETTE[index]))
    lightness += (0, 0.16, -0.16)[turn % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, min(max(lightness, 0.28), 0.84), saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


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
    picture = _to_picture(image)
    boxes = _to_boxes(boxes, "boxes")
    number = len(boxes)
    _check_length("scores", scores, number)
    _check_length("names", names, number)
    _check_length("classes", classes, number)
    _check_length("masks", masks, number)
    order = _drawing_order(scores, number, score_threshold)
    image_size = picture.size[::-1]
    density = 1.0 if masks is None else min(max(math.sqrt(len(order) / _ROOMY), 1.0), _MAX_DENSITY)
    picture, scale = _enlarge(picture, min_side * density)
    style = _style(picture.size, density)
    areas = {i: area for i in order if (area := _pixels(boxes[i] * scale, picture.size)) is not None}
    if masks is None:
        colors = dict(enumerate(_colors(classes, names, number)))
    else:
        colors = dict(zip(areas, spread_colors(boxes[list(areas)], _PALETTE), strict=True))
        for i in reversed(areas):
            paint_mask(picture, masks[i], colors[i], style.line, image_size)
    draw = ImageDraw.Draw(picture, "RGBA")
    if ground_truth is not None:
        for box in _to_boxes(ground_truth, "ground_truth") * scale:
            if (area := _pixels(box, picture.size)) is not None:
                _draw_dashed(draw, area, style)
    labels: list[_Label] = []
    in_sight = np.array([] if masks is None else list(areas.values())).reshape(-1, 4)
    for i, area in areas.items():
        _place_label(labels, _text(names, scores, i), colors[i], area, style, picture.size, in_sight)
    for i, area in reversed(areas.items()):
        if masks is None:
            _draw_box(draw, area, colors[i], style)
        else:
            _draw_thin_box(draw, area, colors[i])
    for label in reversed(labels):
        _draw_label(draw, label, style)
    return np.array(picture)


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 3,
    width: int = 1600,
    background: Color = (255, 255, 255),
) -> np.ndarray:
    """Arranges pictures in rows that all fill the same width, each row as high as its pictures ask for.

    Args:
        pictures: images [h, w, 3] or [h, w] uint8 of any sizes, at least one.
        captions: one line of text under each picture.
        columns: pictures in a row; the last row may have fewer, and is then as high as the row before.
        width: of the sheet in pixels.
        background: colour between the pictures.

    Returns:
        [height, width, 3] uint8.

    Raises:
        ValueError: there is no picture, or the lengths do not agree.
    """
    if not pictures or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, got {len(pictures)} and {columns}")
    _check_length("captions", captions, len(pictures))
    cells = [_to_picture(picture) for picture in pictures]
    gap = max(2, width // 100)
    font_size = max(11.0, width / 80)
    font = ImageFont.load_default(font_size)
    text_height = math.ceil(font_size * 1.9) if captions is not None else 0
    placed: list[tuple[Image.Image, int, int, str]] = []
    top, height = gap, 0.0
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        room = width - gap * (len(row) + 1)
        fitting = room / sum(cell.width / cell.height for cell in row)
        height = min(fitting, height) if len(row) < columns and start else fitting
        left = float(gap)
        for number, cell in enumerate(row, start=start):
            right = left + height * cell.width / cell.height
            size = (max(1, round(right) - round(left)), max(1, round(height)))
            caption = "" if captions is None else captions[number]
            placed.append((cell.resize(size, Image.Resampling.LANCZOS), round(left), top, caption))
            left = right + gap
        top += max(1, round(height)) + text_height + gap
    sheet = Image.new("RGB", (width, top), background)
    draw = ImageDraw.Draw(sheet)
    ink = _readable_on(background)
    for cell, left_edge, top_edge, caption in placed:
        sheet.paste(cell, (left_edge, top_edge))
        text = _shorten(caption, font, cell.width)
        middle = top_edge + cell.height + text_height / 2
        draw.text((left_edge + 1, middle), text, fill=ink, font=font, anchor="lm")
    return np.array(sheet)


def _to_picture(image: np.ndarray) -> Image.Image:
    image = np.asarray(image)
    shape_fits = (image.ndim == 3 and image.shape[2] == 3) or image.ndim == 2
    if image.dtype != np.uint8 or not shape_fits or 0 in image.shape:
        raise ValueError(f"an image must be uint8 [H, W, 3] or [H, W], got {image.dtype} {list(image.shape)}")
    return Image.fromarray(image).convert("RGB")


def _enlarge(picture: Image.Image, min_side: float) -> tuple[Image.Image, float]:
    scale = min(min_side / min(picture.size), 4 * min_side / max(picture.size))
    if scale <= 1:
        return picture, 1.0
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC), scale


def _to_boxes(boxes: np.ndarray, what: str) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{what} must be [n, 4], got {list(boxes.shape)}")
    return boxes


def _check_length(what: str, values: Any, number: int) -> None:
    if values is not None and len(values) != number:
        raise ValueError(f"{what} must have one entry for each of the {number} items, got {len(values)}")


def _drawing_order(scores: np.ndarray | None, number: int, threshold: float) -> list[int]:
    """Indices of the detections to draw, best first."""
    if scores is None:
        return list(range(number))
    scores = np.asarray(scores, dtype=np.float64)
    return [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]


def _colors(classes: np.ndarray | None, names: Sequence[str] | None, number: int) -> list[Color]:
    if classes is not None:
        return [class_color(index) for index in classes]
    if names is not None:
        index = {name: i for i, name in enumerate(sorted(set(names)), start=1)}
        return [class_color(index[name]) for name in names]
    return [class_color(1)] * number


@functools.lru_cache(maxsize=32)
def _style(size: tuple[int, int], density: float) -> _Style:
    reach = math.sqrt(size[0] * size[1]) / density
    font_size = min(max(12.0, reach / 38), 40.0)
    return _Style(
        line=max(2, round(reach / 260)),
        font=ImageFont.load_default(font_size),
        margin=max(2, round(font_size * 0.28)),
    )


def _pixels(box: np.ndarray, size: tuple[int, int]) -> Area | None:
    """First and last pixel (x1, y1, x2, y2) of the visible part of a box; None where nothing is visible."""
    if not np.isfinite(box).all() or box[2] < box[0] or box[3] < box[1]:
        return None
    if box[2] < 0 or box[3] < 0 or box[0] >= size[0] or box[1] >= size[1]:
        return None
    x1, y1 = (min(max(round(value), 0), most - 1) for value, most in zip(box[:2], size, strict=True))
    x2, y2 = (min(max(round(value) - 1, 0), most - 1) for value, most in zip(box[2:], size, strict=True))
    return x1, y1, max(x1, x2), max(y1, y2)


def _draw_box(draw: ImageDraw.ImageDraw, area: Area, color: Color, style: _Style) -> None:
    """A coloured frame between two thin dark ones: it stands out on ground of its own colour too."""
    x1, y1, x2, y2 = area
    half = style.line // 2
    rim = max(1, style.line // 3)
    outer = (x1 - half - rim, y1 - half - rim, x2 + half + rim, y2 + half + rim)
    draw.rectangle(outer, outline=(*_INK, 150), width=style.line + 2 * rim)
    draw.rectangle((x1 - half, y1 - half, x2 + half, y2 + half), outline=color, width=style.line)


def _draw_thin_box(draw: ImageDraw.ImageDraw, area: Area, color: Color) -> None:
    """A faint frame: the contour says more."""
    draw.rectangle(area, outline=(*color, 170), width=1)


def _draw_dashed(draw: ImageDraw.ImageDraw, area: Area, style: _Style) -> None:
    """Short white strokes on a faint dark line: seen on any ground, lighter than a detection's frame."""
    x1, y1, x2, y2 = area
    width = max(1, style.line // 2)
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=(*_INK, 120), width=width + 2)
    stroke = 5 * width
    for start in range(x1, x2 + 1, 2 * stroke):
        end = min(start + stroke, x2)
        draw.rectangle((start, y1, end, y1 + width - 1), fill=_PAPER)
        draw.rectangle((start, y2 - width + 1, end, y2), fill=_PAPER)
    for start in range(y1, y2 + 1, 2 * stroke):
        end = min(start + stroke, y2)
        draw.rectangle((x1, start, x1 + width - 1, end), fill=_PAPER)
        draw.rectangle((x2 - width + 1, start, x2, end), fill=_PAPER)


def _text(names: Sequence[str] | None, scores: np.ndarray | None, i: int) -> str:
    name = "" if names is None else str(names[i])
    score = "" if scores is None else f"{float(scores[i]):.2f}"
    return " ".join(part for part in (name, score) if part)


def _place_label(
    labels: list[_Label],
    text: str,
    color: Color,
    box: Area,
    style: _Style,
    size: tuple[int, int],
    in_sight: np.ndarray,
) -> None:
    """Appends the label at the first free place near its box, if there is one.

    Objects in the areas ``in_sight`` [n, 4] must not vanish behind it.
    """
    if not text:
        return
    text = _shorten(text, style.font, size[0] - 2 * style.margin)
    width = math.ceil(style.font.getlength(text)) + 2 * style.margin
    height = math.ceil(style.font.size * 1.12) + style.margin
    x1, y1, x2, y2 = box
    edge = style.line // 2 + max(1, style.line // 3)
    left, right = x1 - edge, x2 + edge - width + 1
    above, below = y1 - edge - height, y2 + edge + 1
    inside_top, inside_bottom = y1 + edge + 1, y2 - edge - height
    corners = [(left, above), (right, above), (left, below), (right, below)]
    if x2 - x1 > width and y2 - y1 > 2 * height:
        corners[2:2] = [(x1 + edge + 1, inside_top), (x1 + edge + 1, inside_bottom)]
    corners += [(x2 + edge + 1, y1), (x1 - edge - width, y1)]
    best, least = None, _MAX_LABEL_OVERLAP
    for x, y in corners:
        area = _shift_inside((x, y, x + width, y + height), size)
        moved = 0.02 * (abs(area[0] - x) / width + 4 * abs(area[1] - y) / height)
        hidden = max((_hidden_part(label.area, area) for label in labels), default=0.0)
        hidden = max(hidden, _covered_part(in_sight, area) * _MAX_LABEL_OVERLAP / _MAX_COVER)
        if hidden + moved < least:
            best, least = area, hidden + moved
        if least == 0:
            break
    if best is not None:
        labels.append(_Label(text, color, best))


def _shift_inside(area: Area, size: tuple[int, int]) -> Area:
    x = min(max(area[0], 0), max(size[0] - (area[2] - area[0]), 0))
    y = min(max(area[1], 0), max(size[1] - (area[3] - area[1]), 0))
    return x, y, x + area[2] - area[0], y + area[3] - area[1]


def _hidden_part(a: Area, b: Area) -> float:
    """Intersection of two areas over the smaller of them."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / max(smaller, 1)


def _covered_part(objects: np.ndarray, area: Area) -> float:
    """The largest part of one of the areas [n, 4] that lies in another."""
    begin, end = objects[:, :2], objects[:, 2:] + 1
    covered = np.maximum(np.minimum(end, area[2:]) - np.maximum(begin, area[:2]), 0).prod(axis=1)
    return float(np.max(covered / (end - begin).prod(axis=1), initial=0.0))


def _draw_label(draw: ImageDraw.ImageDraw, label: _Label, style: _Style) -> None:
    x1, y1, x2, y2 = label.area
    radius = max(1, style.margin // 2)
    draw.rounded_rectangle((x1, y1, x2 - 1, y2 - 1), radius, fill=(*label.color, 235))
    middle = (y1 + y2) / 2
    ink = _readable_on(label.color)
    draw.text((x1 + style.margin, middle), label.text, fill=ink, font=style.font, anchor="lm")


def _readable_on(color: Color) -> Color:
    """Dark or white ink, whichever has the higher contrast on a ground (WCAG 2 relative luminance)."""
    ground, dark, white = (_luminance(c) + 0.05 for c in (color, _INK, _PAPER))
    return _INK if ground / dark > white / ground else _PAPER


def _luminance(color: Color) -> float:
    value = np.divide(color, 255)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _shorten(text: str, font: Any, width: float) -> str:
    """One line of text that fits, with an ellipsis where something had to go."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""
