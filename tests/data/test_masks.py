"""Masks in batches: small ones by hand, beside their images and boxes, and what happens to broken ones."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data import masks, pipeline
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.images import broken_image_line
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.table import ExampleTable
from cascade_tf.structures import InstanceTargets, Targets
from tests.data.small_dataset import content_with_masks, write_annotations

# An object in white on black is grey at its border when its picture is resized.
HALF_WHITE = 127


@pytest.fixture
def dataset(dataset_dir):
    write_annotations(dataset_dir, content_with_masks())
    return read_dataset_dir(dataset_dir, "train", segmentations=True)


def only(dataset, *image_ids, **changes):
    examples = (e for i in image_ids for e in dataset.examples if e.image_id == i)
    return dataclasses.replace(dataset, examples=tuple(dataclasses.replace(e, **changes) for e in examples))


def batches_of(dataset, **settings):
    settings = {"batch_size": 1, "short_sides": (40,), "max_side": 200, "workers": 2} | settings
    return train_batches(dataset, **{"masks": True, **settings})


def take(batches, count=1):
    return [tf.nest.map_structure(lambda x: x.numpy(), batch) for batch in batches.take(count)]


def first(dataset, **settings):
    ((batch, targets),) = take(batches_of(dataset, **{"flip": False, **settings}))
    return batch, targets


def either_side(dataset, **settings):
    """The batches of an image as it is and mirrored."""
    sides = {}
    for batch, targets in take(batches_of(dataset, **settings), 40):
        sides.setdefault(targets.boxes.tobytes(), (batch, targets))
        if len(sides) == 2:
            return list(sides.values())
    raise AssertionError("one side only")


def unpack(packed, width):
    return np.unpackbits(packed, axis=-1)[..., :width].astype(bool)


def rectangle(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def assert_same(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_polygon_at_the_files_own_size(dataset):
    batch, targets = first(only(dataset, 10))
    assert batch.images.shape == (1, 64, 64, 3)
    assert targets.masks.shape == (1, 1, 64, 8)
    assert targets.masks.dtype == np.uint8
    # Columns 10..29 of a row: six bits of the second byte, the third, and six of the fourth.
    assert targets.masks[0, 0, 5].tolist() == [0, 0b00111111, 255, 0b11111100, 0, 0, 0, 0]
    np.testing.assert_array_equal(unpack(targets.masks[0, 0], 64), rectangle(64, 64, (5, 35), (10, 30)))


@pytest.mark.parametrize(
    ("image_id", "height", "width", "rows", "columns"),
    [(10, 80, 120, (10, 70), (20, 60)), (14, 120, 60, (60, 120), (0, 30))],
    ids=["polygon", "run lengths"],
)
def test_masks_are_scaled_and_mirrored_by_hand(dataset, image_id, height, width, rows, columns):
    sides = []
    for batch, targets in either_side(only(dataset, image_id), short_sides=(min(height, width),)):
        assert batch.image_size.tolist() == [[height, width]]
        x1, y1, x2, y2 = targets.boxes[0, 0].astype(int).tolist()
        expected = rectangle(*batch.images.shape[1:3], (y1, y2), (x1, x2))
        np.testing.assert_array_equal(unpack(targets.masks[0, 0], batch.images.shape[2]), expected)
        sides.append(((y1, y2), (x1, x2)))
    assert sorted(sides) == sorted([(rows, columns), (rows, (width - columns[1], width - columns[0]))])


@pytest.mark.parametrize("short_side", [20, 40, 80])
@pytest.mark.parametrize("form", ["polygon", "run lengths"])
def test_a_mask_covers_the_pixels_of_its_object(dataset, form, short_side):
    """The object is white in the picture: an ell, which neither a mirror nor a turn leaves as it is."""
    corners = np.array([[12, 4], [44, 4], [44, 14], [24, 14], [24, 36], [12, 36]], float)
    pixels = rectangle(40, 60, (4, 14), (12, 44)) | rectangle(40, 60, (4, 36), (12, 24))
    Image.fromarray(np.repeat(pixels[..., None] * np.uint8(255), 3, axis=-1)).save(dataset.examples[0].path)
    segmentation = (
        [corners.ravel()] if form == "polygon" else coco_mask.encode(np.asfortranarray(pixels, "u1"))
    )
    box = np.array([[12, 4, 44, 36]], np.float32)
    white = only(dataset, 10, boxes=box, segmentations=(segmentation,))
    for batch, targets in either_side(white, short_sides=(short_side,)):
        mask = unpack(targets.masks[0, 0], batch.images.shape[2])
        np.testing.assert_array_equal(mask, batch.images[0, ..., 0] > HALF_WHITE)
        x1, y1, x2, y2 = targets.boxes[0, 0].astype(int)
        assert mask.sum() == mask[y1:y2, x1:x2].sum()
        assert mask[y1:y2, x1:x2].any(axis=0).all()
        assert mask[y1:y2, x1:x2].any(axis=1).all()


def test_images_of_a_batch_are_padded_with_nothing(dataset):
    batch, targets = first(only(dataset, 10, 13, 11), batch_size=3, size_divisor=1, max_side=61)
    height, width = batch.images.shape[1:3]
    assert (height, width) == (40, 61)
    assert targets.masks.shape == (3, 2, 40, 8)
    rows = {i: batch.image_id.tolist().index(i) for i in (10, 11, 13)}
    assert targets.masks[rows[10], 0].any()
    assert not targets.masks[rows[10], 1].any()
    assert not targets.masks[rows[13]].any()
    for row, size in enumerate(batch.image_size.astype(int)):
        pixels = np.unpackbits(targets.masks[row], axis=-1)
        assert not pixels[:, size[0] :].any()
        assert not pixels[:, :, size[1] :].any()


def test_crowds_have_no_mask_and_objects_keep_their_place(dataset):
    _, targets = first(only(dataset, 11), short_sides=(48,))
    assert targets.crowd.tolist() == [[True, False]]
    assert targets.valid.tolist() == [[False, True]]
    assert not targets.masks[0, 0].any()
    # The box is [4.5, 8, 20.5, 16]; half a pixel is as much in as out, and pycocotools takes it in.
    np.testing.assert_array_equal(unpack(targets.masks[0, 1], 64), rectangle(64, 64, (8, 16), (5, 21)))


def test_images_without_objects(dataset):
    _, targets = first(only(dataset, 13, 13), batch_size=2)
    assert [values.shape[1] for values in targets[:4]] == [1] * 4
    assert targets.masks.shape == (2, 1, 64, 12)
    assert not targets.masks.any()
    assert not targets.valid.any()


def test_the_largest_objects_keep_their_masks(dataset):
    boxes = np.array([[0, 0, 9, 9], [0, 0, 2, 2], [30, 0, 50, 20]], np.float32)
    outlines = tuple([np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes)
    none = np.zeros(3, bool)
    objects = {"boxes": boxes, "classes": none + 1, "crowd": none, "ignored": none}
    crowded = only(dataset, 10, segmentations=outlines, **objects)
    batch, targets = first(crowded, max_boxes=2)
    assert targets.boxes.tolist() == [[[0, 0, 9, 9], [30, 0, 50, 20]]]
    areas = unpack(targets.masks, batch.images.shape[2]).sum(axis=(2, 3))
    assert areas.tolist() == [[81, 400]]


def test_without_masks_nothing_changes(dataset, dataset_dir):
    plain = read_dataset_dir(dataset_dir, "train")
    assert all(example.segmentations == () for example in plain.examples)
    settings = {"masks": False, "batch_size": 2}
    expected = batches_of(plain, **settings)
    batches = batches_of(dataset, **settings)
    assert batches.element_spec == expected.element_spec
    assert_same(take(batches, 6), take(expected, 6))
    with mock.patch.object(pipeline, "mask_function", side_effect=AssertionError("drawn")):
        ((_, targets),) = take(batches_of(dataset, **settings))
    assert type(targets) is Targets


def test_with_masks_all_else_stays_but_padding(dataset):
    plain = take(batches_of(dataset, masks=False, batch_size=2), 8)
    most = set()
    for (batch, targets), (other, without) in zip(
        take(batches_of(dataset, batch_size=2), 8), plain, strict=True
    ):
        assert type(targets) is InstanceTargets
        count = targets.boxes.shape[1]
        assert count == max((targets.valid | targets.crowd).sum(axis=1).max(), 1)
        missing = without.boxes.shape[1] - count
        padded = [np.pad(v, [(0, 0), (0, missing)] + [(0, 0)] * (v.ndim - 2)) for v in targets[:4]]
        assert_same([batch, Targets(*padded, targets.seed)], [other, without])
        most.add(count)
    assert most == {1, 2}


def test_static_and_dynamic_dimensions(dataset):
    _, targets = batches_of(dataset, batch_size=2).element_spec
    assert targets.boxes.shape.as_list() == [2, None, 4]
    assert targets.masks.shape.as_list() == [2, None, None, None]
    assert targets.masks.dtype == tf.uint8


@pytest.mark.parametrize("start", [1, 7])
def test_a_resumed_run_gets_the_same_masks(dataset, start):
    settings = {"short_sides": (20, 30, 40), "seed": 1, "batch_size": 2}
    whole = take(batches_of(dataset, workers=1, **settings), start + 4)
    assert any(targets.masks.any() for _, targets in whole)
    assert_same(take(batches_of(dataset, start_step=start, num_steps=4, **settings), -1), whole[start:])


def test_replicas_share_the_masks(dataset, two_devices):
    strategy = tf.distribute.MirroredStrategy(two_devices)
    shared = iter(strategy.experimental_distribute_dataset(batches_of(dataset, batch_size=2)))
    for _, targets in take(batches_of(dataset, batch_size=2), 3):
        parts = strategy.experimental_local_results(next(shared))
        np.testing.assert_array_equal(np.concatenate([part[1].masks for part in parts]), targets.masks)


def test_an_image_that_stands_in_brings_its_own_masks(dataset):
    open(dataset.examples[0].path, "w").close()
    settings = {"short_sides": (48,), "flip": False, "skip_broken": True, "num_steps": 2}
    pairs = take(batches_of(only(dataset, 10, 11), **settings), -1)
    assert [batch.image_id.tolist() for batch, _ in pairs] == [[11], [11]]
    for _, targets in pairs:
        np.testing.assert_array_equal(unpack(targets.masks[0, 1], 64), rectangle(64, 64, (8, 16), (5, 21)))


def test_a_data_set_that_was_read_without_masks(dataset_dir):
    plain = read_dataset_dir(dataset_dir, "train")
    with pytest.raises(ValueError, match="has no masks, expected one that was read with segmentations=True"):
        batches_of(plain)


BROKEN = [np.array([1.0, 1.0, 9.0, 9.0])]


def test_a_mask_that_cannot_be_drawn_stops_and_is_named(dataset):
    broken = only(dataset, 10, segmentations=(BROKEN,))
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        first(broken)
    assert broken_image_line(error.value) == (
        f"broken mask: {dataset.examples[0].path}, object 1 of 1: polygon 0 has 2 points, expected at least 3"
    )


def test_an_object_whose_mask_cannot_be_drawn_can_be_ignored(dataset):
    _, intact = dataset.examples[1].segmentations
    boxes = np.repeat(dataset.examples[1].boxes[1:], 2, axis=0)
    settings = {"boxes": boxes, "classes": np.array([1, 2], np.int32), "crowd": np.zeros(2, bool)}
    broken = only(dataset, 11, segmentations=(BROKEN, intact), **settings)
    with mock.patch.object(masks.logging, "warning") as warning:
        pairs = take(batches_of(broken, skip_broken=True, short_sides=(48,)), 5)
    for _, targets in pairs:
        assert targets.crowd.tolist() == [[True, False]]
        assert targets.valid.tolist() == [[False, True]]
        assert targets.classes.tolist() == [[1, 2]]
        assert [bool(mask.any()) for mask in targets.masks[0]] == [False, True]
    (call,) = warning.call_args_list
    assert call.args[0] % call.args[1:] == (
        f"ignored an object, 1 so far: broken mask: {dataset.examples[1].path}, object 1 of 2: "
        "polygon 0 has 2 points, expected at least 3"
    )


def test_an_object_that_has_no_pixel_left_is_ignored(dataset):
    pixel = coco_mask.encode(np.asfortranarray(rectangle(40, 60, (10, 11), (9, 10)), "u1"))
    box = np.array([[9, 10, 10, 11]], np.float32)
    small = only(dataset, 10, boxes=box, segmentations=(pixel,))
    _, seen = first(small)
    assert np.unpackbits(seen.masks).sum() == 1
    assert seen.valid.tolist() == [[True]]
    _, lost = first(small, short_sides=(10,))
    assert not lost.masks.any()
    assert lost.valid.tolist() == [[False]]
    assert lost.crowd.tolist() == [[True]]
    assert lost.boxes.tolist() == [[[2.25, 2.5, 2.5, 2.75]]]


def test_c_and_python_draw_the_same(dataset):
    table = ExampleTable.of(dataset.examples, None)
    custom, python = (
        masks.mask_function(table, implementation=implementation)
        for implementation in ("custom", "tensorflow")
    )
    seen = 0
    for index in range(len(dataset.examples)):
        for size, flip in (((40, 60), False), ((71, 53), True)):
            arguments = tf.constant(index), size, tf.constant(flip), tf.constant([72, 64])
            drawn, expected = custom(*arguments), python(*arguments)
            assert_same(drawn, expected)
            seen += drawn[0].numpy().any(axis=(1, 2)).sum()
    assert seen == 2 * 4


def test_which_function_draws(dataset):
    table = ExampleTable.of(dataset.examples, None)
    assert not isinstance(masks.mask_function(table), masks.MaskDrawer)
    assert isinstance(masks.mask_function(table, implementation="tensorflow"), masks.MaskDrawer)
    broken = ExampleTable.of(only(dataset, 10, segmentations=(BROKEN,)).examples, None)
    assert isinstance(masks.mask_function(broken), masks.MaskDrawer)
    with pytest.raises(ValueError, match="a segmentation is broken"):
        masks.mask_function(broken, implementation="custom")


# Objects enough that drawing them goes on when the program ends.
ENDS_WITH_AN_ITERATOR = """
import dataclasses, sys
import numpy as np
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches

data = read_dataset_dir(sys.argv[1], "train", segmentations=True)
image = data.examples[0]
names = ("boxes", "classes", "crowd", "ignored")
objects = {name: np.repeat(getattr(image, name), 600, axis=0) for name in names}
crowded = dataclasses.replace(image, segmentations=image.segmentations * 600, **objects)
data = dataclasses.replace(data, examples=(crowded,) * 8)
batches = iter(train_batches(data, batch_size=2, short_sides=(200,), max_side=1333, masks=True))
print(next(batches)[1].masks.shape)
"""
TIMEOUT = 120  # seconds; TensorFlow's start takes most of some ten


def test_an_iterator_that_is_alive_does_not_keep_the_interpreter_from_ending(dataset, dataset_dir):
    """With Python functions drawing in other threads at that moment the interpreter waited for ever."""
    command = [sys.executable, "-c", ENDS_WITH_AN_ITERATOR, str(dataset_dir)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(2,", "600,", "224,", "40)"]
