"""What stands for images: one by one, in order, and a line where nothing does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_tf.prediction.image_lists import SUB_FOLDERS, each_image, find_images


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", "sub/c.jpg", "sub/deep/d.tif", "x[1].jpg", "README"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path / "photos"


def names(paths):
    return [path.name for path in paths]


def test_a_folder_has_its_images_in_order(photos):
    found = find_images(photos)
    assert names(found.paths) == ["a.PNG", "b.jpg", "x[1].jpg"]
    assert found.left_out == Counter({".txt": 1, "without a suffix": 1, SUB_FOLDERS: 1})
    deep = find_images(str(photos), recursive=True)
    assert sorted(names(deep.paths)) == ["a.PNG", "b.jpg", "c.jpg", "d.tif", "x[1].jpg"]
    assert deep.left_out == Counter({".txt": 1, "without a suffix": 1})


def test_files_and_patterns(photos):
    assert names(find_images(photos / "notes.txt").paths) == ["notes.txt"]
    assert names(find_images(photos / "*.jpg").paths) == ["b.jpg", "x[1].jpg"]
    assert names(find_images(f"{photos}/**/*.jpg").paths) == ["b.jpg", "c.jpg", "x[1].jpg"]
    # A name that exists is no pattern.
    assert names(find_images(photos / "x[1].jpg").paths) == ["x[1].jpg"]
    assert find_images(photos / "*.gif").paths == ()
    assert find_images(photos / "su*").paths == ()


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_lists_mix_files_folders_and_patterns(photos, kind):
    mixed = kind([photos / "sub", str(photos / "b.jpg"), f"{photos}/*.PNG", b"content"])
    *files, content = each_image(mixed)
    assert (names(files), content) == (["c.jpg", "b.jpg", "a.PNG"], b"content")
    assert names(each_image(str(photos))) == ["a.PNG", "b.jpg", "x[1].jpg"]


def test_images_that_are_no_files():
    array, picture = np.zeros((4, 5, 3), np.uint8), Image.new("RGB", (5, 4))
    assert [image.shape for image in each_image(array)] == [(4, 5, 3)]
    assert [image.shape for image in each_image(np.zeros((4, 5), np.uint8))] == [(4, 5)]
    assert [image.shape for image in each_image(np.zeros((2, 4, 5, 3), np.uint8))] == [(4, 5, 3)] * 2
    assert list(each_image(picture)) == [picture]
    assert list(each_image(b"content")) == [b"content"]
    assert list(each_image([picture, b"content"])) == [picture, b"content"]
    assert list(each_image(picture for _ in range(2))) == [picture, picture]
    assert list(each_image([])) == []


def test_images_are_asked_for_one_by_one():
    asked = []
    images = each_image(asked.append(number) or bytes([number]) for number in range(3))
    next(images)
    assert asked == [0]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            "empty",
            ValueError,
            "image empty: got a folder without images, expected files such as .jpg",
        ),
        ("above", ValueError, r"without images, .*; 'above/\*\*/\*.jpg' looks into sub-folders"),
        ("none.jpg", FileNotFoundError, "image none.jpg: got no such file"),
        (Path("none.jpg"), FileNotFoundError, "image none.jpg: got no such file"),
        ("*.png", FileNotFoundError, r"image \*.png: got no file that matches"),
        (["empty"], ValueError, "image empty: got a folder without images"),
        (5, TypeError, "images: got int, expected an image"),
        (None, TypeError, "images: got NoneType, expected an image"),
        ({"a": 1}, TypeError, "images: got dict, expected an image"),
    ],
)
def test_what_stands_for_nothing(tmp_path, monkeypatch, images, error, message):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("above/sub").mkdir(parents=True)
    with pytest.raises(error, match=message) as raised:
        list(each_image(images))
    assert "\n" not in str(raised.value)
