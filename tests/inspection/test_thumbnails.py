from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.examples import Example
from cascade_tf.inspection.selection import Chosen
from cascade_tf.inspection.thumbnails import draw_thumbnail


def chosen(path, size, boxes=(), ignored=(), classes=()) -> Chosen:
    table = np.array(boxes, np.float32).reshape(-1, 4)
    hidden = np.isin(np.arange(len(table)), ignored)
    numbers = np.array(classes, np.int32) if classes else np.ones(len(table), np.int32)
    example = Example(1, str(path), *size, table, numbers, hidden, np.zeros(len(table), bool))
    return Chosen("val", example, ("thing",))


def write(path, size, color=(90, 90, 90), **settings):
    Image.new("RGB", size, color).save(path, **settings)
    return path


@pytest.mark.parametrize(
    ("size", "shown"), [((2000, 1500), (420, 560)), ((1242, 375), (266, 883)), ((4000, 100), (25, 1000))]
)
def test_size(tmp_path, size, shown):
    caption, picture = draw_thumbnail(chosen(write(tmp_path / "a.png", size), size[::-1]))
    assert caption == f"val: a.png, {size[0]} × {size[1]}, 0 objects"
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture.shape[:2], shown, atol=1)


def test_boxes_are_scaled_with_the_picture(tmp_path):
    path = write(tmp_path / "a.png", (1120, 840))
    one = chosen(path, (840, 1120), [(200, 200, 800, 700), (0, 0, 90, 90)], ignored=[1], classes=[1, 0])
    caption, picture = draw_thumbnail(one)
    assert caption.endswith("1 object, 1 ignored (dashed)")
    assert picture.shape == (420, 560, 3)
    changed = np.argwhere((picture != 90).any(axis=2))
    # Frames of 100..400 x 100..350, and dashes of 0..45; the label stands above the box.
    assert changed.min(axis=0).tolist() == [0, 0]
    np.testing.assert_allclose(changed.max(axis=0), (350, 400), atol=4)
    # In the middle of the object nothing is drawn.
    assert (picture[200:300, 200:300] == 90).all()


def test_photos_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / "a.jpg", (300, 200), exif=exif.tobytes())
    # The same file is taken as it is stored where the boxes are those of the stored picture.
    for size in ((300, 200), (200, 300)):
        _, picture = draw_thumbnail(chosen(path, size))
        assert picture.shape == (*size, 3)
