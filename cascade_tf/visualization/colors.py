"""Colours of classes, and of the letters on them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from cascade_tf.visualization.mask_drawing import Color

# Told apart with every common colour blindness and on light and dark ground: neighbours differ in
# lightness as well as in hue. Further classes repeat the hues, lighter and darker in turn.
PALETTE: tuple[Color, ...] = (
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
INK: Color = (0, 0, 0)
PAPER: Color = (255, 255, 255)


def class_color(index: int) -> Color:
    """Returns the (red, green, blue) of a class in 0..255; the same class always has the same colour.

    Args:
        index: class in 1..K.
    """
    index = max(int(index) - 1, 0)
    turn, index = divmod(index, len(PALETTE))
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in PALETTE[index]))
    lightness += (0, 0.16, -0.16)[turn % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, min(max(lightness, 0.28), 0.84), saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def colors_of(classes: np.ndarray | None, names: Sequence[str] | None, number: int) -> list[Color]:
    """A colour for each of so many objects, by their classes, else by their names, else the same for all."""
    if classes is not None:
        return [class_color(index) for index in classes]
    if names is not None:
        index = {name: i for i, name in enumerate(sorted(set(names)), start=1)}
        return [class_color(index[name]) for name in names]
    return [class_color(1)] * number


def readable_on(color: Color) -> Color:
    """Dark or white ink, whichever has the higher contrast on a ground (WCAG 2 relative luminance)."""
    ground, dark, white = (luminance(c) + 0.05 for c in (color, INK, PAPER))
    return INK if ground / dark > white / ground else PAPER


def luminance(color: Color) -> float:
    """Relative luminance of WCAG 2, in 0..1."""
    value = np.divide(color, 255)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
