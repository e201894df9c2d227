"""Random colours: every change against slow loops over pixels, the order, the seed, and how often."""

from __future__ import annotations

import colorsys
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.distortion import distort_colours

# The loops round hue and saturation in float64, which moves a value at .5 to the other side.
ONE_LEVEL = 1
DRAWS = 400
# Three deviations of a share of one half among DRAWS.
SHARE = 3 * 0.5 / np.sqrt(DRAWS)

# (contrast is second, then for brightness, contrast, saturation, hue: whether, then how much); 0.9 is never.
NOTHING = [0.0, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0]


def picture():
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    pixels[0] = pixels[0, :, :1]
    pixels[1] = 0
    pixels[2] = [255, 3, 2]
    return pixels


def distorted(pixels, draw):
    with mock.patch.object(tf.random, "stateless_uniform", return_value=tf.constant(draw, tf.float32)):
        return distort_colours(tf.constant(pixels), tf.constant([1, 2])).numpy()


def whole(value):
    return float(np.clip(np.rint(value), 0, 255))


def pixel_by_pixel(pixels, change):
    return np.array([[change(*(float(v) for v in pixel)) for pixel in row] for row in pixels])


def in_hsv(change):
    """A change of hue (in half degrees), saturation and value, all rounded to bytes."""

    def changed(red, green, blue):
        hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        hue, saturation, value = change(
            np.rint(hue * 180) % 180, np.rint(saturation * 255), np.rint(value * 255)
        )
        back = colorsys.hsv_to_rgb(hue % 180 / 180, saturation / 255, value / 255)
        return [whole(255 * v) for v in back]

    return changed


@pytest.mark.parametrize(
    ("number", "share", "change"),
    [
        (0, 1.0, lambda *rgb: [whole(v + 32) for v in rgb]),
        (0, 0.0, lambda *rgb: [whole(v - 32) for v in rgb]),
        (1, 1.0, lambda *rgb: [whole(v * 1.5) for v in rgb]),
        (1, 0.0, lambda *rgb: [whole(v * 0.5) for v in rgb]),
        (2, 1.0, in_hsv(lambda h, s, v: (h, whole(s * 1.5), v))),
        (2, 0.0, in_hsv(lambda h, s, v: (h, whole(s * 0.5), v))),
        (3, 1.0, in_hsv(lambda h, s, v: (h + 18, s, v))),
        (3, 0.0, in_hsv(lambda h, s, v: (max(h - 18, 0), s, v))),
    ],
    ids=["brighter", "darker", "more contrast", "less", "colourful", "pale", "hue on", "hue back"],
)
def test_each_change_alone(number, share, change):
    draw = list(NOTHING)
    draw[1 + number], draw[5 + number] = 0.1, share
    pixels = picture()
    got, expected = distorted(pixels, draw), pixel_by_pixel(pixels, change)
    assert np.abs(got - expected).max() <= ONE_LEVEL
    assert np.mean(got == expected) > 0.95
    assert np.abs(got.astype(int) - pixels).max() > ONE_LEVEL


def test_nothing_drawn_changes_nothing():
    pixels = picture()
    np.testing.assert_array_equal(distorted(pixels, NOTHING), pixels)


@pytest.mark.parametrize("contrast_is_second", [True, False])
def test_contrast_is_second_or_last(contrast_is_second):
    """More contrast clips the red of this pixel, so that a paler pixel is another before than after."""
    pixels = np.array([[[200, 100, 20]]], np.uint8)
    draw = [0.9 if contrast_is_second else 0.1, 0.1, 0.1, 0.1, 0.9, 1.0, 1.0, 0.0, 0.0]

    def pale(rgb):
        return in_hsv(lambda h, s, v: (h, whole(s * 0.5), v))(*rgb)

    def contrast(rgb):
        return [whole(v * 1.5) for v in rgb]

    brighter = [whole(v + 32) for v in (200, 100, 20)]
    expected = pale(contrast(brighter)) if contrast_is_second else contrast(pale(brighter))
    other = contrast(pale(brighter)) if contrast_is_second else pale(contrast(brighter))
    got = distorted(pixels, draw)[0, 0]
    assert np.abs(got - np.array(expected)).max() <= ONE_LEVEL
    assert np.abs(got - np.array(other)).max() > ONE_LEVEL


def test_the_seed_decides_and_each_change_comes_half_of_the_time():
    grey = np.full((1, 1, 3), 100, np.uint8)
    change = tf.function(distort_colours)
    results = [change(tf.constant(grey), tf.constant([7, i])).numpy()[0, 0] for i in range(DRAWS)]
    again = [change(tf.constant(grey), tf.constant([7, i])).numpy()[0, 0] for i in range(20)]
    np.testing.assert_array_equal(results[:20], again)
    # Saturation and hue leave grey alone: it stays as it is where neither brightness nor contrast is drawn.
    same = np.mean([tuple(result) == (100, 100, 100) for result in results])
    assert abs(same - 0.25) < SHARE
    values = np.array(results)[:, 0]
    assert values.min() >= 0.5 * (100 - 32) - ONE_LEVEL
    assert values.max() <= 1.5 * (100 + 32) + ONE_LEVEL
    assert (values == values.astype(int)).all()
