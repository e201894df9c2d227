from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco
from cascade_tf.inspection.pictures import find_duplicates, find_faults
from tests.data.small_dataset import content, write_annotations, write_pictures


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "images")
    write_annotations(tmp_path, content())
    return tmp_path


def broken(folder, level):
    dataset = read_coco(folder / "instances_train.json")
    counts = []
    found = find_faults(dataset, level, progress=counts.append).broken
    assert level == "none" or sum(counts) == 5
    return found


def damage_in_the_middle(path) -> None:
    """A PNG whose header and end are whole and whose pixels are not."""
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 8
    data[start : start + 10] = bytes(10)
    path.write_bytes(data)


@pytest.mark.parametrize("level", ["decode", "full", "headers", "none"])
def test_nothing_is_broken(folder, level):
    assert broken(folder, level) == {}


@pytest.mark.parametrize(("level", "found"), [("decode", True), ("full", False), ("headers", False)])
def test_only_decoding_finds_damaged_pixels(folder, level, found):
    damage_in_the_middle(folder / "images" / "c.png")
    assert set(broken(folder, level)) == ({12} if found else set())


def test_lines_name_image_file_and_fault(folder):
    picture = folder / "images" / "a.png"
    picture.write_text("Once upon a time")
    (folder / "images" / "b.png").write_bytes((folder / "images" / "b.png").read_bytes()[:-20])
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "images" / "d.png")
    damage_in_the_middle(folder / "images" / "e.png")
    found = broken(folder, "decode")
    assert found[10] == f"image 10: {picture} is no picture of a known format"
    assert "b.png is cut off" in found[11]
    assert found[13].endswith("d.png has 9 x 9 pixels, expected 80 x 40 as annotated")
    assert "e.png cannot be decoded (" in found[14]


@pytest.mark.parametrize(("upright", "count"), [(True, 1), (False, 0)])
def test_pictures_that_are_annotated_as_they_are_stored(folder, upright, count):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(folder / "images" / "a.png", exif=exif)
    found = find_faults(read_coco(folder / "instances_train.json"), upright=upright)
    assert found == ({}, count)


def test_a_level_that_does_not_exist(folder):
    with pytest.raises(ValueError, match="level: got 'deep', expected one of decode, full, headers, none"):
        broken(folder, "deep")


def test_duplicates_have_the_same_bytes(tmp_path):
    files = {"a": b"one", "b": b"two", "c": b"one", "d": b"three", "e": b"six"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    counts = []
    paths = {
        "train": [str(tmp_path / name) for name in "ab"],
        "val": [str(tmp_path / name) for name in "cdex"],
    }
    found = find_duplicates(paths, counts.append)
    assert found == [[("train", str(tmp_path / "a")), ("val", str(tmp_path / "c"))]]
    # One file does not exist.
    assert sum(counts) == 5


def test_one_file_in_two_splits(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    path = str(tmp_path / "a")
    assert find_duplicates({"train": [path], "val": [path]}) == [[("train", path), ("val", path)]]
