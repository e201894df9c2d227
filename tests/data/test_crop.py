"""Images cut around an object: bounds, seeds, and boxes, masks and pixels that move together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.crop import SHIFT, Window, choose_window, cut_boxes, cut_masks, resize_window
from cascade_tf.data.pipeline import train_batches
from cascade_tf.ops.resize_and_pad import resize_and_pad
from tests.data.small_dataset import content_with_masks, write_annotations

DRAWS = 300


@pytest.fixture
def dataset(dataset_dir):
    write_annotations(dataset_dir, content_with_masks())
    return read_dataset_dir(dataset_dir, "train", segmentations=True)


@pytest.fixture(scope="module")
def choose():
    return tf.function(choose_window, reduce_retracing=True)


def windows(choose, boxes, is_object, size, max_side, count=DRAWS):
    boxes = tf.reshape(tf.constant(boxes, tf.float32), [-1, 4])
    size = tuple(tf.constant(side) for side in size)
    is_object = tf.constant(is_object, tf.bool)
    found = [choose(boxes, is_object, size, max_side, tf.constant([number, 7])) for number in range(count)]
    return np.array([[int(value) for value in window] for window in found])


def test_a_short_image_stays_whole(choose):
    found = windows(choose, [[1, 2, 8, 9]], [True], (30, 40), 40, 20)
    assert (found == [0, 0, 30, 40]).all()


def test_the_window_lies_around_an_object(choose):
    box = [100, 5, 120, 25]
    found = windows(choose, [box], [True], (30, 200), 50)
    assert (found[:, [0, 2, 3]] == [0, 30, 50]).all()
    centre = found[:, 1] + 25 - 110
    assert set(centre) == set(range(-SHIFT, SHIFT))


def test_the_window_ends_where_the_image_ends(choose):
    left = windows(choose, [[0, 0, 4, 4]], [True], (30, 200), 50, 50)
    right = windows(choose, [[190, 0, 200, 4]], [True], (30, 200), 50, 50)
    assert set(left[:, 1]) == {0}
    assert set(right[:, 1]) == {150}


def test_every_object_is_chosen_but_no_crowd(choose):
    boxes = [[20, 0, 40, 9], [100, 0, 110, 9], [300, 0, 320, 9]]
    found = windows(choose, boxes, [True, False, True], (30, 400), 60)
    starts = found[:, 1]
    near_first, near_last = np.abs(starts - 0) <= SHIFT, np.abs(starts - 280) <= SHIFT
    assert (near_first | near_last).all()
    # Three deviations of a fair coin.
    assert abs(near_first.mean() - 0.5) < 3 * 0.5 / np.sqrt(DRAWS)


def test_without_objects_the_window_is_anywhere(choose):
    for boxes, is_object in (([], []), ([[0, 0, 5, 5]], [False])):
        starts = windows(choose, boxes, is_object, (60, 20), 30)[:, 0]
        assert starts.min() == 0
        assert starts.max() == 30
        assert len(set(starts)) > 20


def test_the_window_is_a_function_of_the_seed(choose):
    first = windows(choose, [[0, 0, 200, 30]], [True], (30, 200), 50, 10)
    np.testing.assert_array_equal(windows(choose, [[0, 0, 200, 30]], [True], (30, 200), 50, 10), first)
    assert len(set(first[:, 1])) > 3


def test_boxes_move_and_lose_what_has_its_centre_outside():
    window = Window(*(tf.constant(value) for value in (10, 20, 30, 40)))
    boxes = [[20, 10, 60, 40], [0, 10, 38, 20], [0, 10, 42, 20], [50, 30, 70, 40], [55, 0, 65, 19]]
    moved, has_centre = cut_boxes(tf.constant(boxes, tf.float32), window)
    np.testing.assert_array_equal(moved, np.array(boxes) - [20, 10, 20, 10])
    # The fourth centre lies on the right border, which belongs to the next pixel; the last one above.
    assert has_centre.numpy().tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("flip", [False, True])
def test_the_resized_window_is_the_window_of_the_resized(flip):
    rng = np.random.default_rng(5)
    image, size = tf.constant(rng.integers(0, 256, (21, 50, 3), dtype=np.uint8)), (35, 83)
    whole = resize_and_pad(image, size, flip=flip, multiple=1).numpy().astype(int)
    for numbers in ((2, 7, 30, 12), (0, 0, 35, 12), (5, 71, 8, 12), (2, 43, 30, 40), (0, 0, 35, 83)):
        window = Window(*map(tf.constant, numbers))
        found = resize_window(
            image, tuple(map(tf.constant, size)), window, flip=tf.constant(flip), multiple=32
        ).numpy()
        top, left, height, width = numbers
        assert found.shape == (-(-height // 32) * 32, -(-width // 32) * 32, 3)
        difference = found[:height, :width] - whole[top : top + height, left : left + width]
        # Rounding in float32 may fall to the other side.
        assert np.abs(difference).max() <= 1
        assert (difference != 0).mean() < 0.01
        assert not found[height:].any()
        assert not found[:, width:].any()


def test_masks_move_with_their_pixels():
    random = np.random.default_rng(1)
    pixels = random.random((3, 20, 45)) < 0.5
    pixels[1] = False
    pixels[1, 0, 0] = True
    packed = np.packbits(pixels, axis=-1)
    window = Window(*(tf.constant(value) for value in (3, 5, 12, 30)))
    drawn = tf.constant([True, True, False])
    masks, intact = cut_masks(tf.constant(packed), drawn, window, tf.constant([16, 33]))
    assert masks.shape == (3, 16, 5)
    expected = np.zeros((3, 16, 40), bool)
    expected[:, :12, :30] = pixels[:, 3:15, 5:35]
    np.testing.assert_array_equal(np.unpackbits(masks.numpy(), axis=-1).astype(bool), expected)
    # Of the second no pixel is in the window.
    assert intact.numpy().tolist() == [True, False, False]


def test_masks_of_an_image_without_objects():
    window = Window(*(tf.constant(value) for value in (0, 0, 8, 8)))
    nothing = tf.zeros([0], tf.bool)
    masks, intact = cut_masks(tf.zeros([1, 9, 2], tf.uint8), nothing, window, tf.constant([8, 8]))
    assert masks.shape == (1, 8, 1)
    assert intact.shape == (0,)


def batches_of(dataset, **settings):
    settings = {"batch_size": 1, "short_sides": (40,), "max_side": 50, "workers": 2, "crop": True} | settings
    return [tf.nest.map_structure(lambda x: x.numpy(), b) for b in train_batches(dataset, **settings)]


def only(dataset, image_id, boxes):
    (example,) = (e for e in dataset.examples if e.image_id == image_id)
    count = len(boxes)
    outlines = tuple([np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes)
    example = dataclasses.replace(
        example,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.full(count, 2, np.int32),
        crowd=np.zeros(count, bool),
        ignored=np.zeros(count, bool),
        segmentations=outlines,
    )
    return dataclasses.replace(dataset, examples=(example,))


@pytest.mark.parametrize("flip", [False, True])
def test_pixels_boxes_and_masks_of_a_batch_agree(dataset, flip):
    """The picture tells its columns by colour: the cut is read off it, and with it the box and the mask."""
    objects = [[10, 5, 30, 35], [62, 0, 80, 40]]
    one = only(dataset, 13, objects)
    seen = set()
    for batch, targets in batches_of(one, flip=flip, masks=True, num_steps=30):
        assert batch.image_size.tolist() == [[40, 50]]
        assert batch.images.shape == (1, 64, 64, 3)
        assert not batch.images[0, :, 50:].any()
        columns = batch.images[0, 0, :50, 0].astype(int)
        assert sorted(columns) == list(range(columns.min(), columns.min() + 50))
        mirrored = columns[0] > columns[-1]
        assert flip or not mirrored
        assert (batch.images[0, :40, :50, 0] == columns).all()
        for number, (x1, y1, x2, y2) in enumerate(objects):
            start = columns[0] + 1 - x2 if mirrored else x1 - columns[0]
            assert targets.boxes[0, number].tolist() == [start, y1, start + x2 - x1, y2]
            ignored = not 0 <= start + (x2 - x1) / 2 < 50
            assert ignored_objects(targets)[0, number] == ignored
            assert targets.valid[0, number] != ignored
            mask = np.unpackbits(targets.masks[0, number], axis=-1)[:40, :50].astype(bool)
            inside = (columns >= x1) & (columns < x2) & (not ignored)
            assert (mask.any(axis=0) == inside).all()
        assert not targets.crowd.any()
        seen.add(columns.min())
    assert len(seen) > 3


def test_a_resumed_run_cuts_and_colours_as_one_that_never_stopped(dataset):
    settings = {"photometric_distortion": True, "masks": False, "seed": 3}
    whole = batches_of(dataset, num_steps=9, **settings)
    rest = batches_of(dataset, start_step=5, num_steps=4, **settings)
    for one, other in zip(whole[5:], rest, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
    plain = batches_of(dataset, num_steps=9, **{**settings, "photometric_distortion": False})
    assert any((a[0].images != b[0].images).any() for a, b in zip(whole, plain, strict=True))


def test_short_images_are_not_changed(dataset):
    one = only(dataset, 10, [[10, 5, 30, 35]])
    (cut,) = batches_of(one, max_side=60, num_steps=1, flip=False)
    (whole,) = batches_of(one, max_side=60, num_steps=1, flip=False, crop=False)
    for a, b in zip(tf.nest.flatten(cut), tf.nest.flatten(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_small_objects_are_ignored(dataset):
    one = only(dataset, 10, [[10, 5, 30, 35], [10, 5, 14.5, 35], [10, 5, 15, 10]])
    settings = {"crop": False, "min_object_side": 5.0, "num_steps": 1, "max_side": 200}
    ((_, targets),) = batches_of(one, masks=True, **settings)
    assert targets.masks[0].any(axis=(1, 2)).tolist() == [True, False, True]
    assert ignored_objects(targets).tolist() == [[False, True, False]]
    assert targets.valid.tolist() == [[True, False, True]]
    ((_, targets),) = batches_of(one, short_sides=(80,), **settings)
    assert targets.valid.all()
