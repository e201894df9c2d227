"""Names of other systems find their pictures, and nothing but theirs."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco
from cascade_tf.data.file_names import ImageFolder

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Grün.jpg") for form in ("NFC", "NFD"))


def files(folder: Path, *names: str) -> ImageFolder:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return ImageFolder(folder)


@pytest.mark.parametrize(
    ("name", "file", "how"),
    [
        ("a.jpg", "a.jpg", ""),
        ("./a.jpg", "a.jpg", ""),
        ("cam\\day 1\\a.jpg", "cam/day 1/a.jpg", "with the path written in another way"),
        ("images/a.jpg", "a.jpg", "by base name"),
        ("images\\a.jpg", "a.jpg", "by base name"),
        (".\\a.jpg", "a.jpg", "with the path written in another way"),
        ("day%201/a%2Bb.jpg", "day 1/a+b.jpg", "by percent encoding"),
        ("C:\\Users\\x\\img\\a.jpg", "a.jpg", "by base name"),
        ("C:a.jpg", "a.jpg", "with the path written in another way"),
        ("/home/x/upload/1/abc-a.jpg", "abc-a.jpg", "by base name"),
        ("../../label-studio/data/media/upload/4/cb0618f6-a.jpg", "cb0618f6-a.jpg", "by base name"),
        ("..\\..\\label-studio\\label-studio\\media\\upload\\4\\cb0618f6-a.jpg", "a.jpg", "upload's prefix"),
        ("images\\4\\cb0618f6-a.jpg", "a.jpg", "without the upload's prefix"),
        ("/data/local-files/?d=set/a%20b.jpg", "a b.jpg", "by percent encoding"),
        ("file:///C:/pictures/a.jpg", "a.jpg", "by base name"),
        ("http://localhost:8080/data/upload/1/a.jpg", "a.jpg", "by base name"),
        ("https://bucket.example/a%20b.jpg?X-Amz-Date=1&x=a/b.png", "a b.jpg", "by percent encoding"),
        ("s3://bucket/folder/a.jpg", "a.jpg", "by base name"),
        ("a.jpg", "a.JPG", "in another case"),
        ("IMG_1.JPG", "img_1.jpg", "in another case"),
        (COMPOSED, DECOMPOSED, "in another Unicode form"),
        (DECOMPOSED, COMPOSED, "in another Unicode form"),
        ("a%20b.jpg", "a%20b.jpg", ""),
    ],
)
def test_a_name_finds_its_file(tmp_path, name, file, how):
    found = files(tmp_path, file, "other/z.jpg").find(name)
    assert found.path == str(tmp_path / file)
    assert how in found.how
    assert bool(found.how) == bool(how)


def test_the_exact_path_wins(tmp_path):
    folder = files(tmp_path, "a.jpg", "A.jpg", "b/a.jpg", "a%20b.jpg", "a b.jpg")
    for name in ("a.jpg", "A.jpg", "b/a.jpg", "a%20b.jpg", "a b.jpg"):
        assert folder.find(name) == (str(tmp_path / name), "", "")


def test_nothing_is_listed_while_names_are_exact(tmp_path, monkeypatch):
    folder = files(tmp_path, "a.jpg")
    monkeypatch.setattr("cascade_tf.data.file_names._walk", lambda root: pytest.fail("listed"))
    assert folder.find("a.jpg").path


def test_the_longer_end_of_a_path_decides(tmp_path):
    folder = files(tmp_path, "cam1/0001.jpg", "cam2/0001.jpg", "cam3/0001.JPG")
    assert folder.find("C:\\x\\cam2\\0001.jpg").path == str(tmp_path / "cam2/0001.jpg")
    assert folder.find("x/CAM3/0001.jpg").path == str(tmp_path / "cam3/0001.JPG")


def test_several_candidates_are_refused_by_name(tmp_path):
    found = files(tmp_path, "cam1/0001.jpg", "cam2/0001.jpg").find("D:\\0001.jpg")
    assert found.path is None
    assert found.fault == (
        "file_name is 'D:\\\\0001.jpg', which may be cam1/0001.jpg or cam2/0001.jpg; expected one"
    )


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname", "..", "/", "x/../../secret.jpg"])
def test_nothing_outside_of_the_folder_is_taken(tmp_path, name):
    (tmp_path / "secret.jpg").write_bytes(b"")
    found = files(tmp_path / "images", "a.jpg").find(name)
    assert found == (None, f"file_name is {name!r}, expected a name inside the image folder", "")


@pytest.mark.parametrize("name", ["b.jpg", "a.png", "a", "\0", "x" * 5000, "?", "http://[x", "%", "\\"])
def test_what_is_not_there_is_said(tmp_path, name):
    found = files(tmp_path, "a.jpg").find(name)
    assert found.path is None
    assert found.fault == f"file_name: no such image file: {tmp_path / name}"


def test_two_names_never_share_a_file_by_likeness(tmp_path):
    folder = files(tmp_path, "cam1/0001.jpg", "b.jpg")
    names = ["cam1/0001.jpg", "cam2/0001.jpg", "x/b.jpg", "x/b.jpg", None]
    exact, taken, first, second, absent = folder.find_all(names)
    assert exact.path == str(tmp_path / "cam1/0001.jpg")
    assert taken.path is None
    assert taken.fault == (
        "file_name: no such image file; cam1/0001.jpg has its name and is that of 'cam1/0001.jpg'"
    )
    assert first.path == second.path == str(tmp_path / "b.jpg")
    assert absent == (None, "", "")


def test_links_to_folders_are_followed_once(tmp_path):
    folder = files(tmp_path / "images", "b.jpg")
    files(tmp_path / "elsewhere", "a.jpg")
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images")
    assert folder.find("C:\\a.jpg").path == str(tmp_path / "images/linked/a.jpg")
    assert folder.find("C:\\b.jpg").path == str(tmp_path / "images/b.jpg")


def test_many_names_are_found_in_one_listing(tmp_path):
    names = [f"{i:05}.jpg" for i in range(5000)]
    folder = files(tmp_path, *names)
    start = time.process_time()
    found = folder.find_all([f"C:\\x\\{name}" for name in names])
    assert time.process_time() - start < 5.0
    assert [file.path for file in found] == [str(tmp_path / name) for name in names]


@pytest.fixture
def export(tmp_path) -> Path:
    """A file written on Windows, with pictures of different sizes."""
    names = ["C:\\Users\\x\\a.png", "images\\sub\\b.png", "c.png"]
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "sub/b.png", "c.png"), start=1):
        Image.new("RGB", (10 * i, 20)).save(tmp_path / "images" / name)
    images = [{"id": i, "file_name": name} for i, name in enumerate(names, start=1)]
    annotations = [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 5 * i, 9]} for i in (1, 2, 3)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_a_file_of_windows_is_read_and_its_names_are_counted(export):
    data = read_coco(export / "instances.json", export / "images")
    found = [(e.path, e.width, e.boxes.tolist()) for e in data.examples]
    assert found == [
        (str(export / "images/a.png"), 10, [[0, 0, 5, 9]]),
        (str(export / "images/sub/b.png"), 20, [[0, 0, 10, 9]]),
        (str(export / "images/c.png"), 30, [[0, 0, 15, 9]]),
    ]
    (note,) = [note for note in data.notes if "file_name" in note]
    assert note.endswith(
        "2 of 3 pictures were found under another name than file_name: 2 by base name; the first is "
        f"'C:\\\\Users\\\\x\\\\a.png', found as a.png in {export / 'images'}"
    )
    assert [image["id"] for image in data.ground_truth()["images"]] == [1, 2, 3]


def test_an_ambiguous_name_stops_with_record_and_field(export):
    (export / "images" / "sub" / "a.png").write_bytes((export / "images" / "a.png").read_bytes())
    with pytest.raises(ValueError, match=r"images\[0\] \(id 1\): file_name is 'C:.*a.png or sub/a.png"):
        read_coco(export / "instances.json", export / "images")
    data = read_coco(export / "instances.json", export / "images", skip_broken=True)
    assert [example.image_id for example in data.examples] == [2, 3]
