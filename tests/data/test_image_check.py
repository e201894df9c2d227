"""The check of all pictures of a data set."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.image_check import check_images
from cascade_tf.data.pipeline import eval_batches
from tests.data import small_dataset
from tests.exif_files import orientation_entry, tiff

TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.fixture
def dataset(dataset_dir):
    return read_dataset_dir(dataset_dir, "train")


def cut_off(path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def turn(path) -> None:
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=TURNED)


def test_pictures_in_order_pass_and_are_counted(dataset):
    counts = []
    assert check_images(dataset, progress=counts.append) is dataset
    assert sum(counts) == 5


def test_all_that_fail_are_listed_and_the_message_names_the_remedy(dataset_dir, dataset):
    images = dataset_dir / "images"
    cut_off(images / "a.png")
    (images / "b.png").write_bytes(b"")
    (images / "c.png").unlink()
    Image.fromarray(small_dataset.draw_picture(7, 5)).save(images / "d.png")
    Image.new("F", (30, 60)).save(images / "e.png", "TIFF")
    size = (images / "a.png").stat().st_size
    with pytest.raises(ValueError, match="records are broken") as caught:
        check_images(dataset)
    assert str(caught.value).splitlines() == [
        f"{dataset.annotation_file}: 5 records are broken; skip_broken leaves them out (in programs --set "
        "data.skip_broken=true):",
        f"  image 10: {images / 'a.png'} is cut off ({size} bytes), expected a whole PNG",
        f"  image 11: {images / 'b.png'} is empty",
        f"  image 12: {images / 'c.png'} does not exist",
        f"  image 13: {images / 'd.png'} has 7 x 5 pixels, expected 80 x 40 as annotated",
        f"  image 14: {images / 'e.png'} has floating-point pixels, expected integers",
    ]


def test_formats_that_pillow_decodes_pass(dataset_dir, dataset):
    for name, kind, size in (("a.png", "TIFF", (60, 40)), ("b.png", "WEBP", (64, 48))):
        Image.fromarray(small_dataset.draw_picture(*size)).save(dataset_dir / "images" / name, kind)
    assert check_images(dataset) is dataset


def test_a_heic_without_its_package_is_refused(dataset_dir, dataset):
    file = dataset_dir / "images" / "a.png"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    missing = mock.patch.dict("sys.modules", {"pillow_heif": None})
    with missing, pytest.raises(ValueError, match=r"a\.png is a HEIC, which needs the package pillow-heif"):
        check_images(dataset)


def test_twenty_are_listed_and_the_others_counted(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(150):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"nothing")
    names = [{"id": i, "file_name": f"{i}.jpg", "width": 4, "height": 4} for i in range(150)]
    content = {"images": names, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    small_dataset.write_annotations(tmp_path, content)
    with pytest.raises(ValueError, match="150 records are broken") as caught:
        check_images(read_dataset_dir(tmp_path, "train"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[20].startswith("  image 19: ")
    assert lines[21] == "  ... and 130 more"


def test_those_that_fail_are_left_out_with_their_objects(dataset_dir, dataset):
    cut_off(dataset_dir / "images" / "b.png")
    (dataset_dir / "images" / "d.png").write_bytes(b"nothing")
    checked = check_images(dataset, skip_broken=True)
    assert [example.image_id for example in checked.examples] == [10, 12, 14]
    assert [line.split(":")[0] for line in checked.dropped] == ["image 11", "image 13"]
    truth = checked.ground_truth()
    assert [image["id"] for image in truth["images"]] == [10, 12, 14]
    assert [record["id"] for record in truth["annotations"]] == [1, 4, 5]
    assert (checked.images_in_file, len(dataset.examples)) == (5, 5)


def test_when_none_is_left_nothing_can_be_skipped(dataset_dir, dataset):
    for path in (dataset_dir / "images").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"no usable image is left, expected at least one; 5 were dropped"):
        check_images(dataset, skip_broken=True)


def test_headers_alone_do_not_see_the_end(dataset_dir, dataset):
    cut_off(dataset_dir / "images" / "a.png")
    assert check_images(dataset, "headers") is dataset
    (dataset_dir / "images" / "b.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"b\.png is no picture of a known format"):
        check_images(dataset, "headers")
    assert check_images(dataset, "none") is dataset
    with pytest.raises(ValueError, match="got 'some', expected one of full, headers, none"):
        check_images(dataset, "some")


def test_the_upright_size_is_the_annotated_one(dataset_dir):
    content = small_dataset.content()
    content["images"][0].update(width=40, height=60)
    content["annotations"][0]["bbox"] = [5, 10, 30, 20]
    small_dataset.write_annotations(dataset_dir, content)
    turn(dataset_dir / "images" / "a.png")
    dataset = read_dataset_dir(dataset_dir, "train")
    assert check_images(dataset, upright=True) is dataset
    with pytest.raises(ValueError, match=r"a\.png has 60 x 40 pixels, expected 40 x 60 as annotated"):
        check_images(dataset, upright=False)


def test_stored_sizes_are_taken_as_stored_and_that_is_said_once(dataset_dir, dataset, caplog):
    for name in ("a.png", "c.png"):
        turn(dataset_dir / "images" / name)
    with caplog.at_level("INFO", logger="absl"):
        assert check_images(dataset, upright=True) is dataset
    (line,) = [record.message for record in caplog.records]
    assert "the annotated size of 2 of 5 images is that of the pixels as they are stored" in line
    caplog.clear()
    assert check_images(dataset, upright=False) is dataset
    assert not caplog.records


def test_a_half_turn_has_the_same_size_and_needs_no_word(dataset_dir, dataset, caplog):
    with Image.open(dataset_dir / "images" / "a.png") as image:
        image.load()
    exif = Image.Exif()
    exif[0x0112] = 3
    image.save(dataset_dir / "images" / "a.png", exif=exif)
    with caplog.at_level("INFO", logger="absl"):
        assert check_images(dataset, upright=True) is dataset
    assert not caplog.records


def test_thousands_are_looked_at_in_parallel_and_in_order(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros([4, 6, 3], np.uint8)).save(tmp_path / "images" / "a.png")
    names = [{"id": i, "file_name": "a.png", "width": 6, "height": 4 + (i % 700 == 0)} for i in range(1500)]
    content = {"images": names, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="3 records are broken") as caught:
        check_images(read_dataset_dir(tmp_path, "train"))
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "image 0",
        "image 700",
        "image 1400",
    ]


def test_a_file_whose_name_is_no_utf8_is_checked_and_read(dataset_dir):
    name = os.fsdecode(b"caf\xe9.png")
    (dataset_dir / "images" / "a.png").rename(dataset_dir / "images" / name)
    content = small_dataset.content()
    content["images"][0]["file_name"] = name
    small_dataset.write_annotations(dataset_dir, content)
    dataset = check_images(read_dataset_dir(dataset_dir, "train"))
    batch = next(iter(eval_batches(dataset, batch_size=1, short_side=None, max_side=None)))
    assert batch.image_id.numpy().tolist() == [10]
    assert batch.original_size.numpy().tolist() == [[40, 60]]


def test_headers_alone_find_an_orientation_behind_the_pixels(dataset_dir):
    content = small_dataset.content()
    content["images"][0].update(width=40, height=60)
    content["annotations"][0]["bbox"] = [5, 10, 30, 20]
    small_dataset.write_annotations(dataset_dir, content)
    file = dataset_dir / "images" / "a.png"
    pixels, exif = file.read_bytes(), b"eXIf" + tiff([orientation_entry(6)])
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    file.write_bytes(pixels[:-12] + chunk + pixels[-12:])
    dataset = read_dataset_dir(dataset_dir, "train")
    assert check_images(dataset, "headers") is dataset
    with pytest.raises(ValueError, match=r"a\.png has 60 x 40 pixels, expected 40 x 60 as annotated"):
        check_images(dataset, "headers", upright=False)


def test_threads_that_ask_pillow_leave_warnings_as_they_were(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros([4, 6, 3], np.uint8)).save(tmp_path / "images" / "a.tif")
    images = [{"id": i, "file_name": "a.tif", "width": 6, "height": 4} for i in range(3000)]
    annotations = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 3, 3]}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    before = list(warnings.filters)
    check_images(read_dataset_dir(tmp_path, "train"))
    assert warnings.filters == before
