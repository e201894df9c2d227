"""Data sets in TFRecord shards give what they gave as files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.conversion.tfrecord import write_tfrecords
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.image_check import check_images
from cascade_tf.data.pipeline import eval_batches, train_batches
from cascade_tf.data.shards.locations import Location, parse_location, read_picture
from cascade_tf.data.shards.storage import names_in
from tests.data.small_dataset import content_with_masks, write_annotations

TRAIN = {"batch_size": 2, "short_sides": (40, 60), "max_side": 200, "seed": 3, "num_steps": 8}
EVAL = {"batch_size": 2, "short_side": 40, "max_side": 200}
# Pictures of about 150 bytes: some shards hold one of them, others two.
SHARD_BYTES = 200


@pytest.fixture
def as_files(dataset_dir):
    """Masks, a crowd, an ignored object, an image without objects, and a picture that only Pillow decodes."""
    content = content_with_masks()
    content["annotations"][2]["ignore"] = 1
    Image.open(dataset_dir / "images" / "d.png").save(dataset_dir / "images" / "d.webp", lossless=True)
    content["images"][3]["file_name"] = "d.webp"
    write_annotations(dataset_dir, content)
    return read_dataset_dir(dataset_dir, "train", segmentations=True)


def assert_same(got, expected):
    got, expected = list(got), list(expected)
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)


def read(folder):
    return read_dataset_dir(folder, "train", segmentations=True)


def test_batches_are_those_of_the_files(as_files, tmp_path):
    assert write_tfrecords({"train": as_files}, tmp_path / "shards", shard_bytes=SHARD_BYTES).shards > 1
    shards = check_images(read(tmp_path / "shards"))
    assert shards.categories == as_files.categories
    assert any(example.ignored.any() for example in shards.examples)
    assert any(example.crowd.any() for example in shards.examples)
    assert_same(train_batches(shards, **TRAIN, masks=True), train_batches(as_files, **TRAIN, masks=True))


def test_a_place_that_only_tensorflow_reads(as_files, tmp_path):
    folder = f"ram://{tmp_path.name}/shards"
    write_tfrecords({"train": as_files}, folder, shard_bytes=SHARD_BYTES)
    assert_same(eval_batches(check_images(read(folder)), **EVAL), eval_batches(as_files, **EVAL))
    tf.io.gfile.remove(f"{folder}/train.tfrecords.json")
    with pytest.raises(FileNotFoundError):
        read(folder)


def test_ground_truth_is_that_of_the_files(as_files, tmp_path):
    write_tfrecords({"train": as_files}, tmp_path / "shards", shard_bytes=SHARD_BYTES)
    got, expected = read(tmp_path / "shards").ground_truth(), as_files.ground_truth()
    assert sorted(got["annotations"], key=str) == sorted(expected["annotations"], key=str)
    assert got["categories"] == expected["categories"]
    assert [image["id"] for image in got["images"]] == [image["id"] for image in expected["images"]]


def test_shards_describe_themselves(as_files, tmp_path):
    write_tfrecords({"train": as_files}, tmp_path / "shards", shard_bytes=SHARD_BYTES)
    found = []
    for path in sorted((tmp_path / "shards").glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)):
            found.append(tf.train.Example.FromString(record.numpy()).features.feature)
    assert len(found) == len(as_files.examples)
    for example, features in zip(as_files.examples, found, strict=True):
        assert features["image/encoded"].bytes_list.value[0] == read_picture(example.path)
        assert features["image/source_id"].bytes_list.value[0] == str(example.image_id).encode()
        assert features["image/object/is_crowd"].int64_list.value == example.crowd.tolist()
        assert features["image/object/is_ignored"].int64_list.value == example.ignored.tolist()
        left = features["image/object/bbox/xmin"].float_list.value
        np.testing.assert_allclose(left, example.boxes[:, 0] / example.width, rtol=1e-6)
        records = json.loads(features["image/annotations"].bytes_list.value[0])
        assert len(records) >= len(example.boxes)


def test_a_run_that_was_stopped_goes_on(as_files, tmp_path):
    folder = tmp_path / "shards"

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tfrecords({"train": as_files}, folder, shard_bytes=SHARD_BYTES, threads=1, progress=stop)
    with pytest.raises(FileNotFoundError):
        read(folder)
    first = write_tfrecords({"train": as_files}, folder, shard_bytes=SHARD_BYTES)
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tfrecord")}
    (folder / min(before)).write_bytes(b"cut off")
    again = write_tfrecords({"train": as_files}, folder, shard_bytes=SHARD_BYTES)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tfrecord")}
    assert again == (first.shards, first.shards - 1)
    assert sum(before[name] == after[name] for name in before) == first.shards - 1
    assert not names_in(str(folder), "*.tmp")
    assert len(read(folder).examples) == len(as_files.examples)


def test_a_shard_that_was_cut_off_is_named(as_files, tmp_path):
    write_tfrecords({"train": as_files}, tmp_path / "shards")
    shard = next((tmp_path / "shards").glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"{shard.name}: has \d+ bytes, expected \d+ as its records say"):
        read(tmp_path / "shards")


def test_a_broken_picture_in_a_shard_is_named(as_files, tmp_path):
    write_tfrecords({"train": as_files}, tmp_path / "shards")
    place = parse_location(read(tmp_path / "shards").examples[0].path)
    with open(place.shard, "r+b") as file:
        file.seek(place.offset)
        file.write(bytes(place.length))
    dataset = read(tmp_path / "shards")
    with pytest.raises(ValueError, match=r"tfrecord@\d+\+\d+\+tensorflow/a\.png is no picture"):
        check_images(dataset)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a\.png cannot be read"):
        list(eval_batches(dataset, batch_size=1, short_side=40, max_side=200))


@pytest.mark.parametrize("shard", ["/data/train-00000-of-00001.tfrecord", "gs://bucket/a@b/x.tfrecord"])
def test_places_are_written_as_paths(shard):
    place = Location(shard, 5218, 90211, "pillow", "a street/1.tif")
    assert parse_location(str(place)) == place
    assert parse_location("/data/photo.tfrecord@home/1.jpg") is None


def test_parts_of_batches_share_no_picture(as_files):
    ids = [
        {int(one) for batch in eval_batches(as_files, **EVAL, part=(index, 2)) for one in batch.image_id}
        for index in range(2)
    ]
    assert sum(map(len, ids)) == len(set().union(*ids)) == len(as_files.examples)


def test_batches_are_made_of_their_parts(as_files):
    settings = {**TRAIN, "num_steps": 3}
    parts = train_batches(as_files, **settings, part=(1, 2))
    for (whole, targets), (half, its_targets) in zip(train_batches(as_files, **settings), parts, strict=True):
        assert half.image_id.numpy() == whole.image_id.numpy()[1:]
        assert len(half.images) == 1
        for values, share in zip(targets, its_targets, strict=True):
            np.testing.assert_array_equal(share, values[1:])


@pytest.mark.parametrize(
    ("part", "message"),
    [((2, 2), "expected an index below"), ((0, 3), "3 parts of batch_size 2, expected parts of one size")],
)
def test_parts_that_cannot_be(as_files, part, message):
    with pytest.raises(ValueError, match=message):
        train_batches(as_files, **TRAIN, part=part)
