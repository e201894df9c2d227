import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.image_files import read_image

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 20, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def save(folder, name, image=PICTURE, **options):
    path = folder / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff"])
def test_files_of_lossless_formats(tmp_path, name):
    np.testing.assert_array_equal(read_image(save(tmp_path, name)), PIXELS)


def test_a_path_may_be_text_and_its_suffix_may_lie(tmp_path):
    path = tmp_path / "no_suffix"
    PICTURE.save(path, "PNG")
    np.testing.assert_array_equal(read_image(str(path)), PIXELS)


def test_the_bytes_of_a_file():
    stream = io.BytesIO()
    PICTURE.save(stream, "WEBP", lossless=True)
    np.testing.assert_array_equal(read_image(stream.getvalue()), PIXELS)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path, name):
    values = np.array([[0, 255, 256], [4660, 43981, 65535]], np.uint16)
    found = read_image(save(tmp_path, name, Image.fromarray(values)))
    np.testing.assert_array_equal(found[..., 2], [[0, 0, 1], [18, 171, 255]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pil_images_of_every_mode(mode):
    image = PICTURE.convert("L").convert("PA") if mode == "PA" else PICTURE.convert(mode)
    found = read_image(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(
        found, np.asarray(image.convert("RGBA" if mode == "PA" else "RGB"))[..., :3]
    )


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = PICTURE.convert("P")
    path = save(tmp_path, "clear.gif", image, transparency=0)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(opened), read_image(path))


def test_exif_orientation_is_ignored_in_files_and_pil_images(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    for name in ("turned.jpg", "turned.webp"):
        path = save(tmp_path, name, exif=exif)
        assert read_image(path).shape == PIXELS.shape
        with Image.open(path) as opened:
            assert read_image(opened).shape == PIXELS.shape


@pytest.mark.parametrize("shape", [(12, 20), (12, 20, 1), (12, 20, 3), (12, 20, 4)])
def test_arrays(shape):
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    colours = np.broadcast_to(values.reshape(12, 20, -1)[..., :3], (12, 20, 3))
    np.testing.assert_array_equal(read_image(values), colours)
    np.testing.assert_array_equal(read_image(tf.constant(values)), colours)
    np.testing.assert_array_equal(read_image(values.astype(np.uint16) * 256 + 17), colours)


@pytest.mark.parametrize("values", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.int64)])
def test_arrays_of_unclear_range_are_refused(values):
    with pytest.raises(TypeError, match=rf"got {values.dtype}, expected uint8 in 0..255"):
        read_image(values)


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2), (0, 4, 3), (2, 4, 4, 3)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[H, W, 3\]"):
        read_image(np.zeros(shape, np.uint8))


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="got int, expected a path"):
        read_image(7)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: got no such file"):
        read_image(tmp_path / "gone.jpg")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.tiff", "cut.bmp", "cut.gif"])
def test_a_truncated_file_is_named_in_one_line(tmp_path, name):
    path = save(tmp_path, name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"{name}: cannot be decoded") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff", b"BM"])
def test_files_that_are_no_images_are_named(tmp_path, content):
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.jpg: cannot be decoded"):
        read_image(path)
