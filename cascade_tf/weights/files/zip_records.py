"""Zip archives from strangers, read in memory: nothing is extracted, and no claimed size is believed."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib

from cascade_tf.weights.files.raw_arrays import CopyBudget, shown

# The directory of 300 tensors takes 30 kB; each of its bytes costs about ten in memory.
_MAX_DIRECTORY_BYTES = 4 << 20
_LOCAL_HEADER = struct.Struct("<4s22x2H")
_ENCRYPTED = 1
_END = b"PK\x05\x06"
# A comment of up to 64 KiB may follow.
_END_BYTES = 22 + 0xFFFF
# Weights hardly compress; arrays of zeros do, a thousandfold.
_MAX_EXPANSION = 20
_OUTSIDE = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^\w:|\x00")
_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    struct.error,
)


class ZipRecords:
    """The records of a zip archive by name.

    Args:
        content: the whole file.

    Raises:
        ValueError: the archive is broken or truncated, or has records that no checkpoint has: encrypted ones,
            two of one name, names that lead out of a folder.
    """

    def __init__(self, content: memoryview):
        self.content = content
        self.budget = CopyBudget(len(content), _MAX_EXPANSION)
        self.records: dict[str, zipfile.ZipInfo] = {}
        for record in _directory(content):
            if record.filename in self.records:
                raise ValueError(f"the archive holds two records named {shown(record.filename)}")
            if _OUTSIDE.search(record.filename):
                raise ValueError(
                    f"the archive holds a record with a path out of it: {shown(record.filename)}"
                )
            self.records[record.filename] = record

    def read(self, name: str, check: bool = False) -> memoryview:
        """Returns a record: in place if it is stored as it is, unpacked if it is compressed.

        Args:
            name: of the record, which must exist.
            check: compare the checksum, too. torch can be told to write none.

        Raises:
            ValueError: the record is truncated or broken, or claims more than it holds.
        """
        record = self.records[name]
        packed = self._packed(record)
        if record.compress_type == zipfile.ZIP_STORED:
            if record.file_size != len(packed):
                raise ValueError(
                    f"the record {shown(name)} claims {record.file_size} bytes "
                    f"but the file holds {len(packed)}"
                )
            data = packed
        elif record.compress_type == zipfile.ZIP_DEFLATED:
            self.budget.spend(record.file_size)
            data = _inflated(packed, record)
        else:
            raise ValueError(f"the record {shown(name)} is compressed by method {record.compress_type}")
        if check and zlib.crc32(data) != record.CRC:
            raise ValueError(f"the record {shown(name)} is damaged: its checksum differs")
        return data

    def _packed(self, record: zipfile.ZipInfo) -> memoryview:
        if record.flag_bits & _ENCRYPTED:
            raise ValueError(f"the record {shown(record.filename)} is encrypted")
        header = self.content[max(record.header_offset, 0) :][: _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size:
            raise ValueError(f"the record {shown(record.filename)} begins beyond the end of the file")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise ValueError(f"the archive is broken where the record {shown(record.filename)} should begin")
        start = record.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        return self.content[start : start + record.compress_size]


def _directory(content: memoryview) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_Window(content)) as archive:
            return archive.infolist()
    except _UNREADABLE as error:
        if _END not in bytes(content[-_END_BYTES:]):
            raise ValueError("the zip archive is truncated: the directory at its end is missing") from None
        raise ValueError(f"the zip archive is truncated or broken ({shown(str(error))[1:-1]})") from None


def _inflated(packed: memoryview, record: zipfile.ZipInfo) -> memoryview:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than claimed shows that there is more.
        data = unpacker.decompress(packed, record.file_size + 1)
    except (zlib.error, OverflowError) as error:
        raise ValueError(f"the record {shown(record.filename)} cannot be unpacked ({error})") from None
    if len(data) != record.file_size or not unpacker.eof:
        found = (
            "more"
            if len(data) > record.file_size
            else f"{len(data)}{'' if unpacker.eof else ' without an end'}"
        )
        raise ValueError(
            f"the record {shown(record.filename)} claims {record.file_size} bytes but unpacks to {found}"
        )
    return memoryview(data)


class _Window:
    """Memory as the file that ``zipfile`` wants, without copying it."""

    def __init__(self, content: memoryview):
        self.content = content
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        position = offset + (0, self.position, len(self.content))[whence]
        if position < 0:
            raise OSError("a position before the file's beginning")
        self.position = position
        return position

    def tell(self) -> int:
        return self.position

    def read(self, count: int = -1) -> bytes:
        left = len(self.content) - self.position
        count = left if count < 0 else min(count, left)
        if count > _MAX_DIRECTORY_BYTES:
            raise ValueError(f"a directory of {count} bytes, expected at most {_MAX_DIRECTORY_BYTES}")
        data = bytes(self.content[self.position : self.position + max(count, 0)])
        self.position += len(data)
        return data
