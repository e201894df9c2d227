import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.ops.decode import decode_image
from tests.exif_files import corners, orientation_entry, stored_for, tiff, with_exif

# Two libraries convert YCCK with other roundings.
CMYK_TOLERANCE = 3
# Of blocks of one colour, without subsampling.
JPEG_TOLERANCE = 4
PIXELS = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
PICTURE = Image.fromarray(np.repeat(np.repeat(PIXELS, 8, axis=0), 8, axis=1))


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_lossless_formats_give_the_pixels_that_pillow_reads(kind, mode):
    content = encode(PICTURE.convert(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(content), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg(mode):
    content = encode(PICTURE.convert(mode), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    tolerance = CMYK_TOLERANCE if mode == "CMYK" else 0
    np.testing.assert_allclose(decode_image(content).numpy().astype(int), expected, atol=tolerance)


def test_a_short_palette_of_a_bmp_is_looked_up():
    image = Image.new("P", (3, 2))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1, 0, 1, 1, 0])
    dark, light = [10, 20, 30], [200, 100, 50]
    expected = [[dark, light, dark], [light, light, dark]]
    np.testing.assert_array_equal(decode_image(encode(image, "BMP")), expected)


def test_alpha_is_dropped():
    alpha = Image.fromarray(np.full((160, 240), 40, np.uint8))
    transparent = PICTURE.copy()
    transparent.putalpha(alpha)
    np.testing.assert_array_equal(decode_image(encode(transparent, "PNG")), np.asarray(PICTURE))


def test_sixteen_bits_keep_the_upper_eight():
    values = np.array([[0, 255, 256], [4660, 43981, 65535]], np.uint16)
    decoded = decode_image(encode(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(decoded[..., 0], [[0, 0, 1], [18, 171, 255]])


def test_the_first_frame_of_an_animation_counts():
    content = encode(
        PICTURE.convert("L"), "GIF", save_all=True, append_images=[PICTURE.convert("L").rotate(90)]
    )
    np.testing.assert_array_equal(decode_image(content)[..., 0], PICTURE.convert("L"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(kind, orientation):
    upright = corners()
    stored = stored_for(upright, orientation)
    content = with_exif(stored, kind, tiff([orientation_entry(orientation)]))
    decoded, kept = decode_image(content), decode_image(content, upright=False)
    tolerance = JPEG_TOLERANCE if kind == "JPEG" else 0
    np.testing.assert_allclose(decoded.numpy().astype(int), upright, atol=tolerance)
    np.testing.assert_allclose(kept.numpy().astype(int), stored, atol=tolerance)


def test_webp():
    content = encode(PICTURE, "WEBP", quality=80)
    np.testing.assert_array_equal(decode_image(content), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("kind", ["animation", "alpha"])
def test_other_webp_is_refused(kind):
    other = PICTURE.rotate(180)
    if kind == "alpha":
        other.putalpha(Image.fromarray(PIXELS[..., 0]).resize(other.size))
        content = encode(other, "WEBP")
    else:
        content = encode(PICTURE, "WEBP", save_all=True, append_images=[other])
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(content)


def test_decodes_inside_a_graph_with_a_dynamic_shape():
    function = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])
    assert function.get_concrete_function().output_shapes.as_list() == [None, None, 3]
    np.testing.assert_array_equal(function(tf.constant(encode(PICTURE, "PNG"))), np.asarray(PICTURE))


@pytest.mark.parametrize(
    "content",
    [b"", b"BM", b"no image at all", encode(PICTURE, "JPEG")[:-900], encode(PICTURE, "PNG")[:-50]],
    ids=["empty", "header only", "text", "truncated JPEG", "truncated PNG"],
)
def test_broken_data_is_refused(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_images_with_too_many_pixels_are_refused(kind):
    content = tf.constant(encode(Image.fromarray(PIXELS), kind))
    np.testing.assert_array_equal(decode_image(content, max_pixels=600), decode_image(content))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image: got.*600.*at most.*599"):
        decode_image(content, max_pixels=599)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_vast_images_are_refused_before_they_are_decoded(kind):
    """The rest of the file is missing, which the decoder would complain of."""
    content, size = encode(Image.fromarray(PIXELS), kind), (">HH" if kind == "JPEG" else ">II")
    place = content.index(b"\xff\xc0") + 5 if kind == "JPEG" else 16
    vast = content[:place] + struct.pack(size, 9000, 9000) + content[place + struct.calcsize(size) :]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image: got.*81000000"):
        decode_image(tf.constant(vast[:-50]), max_pixels=80_000_000)
