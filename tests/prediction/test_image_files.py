import io
import struct
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.data.image_headers import read_header
from cascade_tf.data.picture_files import HEAD_BYTES, is_core_format
from cascade_tf.prediction.image_files import read_image
from tests.exif_files import ORIENTATION, corners, orientation_entry, stored_for, tiff, with_exif

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


UPRIGHT = corners()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = stored_for(UPRIGHT, orientation)
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    path = tmp_path / f"turned.{kind.lower()}"
    Image.fromarray(stored).save(path, exif=exif, **options)
    tolerance = 4 if kind == "AVIF" else 0

    def check(found, expected):
        np.testing.assert_allclose(found.astype(int), expected, atol=tolerance)

    check(read_image(path), UPRIGHT)
    check(read_image(path.read_bytes()), UPRIGHT)
    check(read_image(path, upright=False), stored)
    with Image.open(path) as opened:
        check(read_image(opened), UPRIGHT)
    assert read_header(path).upright_size == UPRIGHT.shape[:2]
    assert read_header(path).size == stored.shape[:2]


def test_a_jpeg_and_its_pil_image_are_turned_alike(tmp_path):
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_exif(stored_for(UPRIGHT, 8), "JPEG", tiff([orientation_entry(8)])))
    found = read_image(path)
    assert found.shape == UPRIGHT.shape
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(opened), found)
    np.testing.assert_array_equal(read_image(path, upright=False), stored_for(found, 8))


def test_a_picture_of_which_only_the_stored_size_is_the_annotated_one_stays(tmp_path):
    path = tmp_path / "turned.png"
    stored = stored_for(UPRIGHT, 6)
    path.write_bytes(with_exif(stored, "PNG", tiff([orientation_entry(6)])))
    np.testing.assert_array_equal(read_image(path, size=stored.shape[:2]), stored)
    np.testing.assert_array_equal(read_image(path, size=UPRIGHT.shape[:2]), UPRIGHT)
    np.testing.assert_array_equal(read_image(path, size=(7, 7)), UPRIGHT)


def test_an_orientation_in_xmp_alone_is_no_exif(tmp_path):
    path = tmp_path / "xmp.webp"
    PICTURE.save(path, lossless=True, xmp=b'<x tiff:Orientation="6"/>')
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(opened), PIXELS)
    np.testing.assert_array_equal(read_image(path), PIXELS)


@pytest.mark.parametrize(
    "exif", [b"II*\0", b"MM\0*\xff\xff\xff\xff", b"nothing", tiff([orientation_entry(9)])]
)
def test_a_broken_exif_is_ignored(tmp_path, exif):
    for kind in ("PNG", "WEBP"):
        path = tmp_path / f"broken.{kind.lower()}"
        path.write_bytes(with_exif(PIXELS, kind, exif))
        np.testing.assert_array_equal(read_image(path), PIXELS)


def test_heic_needs_its_package(tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    missing = mock.patch.dict("sys.modules", {"pillow_heif": None})
    with (
        missing,
        pytest.raises(ValueError, match=r"photo\.heic: .* HEIC, which needs the package pillow-heif"),
    ):
        read_image(path)


def bmp(bits, width, height, pixels, palette=b"", compression=0):
    start = 54 + len(palette)
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + sizes + palette + pixels


def test_bitmaps_that_tensorflow_refuses(tmp_path):
    palette = bytes([0, 0, 0, 0, 10, 20, 30, 0, 50, 60, 70, 0, 255, 128, 1, 0]) + bytes(48)
    content = bmp(4, 4, 1, bytes([0x01, 0x23, 0, 0]), palette)
    colours = [[[0, 0, 0], [30, 20, 10], [70, 60, 50], [1, 128, 255]]]
    np.testing.assert_array_equal(read_image(content), colours)
    assert not is_core_format(content[:HEAD_BYTES])
    one_bit = save(tmp_path, "one.bmp", PICTURE.convert("1"))
    np.testing.assert_array_equal(read_image(one_bit), np.asarray(PICTURE.convert("1").convert("RGB")))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_the_first_page_or_frame_counts(tmp_path, kind):
    path = tmp_path / "many"
    options = {"lossless": True} if kind == "WEBP" else {}
    PICTURE.save(path, kind, save_all=True, append_images=[PICTURE.rotate(180)], **options)
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_alpha_of_a_webp_is_dropped(tmp_path):
    picture = PICTURE.copy()
    picture.putalpha(Image.fromarray(PIXELS[..., 0]))
    path = save(tmp_path, "clear.webp", picture, lossless=True, exact=True)
    np.testing.assert_array_equal(read_image(path), PIXELS)


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
