"""Headers of pictures: sizes, orientations, and files that end too early or too late."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cascade_tf.data.exif import read_orientation
from cascade_tf.data.image_headers import ImageHeader, read_header
from cascade_tf.ops.decode import decode_image

PIXELS = np.random.default_rng(0).integers(0, 256, [40, 60, 3], np.uint8)
FORMATS = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}


def encoded(name: str, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, name, **options)
    return content.getvalue()


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


@pytest.fixture
def look(tmp_path):
    def read(content: bytes, **options: object) -> ImageHeader:
        (tmp_path / "picture").write_bytes(content)
        return read_header(tmp_path / "picture", **options)

    return read


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_picture_of_each_format(look, name):
    assert look(encoded(name)) == ImageHeader(name, 60, 40, 1, True)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.95, 0.6])
def test_a_picture_that_is_cut_off_is_not_whole(look, name, share):
    content = encoded(name)
    cut = content[: int(len(content) * share)]
    assert look(cut) == ImageHeader(name, 60, 40, 1, False)
    assert look(cut, end=False).whole


def test_pillow_reads_a_webp_as_a_whole(look):
    with pytest.raises(ValueError, match="cannot be decoded"):
        look(encoded("WEBP")[:-20])


def test_a_tiff_whose_pixels_are_said_to_lie_behind_its_end(look):
    content = encoded("TIFF", compression="raw")
    with Image.open(io.BytesIO(content)) as image:
        entry = struct.pack("<HHII", 273, 4, 1, image.tag_v2[273][0])
    assert content.count(entry) == 1
    behind = content.replace(entry, struct.pack("<HHII", 273, 4, 1, len(content) - 100))
    assert look(content) == ImageHeader("TIFF", 60, 40)
    assert look(behind) == ImageHeader("TIFF", 60, 40, 1, False)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_orientation_swaps_the_sides(look, name, number):
    header = look(encoded(name, exif=with_orientation(number)))
    assert header.size == (40, 60)
    assert header.orientation == number
    assert header.upright_size == ((60, 40) if number >= 5 else (40, 60))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", [0, 1, 6, 8, 9])
def test_both_byte_orders_and_numbers_that_mean_nothing(order, number):
    begin = b"II*\0" if order == "<" else b"MM\0*"
    exif = begin + struct.pack(f"{order}IHHHIHH", 8, 1, 0x0112, 3, 1, number, 0)
    assert read_orientation(exif) == (number if 1 <= number <= 8 else 1)
    for length in range(len(exif)):
        assert read_orientation(exif[:length]) == 1


def test_orientation_of_another_type_is_ignored():
    assert read_orientation(b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 2, 1, 6, 0)) == 1
    assert read_orientation(b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 2, 6, 0)) == 1
    assert read_orientation(b"MM\0*" + struct.pack(">IHHHIHH", 2**32 - 1, 1, 0x0112, 3, 2, 6, 0)) == 1


def test_an_orientation_behind_the_pixels_of_a_png(look):
    exif = b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    content = encoded("PNG")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + b"\0\0\0\0"
    assert look(content[:-12] + chunk + content[-12:]).orientation == 6


@pytest.mark.parametrize("tail", [b"\0" * 10_000, b"\xff" * 10, b"film" * 50_000, encoded("JPEG")])
def test_what_follows_the_end_of_a_jpeg_does_not_matter(look, tail):
    assert look(encoded("JPEG") + tail).whole
    # An end that is missing is not replaced by what follows, unless that has an end of its own.
    if b"\xff\xd9" not in tail:
        assert not look(encoded("JPEG")[:-2] + tail).whole


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture(look):
    thumbnail = encoded("JPEG", quality=10)
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = encoded("JPEG")
    content = content[:2] + segment + content[2:]
    assert look(content) == ImageHeader("JPEG", 60, 40)
    assert not look(content[:-2]).whole
    with pytest.raises(ValueError, match="is cut off in its header"):
        look(content[: 2 + len(segment)])


def test_a_film_behind_a_png_and_a_progressive_jpeg(look):
    assert look(encoded("PNG") + b"film").whole
    assert look(encoded("JPEG", progressive=True)) == ImageHeader("JPEG", 60, 40)


def test_two_pictures_in_a_file(look):
    content = io.BytesIO()
    first, second = Image.fromarray(PIXELS), Image.fromarray(PIXELS[:20])
    first.save(content, "MPO", save_all=True, append_images=[second])
    assert look(content.getvalue()) == ImageHeader("JPEG", 60, 40)


def test_a_header_longer_than_what_is_read_at_first(look):
    comment = b"\xff\xfe" + (65_000).to_bytes(2, "big") + b" " * 64_998
    content = encoded("JPEG")
    assert look(content[:2] + 5 * comment + content[2:]) == ImageHeader("JPEG", 60, 40)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "is no picture of a known format"),
        (b"\xff\xd8\xff", "is cut off in its header"),
        (b"\xff\xd8\xff\xe0\0\0\0\0", "is a JPEG with a broken header"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG with a broken header"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI\0\0\0\0\0\0\0\0", "is a PNG with a broken header"),
        (encoded("JPEG").replace(b"\xff\xc0", b"\xff\xc3"), "is a lossless JPEG, which cannot be decoded"),
        (encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "is a JPEG of 12 bits"),
        (encoded("JPEG").replace(b"\0\x11\x08\0\x28", b"\0\x11\x08\0\0"), "is a JPEG of 60 x 0 pixels"),
        (encoded("PNG")[:16] + b"\0\1\0\0\0\1\0\0" + encoded("PNG")[24:], "has 65536 x 65536 pixels"),
    ],
)
def test_what_is_no_picture(look, content, message):
    with pytest.raises(ValueError, match=message):
        look(content)


def test_floating_point_pixels_have_no_decoder(tmp_path):
    Image.fromarray(np.zeros([4, 5], np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(ValueError, match="has floating-point pixels, expected integers"):
        read_header(tmp_path / "depth.tif")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_blocks": 3}),
        ("JPEG", {"exif": with_orientation(6), "comment": b"holiday"}),
        ("PNG", {}),
        ("PNG", {"exif": with_orientation(6)}),
        ("BMP", {}),
    ],
)
def test_a_file_that_is_cut_off_anywhere_is_refused_where_the_decoder_refuses_it(look, name, options):
    content = encoded(name, **options)
    for length in {*range(0, len(content), 97), *range(len(content) - 16, len(content) + 1)}:
        try:
            decode_image(tf.constant(content[:length]))
            decodes = True
        except tf.errors.InvalidArgumentError:
            decodes = False
        try:
            accepted = look(content[:length]).whole
        except ValueError:
            accepted = False
        # The last bytes of a PNG are a checksum, without which some decoders do.
        if not (name == "PNG" and length > len(content) - 16):
            assert accepted == decodes, length
        assert decodes or not accepted, length


def test_bytes_between_the_segments_of_a_jpeg(look):
    content = encoded("JPEG")
    content = content[:20] + b"\0\1\2\xff\xff" + content[20:]
    assert decode_image(tf.constant(content)).shape == (40, 60, 3)
    assert look(content) == ImageHeader("JPEG", 60, 40)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "nothing.jpg")
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        read_header(tmp_path)


def test_an_orientation_in_xmp_alone_does_not_count(look):
    """Neither decoder looks there, and the sides are those of the pixels."""
    tags = ImageFileDirectory_v2()
    tags.tagtype[700] = TiffTags.BYTE
    tags[700] = b'<rdf:Description tiff:Orientation="6"/>'
    assert look(encoded("TIFF", tiffinfo=tags)) == ImageHeader("TIFF", 60, 40, 1, True)


def test_what_a_decoder_does_not_implement_is_told(look):
    """Pillow raises a NotImplementedError here, and RuntimeErrors on broken AVIF files."""
    content = bytearray(encoded("DDS"))
    content[80:84] = struct.pack("<I", 128)  # flags of the pixels' format
    with pytest.raises(ValueError, match=r"cannot be decoded \(Unknown pixel format flags 128"):
        look(bytes(content))
