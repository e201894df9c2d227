"""Sizes of the network's input: fixed, own, cut to a window, and around objects of drawn scales."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.crop import choose_window, object_of_window
from cascade_tf.data.object_scales import draw_size
from cascade_tf.data.pipeline import eval_batches, train_batches
from cascade_tf.data.settings import DataConfig

SIZE = (300, 400)
SCALES = (20.0, 160.0)
DRAWS = 400


@pytest.fixture
def dataset(dataset_dir):
    return read_dataset_dir(dataset_dir, "train")


def factors(boxes, is_object, scales=SCALES):
    """How much larger images become with as many seeds."""
    draw = tf.function(draw_size, reduce_retracing=True)
    boxes = tf.reshape(tf.constant(boxes, tf.float32), [-1, 4])
    size = tuple(tf.constant(side) for side in SIZE)
    flags = tf.constant(is_object, tf.bool)
    found = [draw(boxes, flags, size, scales, tf.constant([seed, 3])) for seed in range(DRAWS)]
    found = np.array([[int(side) for side in one] for one in found])
    ratio = found / SIZE
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], atol=0.5 / SIZE[0] + 0.5 / SIZE[1])
    return ratio[:, 1]


def test_an_object_comes_to_all_scales():
    """60 pixels are nearest to 20 times the third power of the square root of two, the fourth of 7 scales."""
    found = factors([[10, 10, 70, 70]], [True])
    unchanged = found == 1.0
    # Half of the draws, and a seventh of the others.
    assert abs(unchanged.mean() - (0.5 + 0.5 / 7)) < 0.08
    steps = 2 * np.log2(found)
    np.testing.assert_allclose(steps, np.round(steps), atol=0.02)
    assert sorted(set(np.round(steps).astype(int))) == [-3, -2, -1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("side", "steps"), [(5, range(7)), (20, range(7)), (160, range(-6, 1)), (299, range(-6, 1))]
)
def test_objects_beyond_the_scales_count_as_the_nearest(side, steps):
    found = factors([[0, 0, side, side]], [True])
    assert sorted(set(np.round(2 * np.log2(found)).astype(int))) == list(steps)


def test_the_scale_is_that_of_the_area():
    np.testing.assert_array_equal(factors([[0, 0, 120, 30]], [True]), factors([[5, 5, 65, 65]], [True]))


def test_without_objects_the_size_stays():
    assert (factors([], []) == 1.0).all()
    assert (factors([[0, 0, 60, 60]], [False]) == 1.0).all()


def test_it_is_the_object_that_the_image_is_cut_around():
    boxes = tf.constant([[0, 0, 10, 10], [200, 0, 210, 10], [380, 0, 390, 10], [100, 0, 110, 10]], tf.float32)
    is_object = tf.constant([True, False, True, True])
    size = tf.constant(10), tf.constant(400)
    chosen = set()
    for number in range(60):
        seed = tf.constant([number, 5])
        index = int(object_of_window(is_object, seed))
        window = choose_window(boxes, is_object, size, 40, seed)
        centre = float(boxes[index, 0]) + 5
        assert int(window.left) <= centre <= int(window.left + window.width)
        chosen.add(index)
    assert chosen == {0, 2, 3}


def test_windows_have_two_sides():
    boxes, is_object = tf.constant([[100.0, 100.0, 120.0, 120.0]]), tf.constant([True])
    size = tf.constant(300), tf.constant(400)
    windows = [choose_window(boxes, is_object, size, (60, 80), tf.constant([n, 1])) for n in range(20)]
    assert {(int(one.height), int(one.width)) for one in windows} == {(60, 80)}
    low = choose_window(boxes, is_object, (tf.constant(50), size[1]), (60, 80), tf.constant([0, 1]))
    assert (int(low.top), int(low.height), int(low.width)) == (0, 50, 80)


def batches_of(dataset, **settings):
    settings = {"batch_size": 1, "short_sides": (40,), "max_side": 120, "workers": 2} | settings
    return [tf.nest.map_structure(lambda x: x.numpy(), one) for one in train_batches(dataset, **settings)]


def only(dataset, image_id, boxes):
    (example,) = (e for e in dataset.examples if e.image_id == image_id)
    none = np.zeros(len(boxes), bool)
    boxes = np.array(boxes, np.float32)
    classes = np.full(len(boxes), 2, np.int32)
    example = dataclasses.replace(example, boxes=boxes, classes=classes, crowd=none, ignored=none)
    return dataclasses.replace(dataset, examples=(example,))


def test_both_sides_are_given(dataset):
    """The picture of 60 x 40 pixels becomes 120 x 40, and its boxes as much wider."""
    one = only(dataset, 10, [[10, 5, 30, 35]])
    ((batch, targets),) = batches_of(one, resize="both_sides", flip=False, num_steps=1)
    assert batch.image_size.tolist() == [[40, 120]]
    assert targets.boxes.tolist() == [[[20, 5, 60, 35]]]
    (seen,) = eval_batches(one, batch_size=1, short_side=40, max_side=120, resize="both_sides")
    np.testing.assert_array_equal(seen.images, batch.images)


def test_images_may_keep_their_size(dataset):
    one = only(dataset, 10, [[10, 5, 30, 35]])
    ((batch, targets),) = batches_of(one, short_sides=(20,), resize="none", flip=False, num_steps=1)
    assert batch.image_size.tolist() == [[40, 60]]
    assert targets.boxes.tolist() == [[[10, 5, 30, 35]]]
    sides = {"short_side": 20, "max_side": 3072, "side_multiple": 32, "resize": "none"}
    (seen,) = eval_batches(one, batch_size=1, **sides)
    assert seen.image_size.numpy().tolist() == [[32, 64]]


def test_a_fixed_size_is_cut_to_a_window(dataset):
    one = only(dataset, 10, [[10, 5, 30, 35]])
    settings = {"resize": "both_sides", "crop": True, "crop_size": (32, 48), "flip": False}
    for batch, targets in batches_of(one, num_steps=8, **settings):
        assert batch.image_size.tolist() == [[32, 48]]
        x1, y1, x2, y2 = targets.boxes[0, 0]
        assert (x2 - x1, y2 - y1) == (40, 30)


def test_pixels_and_boxes_of_drawn_scales_agree(dataset):
    """The red value of a picture is its column: scale and cut are read off it, and with them the box."""
    one = only(dataset, 13, [[62, 0, 80, 40]])
    settings = {"crop": True, "crop_size": (64, 96), "object_scales": (14.0, 56.0), "resize": "none"}
    scales = set()
    for batch, targets in batches_of(one, num_steps=30, flip=False, short_sides=(1,), **settings):
        height, width = batch.image_size[0].astype(int)
        x1, _, x2, _ = targets.boxes[0, 0]
        scale = (x2 - x1) / 18
        scales.add(round(2 * np.log2(scale)))
        assert width == min(96, round(80 * scale))
        row = batch.images[0, height // 2, :width, 0].astype(float)
        inner = slice(max(int(x1), 0) + 4, min(int(x2), width) - 4)
        columns = 62 + (np.arange(width) + 0.5 - x1) / scale - 0.5
        np.testing.assert_allclose(row[inner], columns[inner], atol=1.5)
    assert len(scales) > 3


def test_a_resumed_run_draws_the_same_scales(dataset):
    settings = {"crop": True, "crop_size": (48, 48), "object_scales": (8.0, 64.0), "seed": 3}
    whole = batches_of(dataset, num_steps=8, **settings)
    rest = batches_of(dataset, start_step=5, num_steps=3, **settings)
    for one, other in zip(whole[5:], rest, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
    plain = batches_of(dataset, num_steps=8, **{**settings, "object_scales": ()})
    assert any((a[1].boxes != b[1].boxes).any() for a, b in zip(whole, plain, strict=True))


def test_low_objects_are_ignored(dataset):
    one = only(dataset, 10, [[10, 5, 14, 35], [10, 5, 50, 14], [10, 5, 20, 15]])
    ((_, targets),) = batches_of(one, min_object_height=10.0, num_steps=1)
    assert ignored_objects(targets).tolist() == [[False, True, False]]
    assert targets.valid.tolist() == [[True, False, True]]


WRONG = [
    ({"crop_size": (48, 48)}, r"crop_size: got \(48, 48\), expected none without crop"),
    ({"object_scales": (8.0, 64.0)}, r"object_scales: got \(8.0, 64.0\), expected none without crop"),
    ({"crop": True, "crop_size": (48,)}, r"crop_size: got \(48,\), expected a height and a width of 1"),
    ({"crop": True, "object_scales": (9.0, 8.0)}, "object_scales: got .* expected the smallest above 0"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings(dataset, settings, message):
    with pytest.raises(ValueError, match=message):
        batches_of(dataset, **settings)
    with pytest.raises(ValueError, match=rf"data\.{message}"):
        DataConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resize": "both"}, "resize: got 'both', expected one of"),
        (
            {"resize": "both_sides", "short_sides": (40, 50)},
            r"short_sides: got \(40, 50\), expected one length",
        ),
        (
            {"crop": True, "object_scales": (8.0, 9.0), "masks": True},
            "object_scales: .* expected none with masks",
        ),
    ],
)
def test_settings_that_do_not_go_together(dataset, settings, message):
    with pytest.raises(ValueError, match=message):
        batches_of(dataset, num_steps=1, **settings)


def test_a_negative_height_is_told():
    with pytest.raises(ValueError, match=r"data\.min_object_height: got -1, expected 0 or more"):
        DataConfig(min_object_height=-1)
