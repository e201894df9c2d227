"""Batches: hand-computed boxes, order, resumption, and what happens to images that cannot be read."""

from __future__ import annotations

import dataclasses
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.data import images
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.images import broken_image_line
from cascade_tf.data.pipeline import eval_batches, train_batches
from tests.data.small_dataset import draw_picture

# Colours of a resized picture are interpolated and rounded.
GREY_LEVELS = 1


@pytest.fixture
def dataset(dataset_dir):
    return read_dataset_dir(dataset_dir, "train")


def only(dataset, *image_ids):
    examples = tuple(e for i in image_ids for e in dataset.examples if e.image_id == i)
    return dataclasses.replace(dataset, examples=examples)


def batches_of(dataset, **settings):
    settings = {"batch_size": 2, "short_sides": (40,), "max_side": 200, "workers": 2} | settings
    return train_batches(dataset, **settings)


def take(batches, count):
    return [tf.nest.map_structure(lambda x: x.numpy(), batch) for batch in batches.take(count)]


def assert_same(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_boxes_and_pixels_at_the_files_own_size(dataset):
    (batch, targets), *_ = take(batches_of(only(dataset, 10), batch_size=1, flip=False), 1)
    assert batch.images.shape == (1, 64, 64, 3)
    assert batch.images.dtype == np.uint8
    np.testing.assert_array_equal(batch.images[0, :40, :60], draw_picture(60, 40))
    assert not batch.images[0, 40:].any()
    assert not batch.images[0, :, 60:].any()
    assert batch.image_size.tolist() == [[40, 60]]
    assert batch.original_size.tolist() == [[40, 60]]
    assert batch.image_id.tolist() == [10]
    assert targets.boxes.tolist() == [[[10, 5, 30, 35]]]
    assert targets.classes.tolist() == [[2]]
    assert targets.valid.tolist() == [[True]]


def test_boxes_of_a_resized_image(dataset):
    (batch, targets), *_ = take(batches_of(only(dataset, 10), batch_size=1, short_sides=(20,), flip=False), 1)
    assert batch.image_size.tolist() == [[20, 30]]
    assert batch.original_size.tolist() == [[40, 60]]
    assert batch.images.shape == (1, 32, 32, 3)
    assert targets.boxes.tolist() == [[[5, 2.5, 15, 17.5]]]
    # Pixel i of the small picture is pixels 2 i and 2 i + 1 of the large one.
    expected = 2 * np.arange(30) + 0.5
    assert np.abs(batch.images[0, 10, 1:29, 0] - expected[1:29]).max() <= GREY_LEVELS


def test_the_longer_side_is_limited(dataset):
    (batch, targets), *_ = take(batches_of(only(dataset, 13, 10), batch_size=2, max_side=50, flip=False), 1)
    sizes = dict(zip(batch.image_id.tolist(), batch.image_size.tolist(), strict=True))
    assert sizes == {13: [25, 50], 10: [33, 50]}
    row = batch.image_id.tolist().index(10)
    np.testing.assert_allclose(
        targets.boxes[row, 0], [10 * 50 / 60, 5 * 33 / 40, 30 * 50 / 60, 35 * 33 / 40], rtol=1e-6
    )


def test_a_flip_moves_pixels_and_boxes_together(dataset):
    found = {}
    for batch, targets in take(batches_of(only(dataset, 10), batch_size=1), 40):
        first_column = int(batch.images[0, 0, 0, 0])
        found[first_column] = (batch.images[0, :40, :60, 0], targets.boxes[0].tolist())
    assert set(found) == {0, 59}
    assert found[0][1] == [[10, 5, 30, 35]]
    assert found[59][1] == [[30, 5, 50, 35]]
    np.testing.assert_array_equal(found[59][0], found[0][0][:, ::-1])


def test_crowds_empties_and_padding(dataset):
    pairs = take(batches_of(only(dataset, 11, 13), flip=False), 1)
    batch, targets = pairs[0]
    assert targets.boxes.shape == (2, 2, 4)
    crowd, empty = (batch.image_id.tolist().index(i) for i in (11, 13))
    assert targets.crowd[crowd].tolist() == [True, False]
    assert targets.valid[crowd].tolist() == [False, True]
    assert targets.classes[crowd].tolist() == [1, 2]
    assert not targets.valid[empty].any()
    assert not targets.crowd[empty].any()
    assert not targets.classes[empty].any()
    assert not targets.boxes[empty].any()


def test_a_data_set_without_any_object(dataset):
    (_, targets), *_ = take(batches_of(only(dataset, 13), batch_size=2), 1)
    assert targets.boxes.shape == (2, 1, 4)
    assert not targets.valid.any()


def test_max_boxes_keeps_the_largest_in_order(dataset):
    example = dataclasses.replace(
        dataset.examples[3],
        boxes=np.array([[0, 0, 9, 9], [0, 0, 2, 2], [0, 0, 20, 20], [5, 5, 8, 8]], np.float32),
        classes=np.array([1, 2, 1, 2], np.int32),
        crowd=np.zeros(4, bool),
        ignored=np.zeros(4, bool),
    )
    crowded = dataclasses.replace(dataset, examples=(example,))
    settings = {"batch_size": 1, "flip": False, "short_sides": (40,)}
    (_, targets), *_ = take(batches_of(crowded, max_boxes=2, **settings), 1)
    assert targets.boxes.tolist() == [[[0, 0, 9, 9], [0, 0, 20, 20]]]
    (_, targets), *_ = take(batches_of(crowded, max_boxes=6, **settings), 1)
    assert targets.valid.tolist() == [[True] * 4 + [False] * 2]


def test_static_and_dynamic_dimensions(dataset):
    batch, targets = batches_of(dataset).element_spec
    assert batch.images.shape.as_list() == [2, None, None, 3]
    assert batch.images.dtype == tf.uint8
    assert targets.boxes.shape.as_list() == [2, 2, 4]
    assert targets.seed.shape.as_list() == [2, 2]


@pytest.mark.parametrize("divisor", [1, 16, 32])
def test_sides_are_multiples_of_the_divisor(dataset, divisor):
    for batch, _ in take(batches_of(dataset, short_sides=(41,), size_divisor=divisor), 6):
        largest = batch.image_size.max(axis=0)
        assert batch.images.shape[1:3] == tuple(-(-largest // divisor * divisor).astype(int))


def test_batches_of_one_orientation_and_complete_epochs(dataset):
    pairs = take(batches_of(dataset), 30)
    for batch, _ in pairs:
        tall = batch.original_size[:, 0] > batch.original_size[:, 1]
        assert tall.all() or not tall.any()
    ids = np.concatenate([batch.image_id for batch, _ in pairs])
    assert [(ids == i).sum() for i in (10, 11, 12, 13, 14)] == [12] * 5


def test_the_same_seed_gives_the_same_batches_whatever_the_workers(dataset):
    settings = {"short_sides": (20, 30, 40), "seed": 5, "num_steps": 12}
    batches = batches_of(dataset, workers=1, **settings)
    first = take(batches, -1)
    assert len(first) == 12
    assert_same(take(batches, -1), first)
    assert_same(take(batches_of(dataset, workers=4, **settings), -1), first)
    other = take(batches_of(dataset, workers=1, **settings | {"seed": 6}), -1)
    assert any(a[0].image_id.tolist() != b[0].image_id.tolist() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("start", [1, 7, 70])
def test_a_resumed_run_gets_the_batches_of_one_that_never_stopped(dataset, start):
    settings = {"short_sides": (20, 30, 40), "seed": 1}
    whole = take(batches_of(dataset, **settings), start + 4)
    assert_same(take(batches_of(dataset, start_step=start, num_steps=4, **settings), -1), whole[start:])


def test_no_steps_are_no_batches(dataset):
    assert take(batches_of(dataset, num_steps=0), -1) == []


def test_replicas_share_a_batch(dataset, two_devices):
    strategy = tf.distribute.MirroredStrategy(two_devices)
    whole = take(batches_of(dataset, batch_size=2), 3)
    shared = iter(strategy.experimental_distribute_dataset(batches_of(dataset, batch_size=2)))
    for batch, targets in whole:
        parts = strategy.experimental_local_results(next(shared))
        assert len(parts) == 2
        assert np.concatenate([part[0].image_id for part in parts]).tolist() == batch.image_id.tolist()
        np.testing.assert_array_equal(np.concatenate([part[1].boxes for part in parts]), targets.boxes)
        np.testing.assert_array_equal(np.concatenate([part[1].seed for part in parts]), targets.seed)


def test_evaluation_sees_every_image_once_in_order(dataset):
    batches = list(eval_batches(dataset, batch_size=2, short_side=20, max_side=50))
    assert [b.image_id.numpy().tolist() for b in batches] == [[10, 11], [12, 13], [14]]
    assert batches[0].image_size.numpy().tolist() == [[20, 30], [20, 27]]
    assert batches[1].image_size.numpy().tolist() == [[30, 20], [20, 40]]
    assert batches[0].original_size.numpy().tolist() == [[40, 60], [48, 64]]
    assert batches[1].images.shape == (2, 32, 64, 3)
    assert batches[1].images.dtype == tf.uint8


def test_evaluation_may_keep_the_files_own_sizes(dataset):
    (batch,) = eval_batches(only(dataset, 10), batch_size=1, short_side=None, max_side=None)
    assert batch.images.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(batch.images[0, :40, :60], draw_picture(60, 40))
    assert not batch.images[0, 40:].numpy().any()
    assert batch.image_size.numpy().tolist() == batch.original_size.numpy().tolist() == [[40, 60]]


def test_evaluation_and_training_see_the_same_pixels(dataset):
    one = only(dataset, 11)
    (trained, _), *_ = take(batches_of(one, batch_size=1, short_sides=(30,), flip=False), 1)
    (evaluated,) = eval_batches(one, batch_size=1, short_side=30, max_side=200)
    np.testing.assert_array_equal(trained.images, evaluated.images)


PIXELS = draw_picture(60, 40)


def save_as(path, kind):
    image = Image.fromarray(PIXELS)
    if kind == "16 bits":
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path, "PNG")
    elif kind == "CMYK":
        image.convert("CMYK").save(path, "JPEG", quality=95)
    elif kind == "grey JPEG":
        image.convert("L").save(path, "JPEG", quality=95)
    else:
        image.convert(kind).save(path, "PNG")


@pytest.mark.parametrize("kind", ["L", "LA", "RGBA", "P", "1", "16 bits", "CMYK", "grey JPEG"])
def test_kinds_of_image_files(dataset, kind):
    save_as(dataset.examples[0].path, kind)
    (batch,) = eval_batches(only(dataset, 10), batch_size=1, short_side=40, max_side=200)
    got = batch.images.numpy()[0, :40, :60].astype(int)
    with Image.open(dataset.examples[0].path) as opened:
        if kind == "16 bits":
            expected = np.repeat(PIXELS[..., :1], 3, axis=-1)
        else:
            expected = np.asarray(opened.convert("RGB"))
    assert np.abs(got - expected).max() <= (0 if opened.format == "PNG" else 12)


def truncate(path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    image.save(path, "JPEG")
    with open(path, "rb+") as file:
        file.truncate(1000)


def spoil(dataset, image_id, how):
    path = next(e.path for e in dataset.examples if e.image_id == image_id)
    if how == "truncated":
        truncate(path)
    elif how == "empty":
        open(path, "w").close()
    elif how == "text":
        with open(path, "w") as file:
            file.write("not a picture")
    elif how == "gone":
        tf.io.gfile.remove(path)
    return path


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "gone"])
def test_a_broken_image_stops_and_is_named(dataset, how):
    path = spoil(dataset, 12, how)
    line = f"broken image: {path} cannot be read, expected a complete picture file"
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(eval_batches(dataset, batch_size=2, short_side=20, max_side=50))
    assert broken_image_line(error.value) == line
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(batches_of(dataset, num_steps=5))
    assert broken_image_line(error.value) == line


def test_an_image_of_another_size_than_annotated_stops_and_is_named(dataset):
    path = dataset.examples[0].path
    Image.fromarray(draw_picture(40, 60)).save(path)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(eval_batches(dataset, batch_size=1, short_side=20, max_side=50))
    assert broken_image_line(error.value) == (
        f"broken image: {path} has 40 x 60 pixels, expected 60 x 40 as annotated"
    )


def test_another_error_is_not_taken_for_a_broken_image():
    error = tf.errors.InvalidArgumentError(None, None, "assertion failed: [0 1]")
    assert broken_image_line(error) is None


def test_training_can_replace_broken_images(dataset):
    path = spoil(dataset, 10, "truncated")
    with mock.patch.object(images.logging, "warning") as warning:
        pairs = take(batches_of(dataset, skip_broken=True, num_steps=10), -1)
    assert [call.args[1:] for call in warning.call_args_list] == [(1, path)]
    intact = [pair[0].image_id for pair in pairs]
    ids = np.concatenate(intact)
    assert len(pairs) == 10
    # 11 stands in for 10, with its own boxes.
    assert [(ids == i).sum() for i in (10, 11, 12, 13, 14)] == [0, 8, 4, 4, 4]
    for batch, targets in pairs:
        for row in np.flatnonzero(batch.image_id == 11):
            assert targets.crowd[row].tolist() == [True, False]
    with mock.patch.object(images.logging, "warning"):
        assert_same(take(batches_of(dataset, skip_broken=True, num_steps=10), -1), pairs)


def test_training_stops_where_every_image_is_broken(dataset):
    for image_id in (10, 11):
        spoil(dataset, image_id, "empty")
    broken = only(dataset, 10, 11)
    with (
        mock.patch.object(images.logging, "warning"),
        pytest.raises(tf.errors.InvalidArgumentError, match="broken image: "),
    ):
        take(batches_of(broken, skip_broken=True), 1)


def test_evaluation_can_leave_out_broken_images(dataset):
    paths = [spoil(dataset, 11, "empty"), spoil(dataset, 14, "truncated")]
    with mock.patch.object(images.logging, "warning") as warning:
        batches = list(eval_batches(dataset, batch_size=2, short_side=20, max_side=50, skip_broken=True))
    assert [b.image_id.numpy().tolist() for b in batches] == [[10, 12], [13]]
    assert sorted(call.args[2] for call in warning.call_args_list) == sorted(paths)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"max_side": 0}, "max_side is 0, expected at least 1"),
        ({"size_divisor": 0}, "size_divisor is 0, expected at least 1"),
        ({"max_boxes": 0}, "max_boxes is 0, expected at least 1"),
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"start_step": -1}, "start_step is -1, expected at least 0"),
        ({"num_steps": -1}, "num_steps is -1, expected at least 0"),
        ({"short_sides": ()}, r"short_sides is \(\), expected at least one positive length"),
        ({"short_sides": (40, 0)}, r"short_sides is \(40, 0\), expected"),
    ],
)
def test_wrong_settings(dataset, settings, line):
    with pytest.raises(ValueError, match=line):
        batches_of(dataset, **settings)


def test_an_empty_data_set(dataset):
    with pytest.raises(ValueError, match="the data set has no images, expected at least one"):
        batches_of(only(dataset))
    with pytest.raises(ValueError, match="short_side is 0, expected at least 1"):
        eval_batches(dataset, batch_size=1, short_side=0, max_side=50)
