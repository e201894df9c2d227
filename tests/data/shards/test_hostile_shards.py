"""Files of shards that lead elsewhere, or say what cannot be."""

from __future__ import annotations

import json

import pytest

from cascade_tf.conversion.tfrecord import write_tfrecords
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.shards.layout import PLACE

SHARD = "train-00000-of-00001.tfrecord"


@pytest.fixture
def shards(dataset_dir, tmp_path):
    """A folder of shards, beside another one."""
    data = read_dataset_dir(dataset_dir, "train")
    for name in ("shards", "others"):
        write_tfrecords({"train": data}, tmp_path / name)
    return tmp_path / "shards"


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "place",
    [{"shard": f"../others/{SHARD}"}, {"shard": 3}, {"offset": 2**70}, {"length": -1}, {"decoder": ["x"]}],
)
def test_a_place_that_cannot_be_is_no_picture(shards, place):
    edit(shards / f"{SHARD}.json", lambda content: content["images"][0][PLACE].update(place))
    with pytest.raises(FileNotFoundError, match=r"images\[0\] \(id 10\): .*expected its place in a shard"):
        read_dataset_dir(shards, "train")
    assert len(read_dataset_dir(shards, "train", skip_broken=True).examples) == 4


@pytest.mark.parametrize("name", [f"../others/{SHARD}", f"/others/{SHARD}", 3])
def test_shards_lie_in_the_folder(shards, name):
    edit(shards / "train.tfrecords.json", lambda content: content.update(shards=[name]))
    with pytest.raises(ValueError, match=r"train\.tfrecords\.json: shards has .*in the same folder"):
        read_dataset_dir(shards, "train")


def test_records_that_are_missing_are_named(shards):
    edit(shards / f"{SHARD}.json", lambda content: content.pop("images"))
    with pytest.raises(ValueError, match=rf"{SHARD}\.json: lacks 'images', expected images and annotations"):
        read_dataset_dir(shards, "train")
