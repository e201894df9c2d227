"""What is said of an object is what was drawn of it, counted pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.data.scenes.canvas import Canvas
from cascade_tf.data.scenes.pen import Figure, Pen


def block(left: int, top: int, width: int, height: int, cover: float = 1.0) -> Figure:
    full = np.full((height, width), cover, np.float32)
    return Figure(np.ones((height, width, 3), np.float32), full, full > 0, left, top)


@pytest.fixture
def canvas():
    return Canvas(np.zeros((20, 30, 3), np.float32))


def test_all_of_a_figure_is_seen(canvas):
    seen = canvas.seen(canvas.lay(block(4, 5, 6, 8)))
    assert seen == ((4, 5, 10, 13), (4, 5, 10, 13), 0.0, 0.0)


def test_what_lies_in_front_hides(canvas):
    back = canvas.lay(block(4, 5, 6, 8))
    canvas.lay(block(8, 0, 10, 20))
    assert canvas.seen(back) == ((4, 5, 10, 13), (4, 5, 8, 13), 0.0, pytest.approx(2 / 6))


def test_what_shines_through_hides_nothing(canvas):
    back = canvas.lay(block(4, 5, 6, 8))
    canvas.lay(block(0, 0, 20, 20, cover=0.4))
    assert canvas.seen(back).hidden == 0.0


def test_what_is_cut_off_is_truncated_and_not_hidden(canvas):
    number = canvas.lay(block(-2, 15, 8, 10))
    assert canvas.seen(number) == ((-2, 15, 6, 25), (0, 15, 6, 20), pytest.approx(1 - 30 / 80), 0.0)


@pytest.mark.parametrize("left", [-8, 30])
def test_outside_of_the_picture_nothing_is_seen(canvas, left):
    number = canvas.lay(block(left, 2, 8, 4))
    assert canvas.seen(number) == ((left, 2, left + 8, 6), None, 1.0, 1.0)


def test_what_is_printed_on_a_figure_hides_nothing_of_it(canvas):
    poster = canvas.lay(block(2, 2, 10, 10))
    canvas.lay(block(4, 4, 3, 3), owner=poster)
    assert canvas.seen(poster).hidden == 0.0


def test_a_part_is_the_object(canvas):
    """A face is seen or hidden by itself, whatever hides the shoulders."""
    pen = Pen(15.0, 12.0, 8.0, (1.0, 1.2))
    pen.box(-1.0, 0.0, 1.0, 1.1, (1.0, 0.0, 0.0))
    pen.mark_ellipse(-0.5, 0.0, 0.5, 1.0)
    number = canvas.lay(pen.figure(np.random.default_rng(0)))
    canvas.lay(block(0, 0, 11, 20))
    assert canvas.seen(number)[:2] == ((11, 4, 19, 12), (11, 4, 19, 12))
    canvas.lay(block(15, 0, 15, 20))
    seen = canvas.seen(number)
    assert seen.visible_box == (11, 4, 15, 12)
    assert seen.hidden == pytest.approx(0.5)


def test_a_pen_draws_where_it_is_told():
    pen = Pen(10.0, 18.0, 10.0, (0.5, 1.5), mirrored=True)
    pen.box(0.1, 0.0, 0.5, 1.2, (0.2, 0.4, 0.6))
    canvas = Canvas(np.zeros((20, 30, 3), np.float32))
    assert canvas.seen(canvas.lay(pen.figure(np.random.default_rng(0)))).box == (5, 6, 9, 18)


def test_the_picture_shows_the_figures():
    canvas = Canvas(np.zeros((20, 30, 3), np.float32))
    canvas.lay(block(4, 5, 6, 8))
    picture = np.asarray(canvas.finish(np.random.default_rng(0)), np.float32)
    assert picture[6:12, 5:9].mean() > 150
    assert picture[:4].mean() < 20
