"""COCO's run lengths of masks: lengths of runs down the columns, the first of pixels outside the object.

Files hold them as a text of six bits a character, which pycocotools trusts: on a damaged one it reads beyond
the end or never comes back. What comes from outside is therefore unpacked here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

# Characters of one length: 5 bits each, and no image has 2^35 pixels.
_MOST_CHARACTERS = 7
_MOST = 1 << 5 * _MOST_CHARACTERS


def compress(lengths: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Gives run lengths the form in which files hold them.

    Args:
        lengths: [n] integers that add up to the number of pixels.
        size: (height, width) of the mask.

    Returns:
        ``{"size": [height, width], "counts": text}``, ready for JSON and for pycocotools.
    """
    height, width = (int(side) for side in size)
    plain = {"size": [height, width], "counts": np.asarray(lengths).tolist()}
    packed = coco_mask.frPyObjects(plain, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def uncompress(counts: str | bytes) -> np.ndarray:
    """Returns the [n] int64 lengths that a text of run lengths stands for.

    Raises:
        ValueError: it is no such text.
    """
    data = counts.encode("utf-8") if isinstance(counts, str) else counts
    digits = np.frombuffer(data, np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(digits & 32 == 0) + 1
    if ((digits < 0) | (digits > 63)).any() or (digits.size and digits[-1] & 32):
        raise ValueError(f"counts {_short(counts)} is no text of run lengths")
    starts = np.concatenate([[0], ends])[:-1]
    widths = ends - starts
    if (widths > _MOST_CHARACTERS).any():
        raise ValueError(f"counts {_short(counts)} has a length that no image has")
    place = np.arange(digits.size) - np.repeat(starts, widths)
    lengths = np.zeros(len(ends), np.int64)
    np.add.at(lengths, np.repeat(np.arange(len(ends)), widths), (digits & 31) << (5 * place))
    lengths -= (digits[ends - 1] >> 4 & 1) << (5 * widths)  # the highest of the five bits is the sign
    # From the fourth number on each is the difference to the one before the last.
    lengths[1::2], lengths[2::2] = np.cumsum(lengths[1::2]), np.cumsum(lengths[2::2])
    return lengths


def checked(segmentation: Mapping[str, Any], size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Returns the compressed run lengths of an RLE that may be damaged.

    Args:
        segmentation: ``size`` and ``counts``: COCO's text, bytes of it, or a list of lengths.
        size: (height, width) that the mask must have; None takes its own.

    Returns:
        A copy with compressed ``counts``, safe to be given to pycocotools.

    Raises:
        ValueError: ``size`` or ``counts`` is missing or wrong, or they do not fit together.
    """
    own, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(own, (list, tuple)) or len(own) != 2 or not all(_is_length(side) for side in own):
        raise ValueError(f"segmentation size must be [height, width], got {_short(own)}")
    height, width = int(own[0]), int(own[1])
    if size is not None and (height, width) != tuple(size):
        raise ValueError(
            f"segmentation size is [{height}, {width}], but the image has [height, width] {list(size)}"
        )
    lengths = uncompress(counts) if isinstance(counts, (str, bytes)) else _listed(counts)
    # In floating point, a sum of hostile lengths cannot wrap around.
    covered = lengths.sum(dtype=np.float64)
    if (lengths < 0).any() or covered != height * width:
        raise ValueError(f"segmentation counts cover {covered:.0f} pixels, expected {height} x {width}")
    return compress(lengths, (height, width)) if isinstance(counts, list) else {**segmentation}


def _listed(counts: Any) -> np.ndarray:
    if not isinstance(counts, list) or not all(_is_length(count) for count in counts):
        raise ValueError(
            f"segmentation counts must be COCO's text or a list of lengths, got {_short(counts)}"
        )
    return np.asarray(counts, np.int64)


def _is_length(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(0 <= value < _MOST)


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
