"""Damaged pictures and label files: each is read or refused by name, and nothing else comes into training."""

from __future__ import annotations

import functools
import io
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data import images
from cascade_tf.data.coco import read_coco
from cascade_tf.data.image_check import check_images
from cascade_tf.data.pipeline import train_batches
from cascade_tf.prediction.image_files import read_image
from tests.data.small_dataset import content_with_masks, write_annotations, write_pictures
from tests.data.sources import tool_samples
from tests.data.sources.test_hostile_tools import read
from tests.exif_files import orientation_entry, tiff, with_exif
from tests.mutations import mutated, mutated_text

WIDTH, HEIGHT = 40, 30
NUMBER = 500
BATCH = 4


def encoded(mode="RGB", kind="PNG", **settings):
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    image = rgb.convert("L").convert("I;16") if mode == "I;16" else rgb.convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


@functools.cache
def originals():
    """JPEG and PNG twice as often as what is rare among pictures to learn from."""
    pixels = np.asarray(Image.open(io.BytesIO(encoded())))
    upside_down = tiff([orientation_entry(3)])
    jpegs = [
        encoded(kind="JPEG"),
        encoded("L", "JPEG"),
        encoded("CMYK", "JPEG"),
        encoded(kind="JPEG", progressive=True),
        with_exif(pixels, "JPEG", upside_down),
    ]
    pngs = [encoded(), encoded("P"), encoded("RGBA"), encoded("I;16"), with_exif(pixels, "PNG", upside_down)]
    return [*jpegs, *pngs] * 2 + [encoded(kind=kind) for kind in ("GIF", "BMP", "WEBP", "TIFF")]


@functools.cache
def damaged():
    found = []
    for number in range(NUMBER):
        rng = np.random.default_rng([4, number])
        found.append(mutated(originals()[number % len(originals())], rng))
    return found


@pytest.fixture(scope="module")
def pictures():
    """What `read_image` makes of each damaged file; None where it refuses it."""
    return [read_or_refused(content) for content in damaged()]


def read_or_refused(content):
    try:
        return read_image(content)
    except ValueError as error:
        message = str(error)
    assert message.startswith("image bytes: cannot be decoded (")
    assert len(message) < 500
    return None


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A data set of the damaged files, each with one object."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "images").mkdir()
    records, objects = [], []
    for number, content in enumerate(damaged()):
        name = f"{number:03}.img"
        (folder / "images" / name).write_bytes(content)
        records.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        objects.append({"id": number + 1, "image_id": number, "category_id": 1, "bbox": [5, 6, 20, 15]})
        objects[-1] |= {"area": 300, "iscrowd": 0}
    content = {"images": records, "annotations": objects, "categories": [{"id": 1, "name": "x"}]}
    return read_coco(write_annotations(folder, content), folder / "images")


def test_a_damaged_picture_is_read_or_refused(pictures):
    read_at_all = [picture for picture in pictures if picture is not None]
    for picture in read_at_all:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert 0 not in picture.shape
    # Damage to pixels is not seen, damage to what surrounds them is.
    assert 0.15 * NUMBER < len(read_at_all) < 0.7 * NUMBER


def test_what_is_checked_before_is_named(dataset, pictures):
    checked = check_images(dataset, skip_broken=True)
    left = {example.image_id for example in checked.examples}
    assert len(checked.dropped) == NUMBER - len(left)
    for line in checked.dropped:
        assert ".img" in line
        assert "\n" not in line
    whole = {number for number, picture in enumerate(pictures) if picture is not None}
    whole = {number for number in whole if pictures[number].shape[:2] == (HEIGHT, WIDTH)}
    # Without decoding most of the broken ones are found, and some that a decoder reads in spite of their end.
    assert len(left - whole) < 0.3 * NUMBER
    assert len(whole - left) < 0.1 * NUMBER


def test_nothing_else_comes_into_training(dataset, pictures):
    steps = NUMBER // BATCH
    settings = {"batch_size": BATCH, "short_sides": (24,), "max_side": 48, "num_steps": steps}
    with mock.patch.object(images.logging, "warning") as warning:
        batches = list(train_batches(dataset, skip_broken=True, **settings).as_numpy_iterator())
    assert len(batches) == steps
    fits = {
        number for number, one in enumerate(pictures) if one is not None and one.shape[:2] == (HEIGHT, WIDTH)
    }
    seen = set()
    for batch, targets in batches:
        seen |= set(batch.image_id.tolist())
        assert np.all(batch.original_size == [HEIGHT, WIDTH])
        assert np.all(batch.image_size == [24, 32])
        assert np.isfinite(targets.boxes).all()
        assert targets.valid.all()
        assert (targets.boxes >= 0).all()
        assert (targets.boxes[..., 2:] <= batch.image_size[:, None, ::-1]).all()
        assert (targets.classes == 1).all()
    assert seen == fits
    named = {int(call.args[2].rsplit("/", 1)[1][:3]) for call in warning.call_args_list}
    assert named == set(range(NUMBER)) - fits


FORMATS = {**tool_samples.WHOLE, "COCO": ("coco", None)}


@pytest.mark.parametrize("tool", FORMATS)
def test_damaged_labels_are_read_or_refused(tool, tmp_path):
    layout, tree = FORMATS[tool]
    if tree is None:
        write_pictures(tmp_path / "images")
        files, number = [write_annotations(tmp_path, content_with_masks())], 200
    else:
        tool_samples.write(tmp_path, tree())
        pictures = (".jpg", ".png")
        files = [
            file for file in sorted(tmp_path.rglob("*")) if file.is_file() and file.suffix not in pictures
        ]
        number = 25
    whole = [file.read_bytes() for file in files]
    read_at_all = 0
    for mutation in range(number):
        rng = np.random.default_rng([5, mutation])
        place = int(rng.integers(0, len(files)))
        files[place].write_bytes(mutated_text(whole[place], rng))
        read_at_all += read(
            tmp_path, layout, skip_broken=bool(mutation % 2), split="train" if tree is None else "all"
        )
        files[place].write_bytes(whole[place])
    assert 0 < read_at_all < number
