"""Random changes of brightness, contrast, saturation and hue, as SSD and the authors' Caffe nets train.

The arithmetic is that of 8-bit images: after every change the values are whole numbers again, and hue counts
in steps of two degrees. Boxes and masks know nothing of it.
"""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor

PROBABILITY = 0.5
BRIGHTNESS = 32.0
CONTRAST = (0.5, 1.5)
SATURATION = (0.5, 1.5)
HUE = 18.0
# Hue is a circle of so many steps.
_HUES = 180.0
# No other purpose draws from an example's seed with this number.
_STREAM = 71


def distort_colours(image: Tensor, seed: Tensor) -> Tensor:
    """Changes an image's colours by chance; each change is made or left out independently of the others.

    Contrast comes second or last, with equal chances. A change of hue does not go below zero, the red end of
    the circle: the hue is a byte, which ends there.

    Args:
        image: [H, W, 3] uint8 RGB.
        seed: [2] int32; the result is a pure function of it.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    draw = tf.random.stateless_uniform([9], tf.random.experimental.stateless_fold_in(seed, _STREAM))
    contrast_is_second = draw[0] > 0.5
    brighter, contrasted, saturated, turned = tf.unstack(draw[1:5] < PROBABILITY)
    share = tf.unstack(draw[5:])
    brightness = _between(-BRIGHTNESS, BRIGHTNESS, share[0])
    contrast = _between(*CONTRAST, share[1])

    def change_contrast(pixels: Tensor) -> Tensor:
        return _whole(pixels * contrast)

    # One plane for each colour: operations along an axis of three numbers take several times as long.
    pixels = tf.cast(tf.transpose(image, [2, 0, 1]), tf.float32)
    pixels = _maybe(brighter, lambda x: _whole(x + brightness), pixels)
    pixels = _maybe(contrasted & contrast_is_second, change_contrast, pixels)
    pixels = _maybe(saturated, lambda x: _scale_saturation(x, _between(*SATURATION, share[2])), pixels)
    pixels = _maybe(turned, lambda x: _turn_hue(x, _between(-HUE, HUE, share[3])), pixels)
    pixels = _maybe(contrasted & ~contrast_is_second, change_contrast, pixels)
    return tf.transpose(tf.cast(pixels, tf.uint8), [1, 2, 0])


def _maybe(condition: Tensor, change, pixels: Tensor) -> Tensor:
    return tf.cond(condition, lambda: change(pixels), lambda: pixels)


def _between(low: float, high: float, share: Tensor) -> Tensor:
    return low + (high - low) * share


def _whole(values: Tensor) -> Tensor:
    return tf.clip_by_value(tf.round(values), 0.0, 255.0)


def _scale_saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    hue, saturation, value = _to_hsv(pixels)
    return _to_rgb(hue, _whole(saturation * factor), value)


def _turn_hue(pixels: Tensor, steps: Tensor) -> Tensor:
    hue, saturation, value = _to_hsv(pixels)
    return _to_rgb(_whole(hue + steps), saturation, value)


def _to_hsv(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue in 0..179, saturation and value in 0..255, whole numbers; [H, W] of planes [3, H, W]."""
    red, green, blue = tf.unstack(pixels)
    value = tf.maximum(tf.maximum(red, green), blue)
    spread = value - tf.minimum(tf.minimum(red, green), blue)
    # Whole numbers: a divisor of 1 instead of 0 leaves the dividend 0.
    saturation = tf.round(255.0 * spread / tf.maximum(value, 1.0))
    sixth = (_HUES / 6.0) / tf.maximum(spread, 1.0)
    from_red = tf.round((green - blue) * sixth)
    from_green = tf.round(_HUES / 3.0 + (blue - red) * sixth)
    from_blue = tf.round(2.0 * _HUES / 3.0 + (red - green) * sixth)
    hue = tf.where(value == red, from_red, tf.where(value == green, from_green, from_blue))
    return tf.where(hue < 0.0, hue + _HUES, hue), saturation, value


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    chroma = value * saturation / 255.0
    planes = []
    for first_sector in (5.0, 3.0, 1.0):
        sector = first_sector + hue * (6.0 / _HUES)
        sector = tf.where(sector >= 6.0, sector - 6.0, sector)
        share = tf.clip_by_value(tf.minimum(sector, 4.0 - sector), 0.0, 1.0)
        planes.append(value - chroma * share)
    return _whole(tf.stack(planes))
