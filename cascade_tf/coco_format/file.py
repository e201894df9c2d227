"""Annotation files in COCO's "instances" format as they lie on a disk: JSON with three lists of records."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path

from cascade_tf.coco_format.other_tools import foreign_json, foreign_text

LISTS = ("images", "annotations", "categories")
_GZIP = b"\x1f\x8b"  # the bytes that a compressed file begins with, whatever its name
_EXPECTED = "a COCO annotation file with the lists 'images', 'annotations' and 'categories'"


def load_annotation_file(path: str | os.PathLike[str], *, labelled: bool = True) -> dict[str, list]:
    """Returns the content of an annotation file; its records are not looked at.

    The file may be compressed by gzip, and its text may be UTF-8, UTF-16 or UTF-32 with a byte-order mark.

    Args:
        path: the file.
        labelled: whether it must have annotations; COCO's files of test images have none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or lacks one of the three lists.
    """
    data = b""
    try:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
        content = json.loads(data)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such annotation file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected {_EXPECTED}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: is a broken gzip file ({error}), expected {_EXPECTED}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply, expected {_EXPECTED}") from None
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        reason = f"is not JSON ({error})" if Path(path).stat().st_size else "is empty"
        what = (
            None if isinstance(error, UnicodeDecodeError) else foreign_text(data.decode("utf-8", "replace"))
        )
        reason = f"is {what}" if what else reason
        raise ValueError(f"{path}: {reason}, expected {_EXPECTED}") from None
    if not labelled and isinstance(content, dict):
        content.setdefault("annotations", [])
    what = foreign_json(content)
    if what:
        raise ValueError(f"{path}: is {what}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected {_EXPECTED}")
    for key in LISTS:
        if not isinstance(content.get(key), list):
            got = f"{key!r} is a {type(content[key]).__name__}" if key in content else f"{key!r} is missing"
            raise ValueError(f"{path}: {got}, expected {_EXPECTED}")
    return content
