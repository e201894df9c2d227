"""The orientation out of the bytes of a file, against a plain reader and against Pillow, and the turn."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.ops import orientation as orientation_module
from cascade_tf.ops.orientation import orientation_of, turn_upright, upright_size
from tests.exif_files import (
    ASCII,
    LONG,
    ORIENTATION,
    SHORT,
    chunk,
    corners,
    orientation_entry,
    plain_orientation,
    segment,
    stored_for,
    tiff,
    webp_with,
    with_exif,
)

PIXELS = corners()
KINDS = ("JPEG", "PNG", "WEBP")
ORDERS = ("<", ">")
MAKER = (0x010F, ASCII, 4, b"abc\0")


@pytest.fixture(scope="module")
def read():
    function = tf.function(orientation_of, input_signature=[tf.TensorSpec([], tf.string)])
    return lambda content: int(function(tf.constant(content)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("value", range(1, 9))
def test_all_orientations_in_both_orders_of_bytes(read, kind, order, value):
    exif = tiff([MAKER, orientation_entry(value, order), MAKER], order)
    assert read(with_exif(PIXELS, kind, exif)) == value


@pytest.mark.parametrize("kind", [*KINDS, "BMP", "GIF"])
def test_a_file_without_exif_has_none(read, kind):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    assert read(stream.getvalue()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_pillow_writes(read, kind):
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x0131], exif[0x8769] = 6, "software", {0x9003: "2024:01:01 10:00:00"}
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind, exif=exif)
    assert read(stream.getvalue()) == 6


BLOCK = tiff([orientation_entry(6)])


def jpeg_with(*parts):
    content = with_exif(PIXELS, "JPEG", None)
    return content[:2] + b"".join(parts) + content[2:]


def png_with(before, behind=b""):
    content = with_exif(PIXELS, "PNG", None)
    return content[:33] + before + content[33:-12] + behind + content[-12:]


PLACES = {
    "behind another APP1": jpeg_with(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), segment(0xE1, b"Exif\0\0" + BLOCK)
    ),
    "behind 60 kB": jpeg_with(segment(0xE2, bytes(60_000)), segment(0xE1, b"Exif\0\0" + BLOCK)),
    "behind fill bytes": jpeg_with(b"\xff\xff\xff" + segment(0xE1, b"Exif\0\0" + BLOCK)),
    "of two the first": jpeg_with(
        segment(0xE1, b"Exif\0\0" + BLOCK), segment(0xE1, b"Exif\0\0" + tiff([orientation_entry(3)]))
    ),
    "signature twice": jpeg_with(segment(0xE1, b"Exif\0\0Exif\0\0" + BLOCK)),
    "in front of the pixels": png_with(chunk(b"tEXt", b"a\0b") + chunk(b"eXIf", BLOCK)),
    "behind the pixels": png_with(b"", chunk(b"eXIf", BLOCK)),
    "PNG with a signature": png_with(chunk(b"eXIf", b"Exif\0\0" + BLOCK)),
    "behind a chunk of odd length": webp_with(
        webp_with(with_exif(PIXELS, "WEBP", None), b"ODD ", b"abc"), b"EXIF", BLOCK
    ),
    "WebP with a signature": with_exif(PIXELS, "WEBP", b"Exif\0\0" + BLOCK),
    "directory at an odd place": with_exif(PIXELS, "JPEG", tiff([orientation_entry(6)], offset=301)),
}


@pytest.mark.parametrize("place", PLACES)
def test_places(read, place):
    assert read(PLACES[place]) == 6


ENTRY = BLOCK[10:22]
_FIRST = tiff([MAKER])[:-4]
NOT_THE_PICTURES = {
    "the thumbnail's": _FIRST + struct.pack("<I", len(_FIRST) + 4) + BLOCK[8:],
    "behind the last entry": _FIRST + ENTRY,
    "value 0": tiff([orientation_entry(0)]),
    "value 9": tiff([orientation_entry(9)]),
    "value 262": tiff([orientation_entry(262)]),
    "two values": tiff([(ORIENTATION, SHORT, 2, b"\6\0\6\0")]),
    "of another type": tiff([(ORIENTATION, LONG, 1, b"\6\0\0\0")]),
    "of the other order": tiff([orientation_entry(6, ">")], "<"),
    "no order": b"XX*\0" + BLOCK[4:],
    "half an order": b"IM*\0" + BLOCK[4:],
    "a version": b"II+\0" + BLOCK[4:],
    "directory behind the end": b"II*\0" + struct.pack("<I", 5000) + BLOCK[8:],
    "directory far behind the end": b"II*\0\xff\xff\xff\xff" + BLOCK[8:],
    "cut in the entry": BLOCK[:18],
    "cut in the count": BLOCK[:9],
    "cut in the offset": BLOCK[:6],
    "cut in the order": BLOCK[:1],
    "empty": b"",
    "text": b"<x:xmpmeta tiff:Orientation='6'/>",
}


@pytest.mark.parametrize("case", NOT_THE_PICTURES)
def test_what_is_no_orientation_of_the_picture_is_ignored(read, case):
    # In a JPEG: the checksum behind a PNG's EXIF would be taken for a part of it.
    content = with_exif(PIXELS, "JPEG", NOT_THE_PICTURES[case])
    assert read(content) == plain_orientation(content) == 0


def test_many_entries_promised_and_few_there(read):
    block = b"II*\0\x08\0\0\0\xff\xff" + BLOCK[10:]
    assert read(with_exif(PIXELS, "JPEG", block)) == 6


def test_a_segment_ends_where_it_says(read):
    cut = segment(0xE1, b"Exif\0\0" + BLOCK[:10])
    assert read(jpeg_with(cut, segment(0xE1, BLOCK[10:]))) == 0


def test_exif_behind_the_start_of_the_scan_is_not_looked_for(read):
    content = jpeg_with(segment(0xDA, b"\1\1\0\0\x3f\0"), segment(0xE1, b"Exif\0\0" + BLOCK))
    assert read(content) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe1",
        b"\xff\xd8\xff\xe1\0\0Exif",
        b"\x89PNG",
        b"RIFF",
        b"text",
    ],
)
def test_the_beginning_of_a_file_is_no_error(read, content):
    assert read(content) == 0


def test_a_chain_of_empty_blocks_ends(read, monkeypatch):
    monkeypatch.setattr(orientation_module, "_MOST_BLOCKS", 50)
    function = tf.function(orientation_of, input_signature=[tf.TensorSpec([], tf.string)])
    empty = segment(0xE0, b"")
    near = b"\xff\xd8" + empty * 40 + segment(0xE1, b"Exif\0\0" + BLOCK)
    far = b"\xff\xd8" + empty * 200 + segment(0xE1, b"Exif\0\0" + BLOCK)
    assert plain_orientation(near) == plain_orientation(far) == 6
    assert int(function(near)) == 6
    assert int(function(far)) == 0


def random_file(random):
    """A file with EXIF, of any kind and order; and whether everything about it is as the standards say."""
    order = random.choice(ORDERS)
    entries = [
        (int(random.integers(0x0100, 0x9000)), int(random.integers(1, 13)), 1, random.bytes(4))
        for _ in range(random.integers(0, 12))
    ]
    entries = [entry for entry in entries if entry[0] != ORIENTATION]
    # Others of one number, whose four bytes are a value and no place elsewhere.
    entries = [(tag, min(kind, 4) if kind != 5 else 4, 1, value) for tag, kind, _, value in entries]
    if random.random() < 0.8:
        entries.append(orientation_entry(int(random.integers(1, 9)), order))
    random.shuffle(entries)
    entries = sorted(entries) if random.random() < 0.8 else entries
    block = tiff([tuple(entry) for entry in entries], order, int(random.choice([8, 8, 10, 13, 100])))
    content = with_exif(PIXELS, random.choice(KINDS), block)
    if random.random() < 0.5:
        return content, True
    damaged = bytearray(content)
    start = max(damaged.find(block), 0)
    for _ in range(random.integers(1, 6)):
        damaged[int(random.integers(start, min(start + len(block) + 20, len(damaged))))] = random.integers(
            256
        )
    if random.random() < 0.4:
        del damaged[int(random.integers(0, len(damaged))) :]
    return bytes(damaged), False


def pillows_orientation(content):
    with Image.open(io.BytesIO(content)) as image:
        return image.getexif().get(ORIENTATION, 0)


def test_random_files_read_as_the_plain_reader_and_pillow_do(read):
    random = np.random.default_rng(11)
    intact = turned = 0
    for _ in range(1000):
        content, is_intact = random_file(random)
        found = read(content)
        assert found == plain_orientation(content), content
        if is_intact:
            assert found == pillows_orientation(content), content
        intact, turned = intact + is_intact, turned + (found > 1)
    assert intact > 400
    assert turned > 400


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("size", [(16, 24), (15, 7), (1, 9)])
def test_the_turn(value, size):
    upright = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
    stored = stored_for(upright, value)
    np.testing.assert_array_equal(turn_upright(tf.constant(stored), tf.constant(value)), upright)
    found = upright_size(*(tf.constant(side) for side in stored.shape[:2]), tf.constant(value))
    assert tuple(int(side) for side in found) == size


def test_no_orientation_is_no_turn():
    np.testing.assert_array_equal(turn_upright(tf.constant(PIXELS), tf.constant(0)), PIXELS)


def test_the_shape_of_the_turned_is_open_but_for_the_channels():
    function = tf.function(
        turn_upright,
        input_signature=[tf.TensorSpec([16, 32, 3], tf.uint8), tf.TensorSpec([], tf.int32)],
    )
    assert function.get_concrete_function().output_shapes.as_list() == [None, None, 3]
