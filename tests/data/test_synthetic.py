"""Drawn scenes: annotations agree with each other and with the outlines, and the same seed draws the same."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data import shapes, synthetic
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.synthetic import CLASS_NAMES, draw_dataset, draw_scene
from cascade_tf.metrics.overlaps import pairwise_iou

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_demo_dataset.py"
# Counting the pixels of a grid of 400 x 400 instead of integrating.
GRID_ERROR = 0.015


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "dataset"
    draw_dataset(folder, num_train=30, num_val=10, image_size=(96, 128), seed=3)
    return folder


def load(folder, split):
    return json.loads((folder / f"instances_{split}.json").read_text())


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", math.pi),
        ("square", 2.0),
        ("triangle", 3 * math.sqrt(3) / 4),
        ("star", 5 * 0.48 * math.sin(math.pi / 5)),
        ("ring", math.pi * (1.0 - 0.44**2)),
    ],
)
def test_areas_of_the_outlines(name, area):
    x, y = np.meshgrid(*[(np.arange(400, dtype=np.float32) + 0.5) / 200 - 1] * 2)
    distance = shapes.OUTLINES[name](x, y)
    assert abs((distance < 0).mean() * 4 - area) < GRID_ERROR
    assert distance[np.hypot(x, y) > 1.01].min() > 0


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_outlines_are_distances(name):
    """A signed distance grows by 1 for each unit away from the outline."""
    step = 2 / 400
    x, y = np.meshgrid(*[(np.arange(400, dtype=np.float32) + 0.5) * step - 1] * 2)
    slopes = np.hypot(*np.gradient(shapes.OUTLINES[name](x, y), step))
    assert np.quantile(np.abs(slopes - 1.0), 0.95) < 0.02


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, NumPy 2
@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_areas_and_masks_agree(folder, split):
    content = load(folder, split)
    assert len(content["annotations"]) >= 3 * len(content["images"])
    union = {image["id"]: np.zeros((96, 128), int) for image in content["images"]}
    for record in content["annotations"]:
        mask = coco_mask.decode(record["segmentation"])
        rows, columns = np.nonzero(mask)
        x, y, width, height = record["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert record["area"] == mask.sum()
        assert record["bbox"] == coco_mask.toBbox(record["segmentation"]).tolist()
        assert min(width, height) >= 8
        union[record["image_id"]] += mask
    assert max(count.max() for count in union.values()) == 1


@pytest.mark.parametrize(("kind", "least"), [("shapes", 0.45), ("crowd", 0.3)])
def test_a_hidden_object_loses_its_hidden_pixels(kind, least):
    """Every object of the scenes is whole, cut by the border, or hidden in part; never hidden to the most."""
    shares = []
    for number in range(40):
        rng = np.random.default_rng(number)
        things, masks = synthetic._arrange(rng, 224, 288, synthetic.ARRANGEMENTS[kind])
        for index, (thing, mask) in enumerate(zip(things, masks, strict=True)):
            whole = thing.mask(224, 288)
            in_front = np.zeros_like(whole)
            for other in things[:index]:
                in_front |= other.mask(224, 288)
            np.testing.assert_array_equal(mask, whole & ~in_front)
            shares.append(mask.sum() / thing.area())
    assert min(shares) >= least
    assert np.mean(np.array(shares) < 0.9) > 0.2
    assert np.mean(np.array(shares) > 0.97) > 0.3


def test_the_object_in_front_covers_what_is_behind():
    """A red square over a blue disc: the picture shows what the masks say."""
    red, blue = (np.array(c, np.float32) for c in ([1, 0, 0], [0, 0, 1]))
    make = synthetic._Thing
    things = [
        make("square", 40, 40, 20, 0.3, shapes.plain, (red, red)),
        make("disc", 52, 48, 30, 0.0, shapes.plain, (blue, blue)),
    ]
    masks = [things[0].mask(96, 96), things[1].mask(96, 96) & ~things[0].mask(96, 96)]
    image = np.ones((96, 96, 3), np.float32)
    for thing in reversed(things):
        synthetic._paint(image, thing, np.random.default_rng(0))
    assert (image[masks[0]].argmax(axis=-1) == 0).mean() > 0.99
    assert (image[masks[1]].argmax(axis=-1) == 2).mean() > 0.99
    nothing = ~masks[0] & ~masks[1]
    assert (np.ptp(image[nothing], axis=-1) < 0.55).all()


def test_the_reader_takes_it_without_complaint(folder):
    for split, count in (("train", 30), ("val", 10)):
        dataset = read_dataset_dir(folder, split)
        assert len(dataset.examples) == count
        assert dataset.dropped == ()
        assert dataset.class_names == CLASS_NAMES
        for example in dataset.examples:
            with Image.open(example.path) as image:
                assert image.size == (128, 96)
    names = read_dataset_dir(folder, "train")
    assert set(np.concatenate([e.classes for e in names.examples])) == {1, 2, 3, 4, 5}


def test_ids_are_distinct_over_both_splits(folder):
    train, val = load(folder, "train"), load(folder, "val")
    for key in ("images", "annotations"):
        ids = [record["id"] for record in train[key] + val[key]]
        assert len(set(ids)) == len(ids)
    names = [image["file_name"] for image in train["images"] + val["images"]]
    assert sorted(names) == sorted(path.name for path in (folder / "images").iterdir())


def test_the_same_seed_draws_the_same_bytes(folder, tmp_path):
    draw_dataset(tmp_path / "again", num_train=30, num_val=10, image_size=(96, 128), seed=3)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()


def test_a_picture_does_not_depend_on_how_many_there_are(folder, tmp_path):
    draw_dataset(tmp_path / "few", num_train=2, num_val=1, image_size=(96, 128), seed=3)
    for name in ("train_00001.jpg", "val_00000.jpg"):
        assert (tmp_path / "few" / "images" / name).read_bytes() == (folder / "images" / name).read_bytes()
    draw_dataset(tmp_path / "other", num_train=2, num_val=1, image_size=(96, 128), seed=4)
    name = "train_00001.jpg"
    assert (tmp_path / "other" / "images" / name).read_bytes() != (folder / "images" / name).read_bytes()


def test_sizes_cover_small_medium_and_large():
    sides = []
    for number in range(60):
        boxes = draw_scene(np.random.default_rng(number), 224, 288).boxes()
        sides.extend(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
    assert min(sides) < 28
    assert max(sides) > 130
    for low, high in ((0, 32), (32, 96), (96, 1000)):
        assert np.mean([low <= side < high for side in sides]) > 0.08


def test_it_is_fast():
    start = time.process_time()
    for number in range(10):
        draw_scene(np.random.default_rng(number), 256, 320)
    assert time.process_time() - start < 10 * 60 / 400


def test_nothing_half_drawn_remains(tmp_path):
    save, calls = Image.Image.save, []

    def fail_at_third(image, *arguments, **settings):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("disk full")
        save(image, *arguments, **settings)

    with mock.patch.object(Image.Image, "save", fail_at_third), pytest.raises(OSError, match="disk full"):
        draw_dataset(tmp_path / "dataset", num_train=3, num_val=2, image_size=(64, 64))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    draw_dataset(tmp_path / "empty", num_train=1, num_val=1, image_size=(64, 64))
    assert len(list((tmp_path / "empty" / "images").iterdir())) == 2
    with pytest.raises(
        FileExistsError, match="exists already, expected the name of a new or an empty folder"
    ):
        draw_dataset(tmp_path / "empty", num_train=1, num_val=1, image_size=(64, 64))


@pytest.mark.parametrize(
    "settings", [{"num_train": 0}, {"num_val": 0}, {"image_size": (63, 64)}, {"seed": -1}], ids=str
)
def test_wrong_settings(tmp_path, settings):
    with pytest.raises(ValueError, match="expected at least one picture of each split, sides of at least 64"):
        draw_dataset(tmp_path / "dataset", **{"num_train": 1, "num_val": 1} | settings)
    assert list(tmp_path.iterdir()) == []


def test_the_program(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", "drawn", "--num_train=2", "--num_val=1"]
    command += ["--height=64", "--width=96", "--seed=3"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stderr) == (0, "")
    assert "drawn: 2 pictures to train on and 1 to validate on" in first.stdout
    assert len(read_dataset_dir(tmp_path / "drawn", "train").examples) == 2
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "drawn: exists already" in again.stderr


def test_crowds_have_more_smaller_and_more_hidden_objects():
    def seen(kind):
        scenes = [draw_scene(np.random.default_rng(n), 144, 192, kind) for n in range(20)]
        sides = np.concatenate([scene.boxes()[:, 2:] - scene.boxes()[:, :2] for scene in scenes])
        overlaps = [np.triu(pairwise_iou(scene.boxes(), scene.boxes()), 1) for scene in scenes]
        return [len(scene.names) for scene in scenes], np.sqrt(sides.prod(axis=1)), overlaps

    (few, large, apart), (many, small, close) = seen("shapes"), seen("crowd")
    assert max(few) <= 8 <= min(many)
    assert max(many) <= 16
    assert small.mean() < 0.8 * large.mean()
    assert small.min() >= 6
    assert sum((o > 0.1).sum() for o in close) > 3 * sum((o > 0.1).sum() for o in apart)


def test_annotations_of_crowds_have_an_id_each(tmp_path):
    draw_dataset(tmp_path / "crowd", num_train=6, num_val=2, kind="crowd", image_size=(96, 128))
    ids = [
        annotation["id"]
        for split in ("train", "val")
        for annotation in json.loads((tmp_path / "crowd" / f"instances_{split}.json").read_text())[
            "annotations"
        ]
    ]
    assert len(set(ids)) == len(ids) > 6 * 8


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got kind='heap', expected one of shapes, crowd"):
        draw_dataset(tmp_path / "heap", num_train=1, num_val=1, kind="heap")
