"""Drawn streets, pedestrians and faces: the benchmarks' readers read what was drawn, hard cases among it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.scenes import faces, pedestrians, street, writing
from cascade_tf.data.scenes.writing import KINDS, draw_scenes
from cascade_tf.formats.citypersons_annotations import CLASSES
from cascade_tf.formats.widerface import SETTINGS, read_ground_truth

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_demo_dataset.py"
COUNTS = {"train": 3, "val": 4, "test": 2}
SIZES = {"street": (128, 416), "pedestrians": (192, 384), "faces": (144, 192)}


def draw(folder: Path, kind: str, **settings) -> None:
    numbers = {f"num_{split}": count for split, count in COUNTS.items()}
    draw_scenes(folder, kind, **{"image_size": SIZES[kind], "seed": 4, **numbers, **settings})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for kind in KINDS:
        draw(folder / kind, kind)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(folders, tmp_path, kind):
    draw(tmp_path / "again", kind)
    assert files(tmp_path / "again") == files(folders / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_pictures(folders, tmp_path, kind):
    draw(tmp_path / "other", kind, seed=5)
    other, own = files(tmp_path / "other"), files(folders / kind)
    pictures = [name for name in own if name.endswith((".png", ".jpg"))]
    assert len(pictures) == sum(COUNTS.values())
    assert all(other[name] != own[name] for name in pictures)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", COUNTS)
def test_the_readers_know_the_splits(folders, kind, split):
    dataset = read_dataset_dir(folders / kind, split)
    assert len(dataset.examples) == COUNTS[split]
    assert dataset.labelled == (split != "test")
    for example in dataset.examples:
        with Image.open(example.path) as picture:
            assert picture.size == (example.width, example.height)


def redrawn(kind: str, split: str):
    """The annotations of a split as the scenes are drawn, without any file."""
    for number in range(COUNTS[split]):
        seed = [4, 1 + list(KINDS).index(kind), writing.SPLITS.index(split), number]
        rng = np.random.default_rng(seed)
        if kind == "faces":
            yield faces.draw_faces(rng, list(faces.EVENTS)[number % 4], SIZES[kind])[1]
        else:
            module = {"street": street.draw_street, "pedestrians": pedestrians.draw_pedestrians}[kind]
            yield module(rng, SIZES[kind])[1]


def test_streets_are_read_as_they_were_drawn(folders):
    read = [one for *_, one in read_dataset_dir(folders / "street", "val").source.annotated(None)]
    drawn = list(redrawn("street", "val"))
    assert len(read) == len(drawn)
    for one, other in zip(read, drawn, strict=True):
        for column, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(column, expected)


def test_pedestrians_are_read_as_they_were_drawn(folders):
    source = read_dataset_dir(folders / "pedestrians", "train").source
    read = {one.name: one for _, one in source.annotated(None)}
    for number, expected in enumerate(redrawn("pedestrians", "train")):
        (one,) = (one for name, one in read.items() if name.endswith(f"_{number:06d}_leftImg8bit.png"))
        for column, other in zip(one[2:], expected[2:], strict=True):
            np.testing.assert_array_equal(column, other)


def test_faces_are_read_as_they_were_drawn(folders):
    source = read_dataset_dir(folders / "faces", "val").source
    read = {one.event: one for _, one in source.annotated()}
    for expected in redrawn("faces", "val"):
        one = read[expected.event]
        np.testing.assert_array_equal(one.boxes, expected.boxes)
        assert {mark: values.tolist() for mark, values in one.marks.items()} == {
            mark: values.tolist() for mark, values in expected.marks.items()
        }


def test_the_settings_of_faces_contain_each_other(folders):
    pytest.importorskip("scipy")
    truth = read_ground_truth(folders / "faces" / "ground_truth")
    assert len(truth) == COUNTS["val"]
    counts = [sum(one.counted[setting].sum() for one in truth.values()) for setting in SETTINGS]
    assert 0 < counts[0] < counts[1] < counts[2]
    for one in truth.values():
        assert not (one.counted["easy"] & ~one.counted["medium"]).any()
        assert not (one.counted["medium"] & ~one.counted["hard"]).any()


@pytest.fixture(scope="module")
def streets():
    return [street.draw_street(np.random.default_rng(seed), (128, 416))[1] for seed in range(16)]


def test_streets_have_all_that_kitti_tells_apart(streets):
    types = {str(kind) for one in streets for kind in one.types}
    assert types == {"Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "DontCare"}
    occluded = np.concatenate([one.occluded for one in streets])
    assert {0.0, 1.0, 2.0, -1.0} == set(occluded.tolist())
    truncated = np.concatenate([one.truncated for one in streets])
    assert ((truncated > 0.0) & (truncated <= 0.85)).any()
    cars = np.concatenate([one.boxes[one.types == "Car"] for one in streets])
    width, height = (cars[:, 2:] - cars[:, :2]).T
    assert np.quantile(width / height, 0.9) > 2.0
    assert height.max() > 4 * height.min()
    assert (cars[:, :2] >= 0).all()
    assert (cars[:, 2:] <= (416, 128)).all()


def test_regions_of_streets_do_not_touch(streets):
    for one in streets:
        boxes = one.boxes[one.types == "DontCare"].tolist()
        for k, (x1, y1, x2, y2) in enumerate(boxes):
            for other in boxes[:k]:
                assert x1 > other[2] or other[0] > x2 or y1 > other[3] or other[1] > y2


@pytest.fixture(scope="module")
def crowds():
    return [pedestrians.draw_pedestrians(np.random.default_rng(seed), (192, 384))[1] for seed in range(16)]


def test_pedestrians_have_one_aspect_ratio_and_visible_boxes_within(crowds):
    labels = np.concatenate([one.labels for one in crowds])
    assert {CLASSES[label] for label in set(labels.tolist())} == set(CLASSES) - {"other person"}
    boxes, visible = (np.concatenate([getattr(one, name) for one in crowds]) for name in ("boxes", "visible"))
    upright = (labels == 1) | (labels == 2)
    np.testing.assert_allclose(boxes[upright, 2] / boxes[upright, 3], 0.41)
    inner, outer = visible[:, :2] - boxes[:, :2], (boxes - visible)[:, :2] + (boxes - visible)[:, 2:]
    assert (inner >= -1e-9).all()
    assert (outer >= -1e-9).all()
    share = visible[upright, 2:].prod(axis=1) / boxes[upright, 2:].prod(axis=1)
    assert (share < 0.65).mean() > 0.1
    assert (share > 0.999).mean() > 0.3
    heights = boxes[labels == 1, 3]
    assert heights.min() < 25
    assert heights.max() > 120


def test_a_foot_whose_box_lies_beside_the_picture_is_a_region_to_ignore():
    # One of few scenes in which somebody is so far out.
    _, image = pedestrians.draw_pedestrians(np.random.default_rng([0, 2, 1, 86]), (192, 320))
    assert CLASSES[image.labels[0]] == "ignore region"
    np.testing.assert_array_equal(image.boxes[0], (319.0, 92.0, 1.0, 6.0))
    assert (image.boxes[:, 0] < 320).all()
    assert (image.boxes[:, 0] + image.boxes[:, 2] > 0).all()
    assert (image.visible[:, 2:] > 0).all()


@pytest.fixture(scope="module")
def gatherings():
    return [
        faces.draw_faces(np.random.default_rng(seed), event, (144, 192))[1]
        for seed in range(8)
        for event in faces.EVENTS
    ]


def test_faces_have_all_marks_and_sizes(gatherings):
    counts = [len(one.boxes) for one in gatherings]
    assert min(counts) == 0
    assert max(counts) > 40
    marks = {mark: np.concatenate([one.marks[mark] for one in gatherings]) for mark in gatherings[0].marks}
    assert {mark: sorted(set(values.tolist())) for mark, values in marks.items()} == {
        "blur": [0, 1, 2],
        "expression": [0, 1],
        "illumination": [0, 1],
        "invalid": [0, 1],
        "occlusion": [0, 1, 2],
        "pose": [0, 1],
    }
    boxes = np.concatenate([one.boxes for one in gatherings])
    heights = boxes[marks["invalid"] == 0, 3]
    assert heights.min() < 10
    assert heights.max() > 60
    assert (boxes[:, 2:] > 0).all()


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("streets", {}, "kind: got 'streets', expected one of street, pedestrians, faces"),
        ("street", {"num_val": 0}, r"got num_train=3, num_val=0.*expected at least one picture"),
        ("faces", {"image_size": (64, 400)}, "sides of at least 128 pixels"),
    ],
)
def test_what_cannot_be_drawn_is_told(tmp_path, kind, settings, message):
    settings = {"num_train": 3, "num_val": 4, **settings}
    with pytest.raises(ValueError, match=message):
        draw_scenes(tmp_path / "new", kind, **settings)
    assert not list(tmp_path.iterdir())


def test_the_program_draws_scenes(tmp_path):
    folder = tmp_path / "drawn"
    flags = ["--kind=street", "--num_train=2", "--num_val=1", "--num_test=1", "--height=128", "--width=416"]
    said = subprocess.run(
        [sys.executable, SCRIPT, f"--output={folder}", *flags], capture_output=True, text=True, check=True
    )
    assert said.stdout == (
        f"{folder}: 2 pictures to train on and 1 to validate on, 1 without labels, "
        "classes Car, Pedestrian, Cyclist\n"
    )
    assert (folder / "ImageSets" / "val.txt").read_text() == "000002\n"
