from __future__ import annotations

import dataclasses

import numpy as np

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Category, Example
from cascade_tf.inspection.inspected import Inspected
from cascade_tf.inspection.pictures import PictureFaults
from cascade_tf.inspection.selection import choose_pictures


def example(number: int, sides=((10, 10),), crowds: int = 0) -> Example:
    boxes = np.array([(0, 0, *side) for side in (*sides, *[(9, 9)] * crowds)], np.float32).reshape(-1, 4)
    crowd = np.arange(len(boxes)) >= len(sides)
    classes = np.ones(len(boxes), np.int32)
    return Example(number, f"{number}.jpg", 100, 100, boxes, classes, crowd, np.zeros(len(boxes), bool))


def split(examples) -> Inspected:
    return Inspected(CocoDataset((Category(1, "thing"),), tuple(examples), (), "file"), PictureFaults({}, 0))


def ids(groups) -> dict[str, list[int]]:
    return {group.title: [one.example.image_id for one in group.pictures] for group in groups}


SPLITS = {
    "train": split(
        [
            *(example(i) for i in range(50)),
            example(100, [(10, 10)] * 7),
            example(101, [(2, 3)]),
            example(102, [(80, 10)]),
            example(103, [(10, 90)]),
            example(104, crowds=2),
            example(105, []),
        ]
    ),
    "val": split(example(i) for i in range(200, 203)),
}


def test_what_is_out_of_the_ordinary():
    found = ids(choose_pictures(SPLITS))
    assert found["Most objects"] == [100]
    assert found["Smallest objects, as parts of their pictures"][0] == 101
    assert found["Longest and highest objects"] == [103, 102]
    assert found["Regions and ignored objects"] == [104]
    assert found["Without objects"] == [105]


def test_none_comes_twice_and_splits_share():
    groups = choose_pictures(SPLITS)
    every = [one for group in groups for one in group.pictures]
    assert len({one.example.image_id for one in every}) == len(every)
    assert groups[0].title == "Chosen at random"
    of_split = [one.split for one in groups[0].pictures]
    assert of_split.count("train") == 6
    assert 1 <= of_split.count("val") <= 3


def test_the_seed_decides():
    assert ids(choose_pictures(SPLITS, 3)) == ids(choose_pictures(SPLITS, 3))
    assert ids(choose_pictures(SPLITS, 3)) != ids(choose_pictures(SPLITS, 4))


def test_their_number_does_not_grow():
    many = {"train": split(dataclasses.replace(example(i, [(5, 5)] * (i % 9), i % 3)) for i in range(3000))}
    assert sum(len(group.pictures) for group in choose_pictures(many)) == 24


def test_nothing_to_choose():
    assert choose_pictures({"train": split([])}) == []
