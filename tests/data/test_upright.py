"""Turned photos and formats of other decoders in batches: the upright pixels, and boxes on the right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.images import ImageReader, broken_image_line, foreign_files
from cascade_tf.data.pipeline import eval_batches, train_batches
from cascade_tf.prediction.image_files import read_image
from tests.exif_files import ORIENTATION, corners, orientation_entry, stored_for, tiff, with_exif

UPRIGHT = corners()
HEIGHT, WIDTH = UPRIGHT.shape[:2]
# The yellow corner at the lower right, in the upright picture.
BOX, YELLOW = [16, 8, 16, 8], (250, 250, 10)
GREY_LEVELS = {"JPEG": 4}


def make_dataset(folder, *contents, name="photo", size=(HEIGHT, WIDTH), box=BOX, **settings):
    """A data set of images with one object each; ``size`` None leaves the sizes out of the file."""
    (folder / "images").mkdir(exist_ok=True)
    sides = {} if size is None else {"height": size[0], "width": size[1]}
    right, bottom = box[0] + box[2], box[1] + box[3]
    polygon = [box[0], box[1], right, box[1], right, bottom, box[0], bottom]
    shape = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "segmentation": [polygon]}
    images, annotations = [], []
    for number, content in enumerate(contents, start=1):
        (folder / "images" / f"{number}{name}").write_bytes(content)
        images.append({"id": number, "file_name": f"{number}{name}", **sides})
        annotations.append({"id": number, "image_id": number, "category_id": 1, **shape})
    records = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "corner"}]}
    (folder / "instances_train.json").write_text(json.dumps(records))
    return read_dataset_dir(folder, "train", **settings)


def trained_on(dataset, flip=False, short_side=HEIGHT, num_steps=1, **settings):
    batches = train_batches(
        dataset,
        batch_size=len(dataset.examples),
        short_sides=(short_side,),
        max_side=500,
        flip=flip,
        num_steps=num_steps,
        **settings,
    )
    return list(batches)


def evaluated_on(dataset, **settings):
    size = len(dataset.examples)
    (batch,) = eval_batches(dataset, batch_size=size, short_side=None, max_side=None, **settings)
    return batch


def assert_shows(batch, pixels, atol=0):
    height, width = pixels.shape[:2]
    for size, image in zip(batch.original_size.numpy(), batch.images.numpy(), strict=True):
        assert size.tolist() == [height, width]
        np.testing.assert_allclose(image[:height, :width].astype(int), pixels, atol=atol)


def all_orientations(kind):
    return [
        with_exif(stored_for(UPRIGHT, value), kind, tiff([orientation_entry(value)])) for value in range(1, 9)
    ]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_training_and_evaluation_see_the_upright_picture(tmp_path, kind):
    contents = all_orientations(kind)
    dataset = make_dataset(tmp_path, *contents)
    atol = GREY_LEVELS.get(kind, 0)
    ((seen, targets),) = trained_on(dataset)
    assert_shows(seen, UPRIGHT, atol)
    assert targets.boxes.numpy().tolist() == [[[16, 8, 32, 16]]] * 8
    batch = evaluated_on(dataset)
    assert_shows(batch, UPRIGHT, atol)
    for content, image in zip(contents, batch.images.numpy(), strict=True):
        np.testing.assert_array_equal(read_image(content), image[:HEIGHT, :WIDTH])


def test_boxes_and_masks_lie_on_their_object(tmp_path):
    """At twice the size, mirrored or not: the box holds the yellow corner, and nothing else is yellow."""
    dataset = make_dataset(tmp_path, *all_orientations("PNG"), segmentations=True)
    mirrored = []
    for batch, targets in trained_on(dataset, True, 2 * HEIGHT, num_steps=2, masks=True):
        for image, boxes, masks in zip(batch.images.numpy(), targets.boxes, targets.masks, strict=True):
            x1, y1, x2, y2 = boxes.numpy()[0].astype(int)
            assert (x2 - x1, y2 - y1) == (32, 16)
            # The resize mixes colours in the pixels beside an edge.
            inner = image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            np.testing.assert_array_equal(inner, np.full((14, 30, 3), YELLOW))
            others = image.astype(int)
            others[y1 - 1 : y2, max(x1 - 1, 0) : x2 + 1] = 0
            assert not np.all(np.abs(others - YELLOW) < 20, axis=-1).any()
            mask = np.unpackbits(masks.numpy()[0], axis=-1)[: image.shape[0], : image.shape[1]]
            assert mask[y1:y2, x1:x2].all()
            assert mask.sum() == 32 * 16
            mirrored.append(x1 == 0)
    assert 0 < sum(mirrored) < len(mirrored) == 16


def test_boxes_of_the_stored_picture_are_taken_as_stored(tmp_path):
    """Where only the stored size is the annotated one, the boxes can belong to the stored picture alone."""
    stored = stored_for(UPRIGHT, 6)
    dataset = make_dataset(
        tmp_path,
        with_exif(stored, "PNG", tiff([orientation_entry(6)])),
        size=stored.shape[:2],
        box=[8, 0, 8, 16],
    )
    ((batch, targets),) = trained_on(dataset, short_side=stored.shape[1])
    assert_shows(batch, stored)
    assert_shows(evaluated_on(dataset), stored)
    x1, y1, x2, y2 = targets.boxes.numpy()[0, 0].astype(int)
    np.testing.assert_array_equal(batch.images[0, y1:y2, x1:x2], np.full((16, 8, 3), YELLOW))


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_setting_turns_it_off(tmp_path, orientation):
    stored = stored_for(UPRIGHT, orientation)
    content = with_exif(stored, "PNG", tiff([orientation_entry(orientation)]))
    dataset = make_dataset(tmp_path, content, size=stored.shape[:2], box=[0, 0, 8, 8])
    ((seen, _),) = trained_on(dataset, short_side=min(stored.shape[:2]), upright=False)
    assert_shows(seen, stored)
    assert_shows(evaluated_on(dataset, upright=False), stored)


def test_turned_off_a_quarter_turn_has_another_size(tmp_path):
    stored = stored_for(UPRIGHT, 6)
    dataset = make_dataset(tmp_path, with_exif(stored, "PNG", tiff([orientation_entry(6)])))
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        evaluated_on(dataset, upright=False)
    assert broken_image_line(error.value).endswith("has 16 x 32 pixels, expected 32 x 16 as annotated")


@pytest.mark.parametrize(("upright", "size"), [(True, (16, 32)), (False, (32, 16))])
def test_a_size_that_is_not_given_is_the_upright_one(tmp_path, upright, size):
    content = with_exif(stored_for(UPRIGHT, 8), "JPEG", tiff([orientation_entry(8)]))
    dataset = make_dataset(tmp_path, content, size=None, box=[0, 0, 8, 8], upright=upright)
    assert (dataset.examples[0].height, dataset.examples[0].width) == size


def picture_file(folder, kind):
    path = folder / "source"
    picture = Image.fromarray(UPRIGHT)
    if kind == "two pages":
        picture.save(path, "TIFF", save_all=True, append_images=[picture.rotate(180)])
    elif kind == "animated":
        picture.save(path, "WEBP", lossless=True, save_all=True, append_images=[picture.rotate(180)])
    elif kind == "alpha":
        picture.putalpha(7)
        picture.save(path, "WEBP", lossless=True, exact=True)
    elif kind == "16 bits":
        Image.fromarray(UPRIGHT[..., 0].astype(np.uint16) * 257).save(path, "TIFF")
    elif kind == "turned TIFF":
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        Image.fromarray(np.ascontiguousarray(stored_for(UPRIGHT, 6))).save(path, "TIFF", exif=exif)
    elif kind == "1 bit":
        picture.convert("1").save(path, "BMP")
    else:
        picture.save(path, kind)
    return path.read_bytes()


FOREIGN = {
    # True: the picture's own pixels.
    "TIFF": True,
    "two pages": True,
    "16 bits": False,
    "turned TIFF": True,
    "WEBP": False,
    "animated": True,
    "alpha": True,
    "AVIF": False,
    "JPEG2000": True,
    "PPM": True,
    "1 bit": False,
}


def test_what_pillow_reads_is_trained_and_evaluated_on(tmp_path):
    contents = [picture_file(tmp_path, kind) for kind in FOREIGN]
    # The suffix may lie.
    dataset = make_dataset(tmp_path, *contents, name="photo.jpg")
    ((trained, _),) = trained_on(dataset)
    evaluated = evaluated_on(dataset)
    order = trained.image_id.numpy() - 1
    trained_images = dict(zip(order.tolist(), trained.images.numpy(), strict=True))
    for i, (content, is_exact) in enumerate(zip(contents, FOREIGN.values(), strict=True)):
        expected = read_image(content)
        if is_exact:
            np.testing.assert_array_equal(expected, UPRIGHT)
        np.testing.assert_array_equal(trained_images[i][:HEIGHT, :WIDTH], expected)
        np.testing.assert_array_equal(evaluated.images[i, :HEIGHT, :WIDTH], expected)


def test_python_is_in_the_graph_only_where_a_file_needs_it(tmp_path):
    names = {
        "a.jpg": "JPEG",
        "b.png": "PNG",
        "c.gif": "GIF",
        "d.bmp": "BMP",
        "e.jpg": "TIFF",
        "f.png": "WEBP",
    }
    for name, kind in names.items():
        Image.fromarray(UPRIGHT).save(tmp_path / name, kind)
    paths = [str(tmp_path / name) for name in names]
    assert foreign_files(paths).tolist() == [False, False, False, False, True, True]
    assert foreign_files([str(tmp_path / "gone.jpg"), *paths[:1]]).tolist() == [False, False]
    assert ImageReader(paths, upright=True).needs_python
    assert not ImageReader(paths[:4], upright=True).needs_python


@pytest.mark.parametrize("content", [b"II*\0 and no more", b"RIFF\x10\0\0\0WEBPVP8 ", b"text"])
def test_a_broken_file_of_such_a_format_is_named(tmp_path, content):
    dataset = make_dataset(tmp_path, content, name="photo.tif")
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        evaluated_on(dataset)
    assert "photo.tif cannot be read, expected a complete picture file" in broken_image_line(error.value)
    with pytest.raises(ValueError, match=r"cannot be decoded \(.*\), expected a whole picture file"):
        read_image(content)
