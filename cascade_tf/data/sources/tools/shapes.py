"""Shapes of labelling tools as boxes and polygons, from values that may be anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cascade_tf.coco_format.fields import A_NUMBER, wrong
from cascade_tf.coco_format.numbers import as_number, is_finite_number

Corners = tuple[float, float, float, float]
_SIDES_OF_ROUND = 64


def number_of(value: Any, field: str) -> float:
    """A finite number, also one that is written as text.

    Raises:
        ValueError: it is none.
    """
    number = as_number(value)
    if not is_finite_number(number):
        raise wrong(field, value, A_NUMBER)
    return float(number)


def mapping_of(value: Any, field: str) -> dict[str, Any]:
    """A mapping.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, dict):
        raise wrong(field, value, "an object")
    return value


def list_of(value: Any, field: str) -> list:
    """A list.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list):
        raise wrong(field, value, "a list")
    return value


def points_of(value: Any, field: str, *, least: int) -> list[tuple[float, float]]:
    """Points from a list of pairs.

    Raises:
        ValueError: it is none, or has fewer than ``least``.
    """
    pairs = list_of(value, field)
    if len(pairs) < least or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise wrong(field, value, f"{least} points [x, y] or more")
    return [(number_of(x, field), number_of(y, field)) for x, y in pairs]


def box_around(points: Sequence[tuple[float, float]]) -> Corners:
    """The box of some points."""
    x, y = zip(*points, strict=True)
    return min(x), min(y), max(x), max(y)


def box_of_sides(x: float, y: float, width: float, height: float) -> Corners:
    """The box of its upper left corner and its sides."""
    return x, y, x + width, y + height


def polygon_of(points: Sequence[tuple[float, float]]) -> list[float]:
    """A polygon as COCO has it: ``[x1, y1, x2, y2, ...]``."""
    return [side for point in points for side in point]


def round_outline(
    x: float, y: float, radius_x: float, radius_y: float, angle: float = 0.0
) -> tuple[Corners, list[float]]:
    """The box and a polygon of an ellipse.

    Args:
        x: of the centre.
        y: of the centre.
        radius_x: along the x axis before it is turned.
        radius_y: along the y axis.
        angle: by which it is turned, radians, from the x axis to the y axis.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    polygon: list[float] = []
    for step in range(_SIDES_OF_ROUND):
        turn = 2 * math.pi * step / _SIDES_OF_ROUND
        along, across = radius_x * math.cos(turn), radius_y * math.sin(turn)
        polygon += [x + along * cosine - across * sine, y + along * sine + across * cosine]
    return (x - half_width, y - half_height, x + half_width, y + half_height), polygon
