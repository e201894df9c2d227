import io
import struct
import zipfile
import zlib

import pytest

from cascade_tf.weights.files.zip_records import ZipRecords
from tests.weights.traced_memory import traced_memory

MIB = 1 << 20
DATA = bytes(range(256)) * 4


def archive(records, compression=zipfile.ZIP_STORED):
    """The bytes of a zip archive; ``records`` are (name, data) in order, names may repeat."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in records:
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def records(content):
    return ZipRecords(memoryview(content))


def patched(content, at, fmt, *values):
    """The same bytes with a number replaced, found from the first byte of the directory's only entry."""
    start = content.index(b"PK\x01\x02") + at
    new = struct.pack(fmt, *values)
    return content[:start] + new + content[start + len(new) :]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_records_in_any_order(compression):
    found = records(archive([("a", DATA), ("folder/b", b""), ("c", b"xyz")], compression))
    assert list(found.records) == ["a", "folder/b", "c"]
    assert [bytes(found.read(name, check=True)) for name in ("c", "a", "folder/b")] == [b"xyz", DATA, b""]


def test_a_stored_record_is_not_copied():
    content = archive([("a", b"x" * 4 * MIB)])
    with traced_memory() as memory:
        found = records(content).read("a")
    assert found.obj is content
    assert memory.peak < MIB


def test_bytes_before_the_archive_are_allowed_as_by_python():
    content = b"#!/bin/sh\n" + archive([("a", DATA)])
    assert bytes(records(content).read("a")) == DATA


def test_a_difference_from_the_checksum():
    content = archive([("a", DATA)]).replace(DATA, DATA[::-1])
    assert bytes(records(content).read("a")) == DATA[::-1]
    with pytest.raises(ValueError, match="'a' is damaged: its checksum differs"):
        records(content).read("a", check=True)


def bomb(size):
    """A record that claims and holds ``size`` zeros in a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    packed = b"".join(packer.compress(zeros) for _ in range(size // MIB)) + packer.flush()
    content = archive([("a", packed)])
    content = patched(content, 10, "<H", zipfile.ZIP_DEFLATED)
    return patched(content, 24, "<I", size)


STORED = archive([("a", DATA)])
PACKED = archive([("a", DATA)], zipfile.ZIP_DEFLATED)
REFUSED = {
    "no archive": (b"PK\x03\x04 cut off", "is truncated: the directory at its end is missing"),
    "two records of one name": (None, "two records named 'a'"),
    "a path above the folder": (archive([("../../etc/passwd", DATA)]), "path out of it: '../../etc/passwd'"),
    "a path above, inside": (archive([("a/../../b", DATA)]), "path out of it"),
    "an absolute path": (archive([("/etc/passwd", DATA)]), "path out of it: '/etc/passwd'"),
    "a path of Windows": (archive([(r"a\..\b", DATA)]), "path out of it"),
    "a drive": (archive([("C:/a", DATA)]), "path out of it: 'C:/a'"),
    "an encrypted record": (patched(STORED, 8, "<H", 1), "'a' is encrypted"),
    "another compression": (archive([("a", DATA)], zipfile.ZIP_BZIP2), "compressed by method 12"),
    "more bytes than the file": (
        patched(STORED, 20, "<2I", 5000, 5000),
        "claims 5000 bytes but the file holds",
    ),
    "more bytes than are stored": (
        patched(STORED, 24, "<I", 1 << 30),
        "claims 1073741824 bytes but .* holds 1024",
    ),
    "more bytes than are packed": (patched(PACKED, 24, "<I", 5000), "claims 5000 bytes but unpacks to 1024"),
    "fewer bytes than are packed": (patched(PACKED, 24, "<I", 1000), "claims 1000 bytes but unpacks to more"),
    "packed bytes that are none": (patched(STORED, 10, "<H", 8), "'a' cannot be unpacked|unpacks to"),
    "a record beyond the end": (patched(STORED, 42, "<I", 1 << 31), "beyond the end"),
    "a record in the middle of another": (patched(STORED, 42, "<I", 50), "where the record 'a' should begin"),
    "a bomb": (bomb(100 * MIB), "unpacks to 104857600 bytes, more than"),
}
REFUSED["two records of one name"] = (archive([("a", DATA), ("b", DATA)]).replace(b"b", b"a"), "two records")


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_archives_are_refused_with_a_reason(case):
    content, reason = REFUSED[case]
    with traced_memory() as memory, pytest.raises(ValueError, match=reason):
        records(content).read("a")
    assert memory.peak < MIB


def test_packed_bytes_without_an_end():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = archive([("a", packer.compress(DATA) + packer.flush(zlib.Z_SYNC_FLUSH))])
    content = patched(patched(content, 10, "<H", zipfile.ZIP_DEFLATED), 24, "<I", len(DATA))
    with pytest.raises(ValueError, match="claims 1024 bytes but unpacks to 1024 without an end"):
        records(content).read("a")


def test_a_bomb_of_many_records_of_the_same_bytes():
    content = bomb(20 * MIB)
    entry = content[content.index(b"PK\x01\x02") : content.index(b"PK\x05\x06")]
    names = [bytes([letter]) for letter in range(ord("a"), ord("k"))]
    directory = b"".join(entry[:46] + name for name in names)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 10, 10, len(directory), content.index(entry), 0)
    found = records(content[: content.index(entry)] + directory + end)
    assert found.read("a") == bytes(20 * MIB)
    with pytest.raises(ValueError, match="unpacks to"):
        [found.read(name.decode()) for name in names]


def test_a_directory_without_end():
    entry = STORED[STORED.index(b"PK\x01\x02") : STORED.index(b"PK\x05\x06")]
    directory = entry * 100_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)
    with pytest.raises(ValueError, match="a directory of 4700000 bytes, expected at most"):
        records(directory + end)


@pytest.mark.parametrize("length", range(0, len(STORED), 7))
def test_every_truncation_is_noticed(length):
    lost = length < STORED.index(b"PK\x05\x06") + 4
    message = "is truncated: the directory at its end is missing" if lost else "is truncated or broken"
    with pytest.raises(ValueError, match=f"the zip archive {message}"):
        records(STORED[:length])


def test_a_directory_that_is_broken():
    with pytest.raises(ValueError, match="the zip archive is truncated or broken"):
        records(STORED.replace(b"PK\x01\x02", b"PK\xff\xff"))
