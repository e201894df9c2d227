"""The masks of annotation files: checked as far as that is cheap, and made small enough to be kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

_FORMS = "a list of polygons [x1, y1, x2, y2, ...] or RLE {'size': [height, width], 'counts': ...}"
# Longer values are cut in messages: a polygon may have thousands of numbers.
_SHOWN = 80


def is_missing(segmentation: Any) -> bool:
    """Whether a record has no mask: tools for boxes write nothing, null or an empty list."""
    return segmentation is None or segmentation in ([], {}, "")


def compact_mask(segmentation: Any, height: int, width: int) -> list[np.ndarray] | dict[str, Any]:
    """Checks a mask and gives it in the form in which a data set keeps it.

    Nothing is drawn: whether compressed run lengths fit the image is seen when they are decoded.

    Args:
        segmentation: the record's field.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        Polygons, each a float64 array (x1, y1, x2, y2, ...); or compressed RLE, ``size`` and ``counts``.

    Raises:
        ValueError: what is wrong with the field.
    """
    if isinstance(segmentation, dict):
        return _compact_rle(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError(f"segmentation is {_short(segmentation)}, expected {_FORMS}")
    polygons = [_compact_polygon(f"segmentation[{i}]", p) for i, p in enumerate(segmentation)]
    if not any(_touches(polygon, height, width) for polygon in polygons):
        image = f"the image of {width} x {height} pixels"
        raise ValueError(f"segmentation is {_short(segmentation)}, which lies outside {image}")
    return polygons


def _compact_polygon(where: str, polygon: Any) -> np.ndarray:
    numbers = _numbers(polygon)
    if numbers is None:
        raise ValueError(
            f"{where} is {_short(polygon)}, expected a list of finite numbers [x1, y1, x2, y2, ...]"
        )
    if len(numbers) % 2:
        raise ValueError(f"{where} has {len(numbers)} numbers, expected pairs of x and y")
    if len(numbers) < 6:
        raise ValueError(f"{where} has {len(numbers) // 2} points, expected at least 3")
    return numbers


def _numbers(values: Any) -> np.ndarray | None:
    if not isinstance(values, list):
        return None
    try:
        numbers = np.asarray(values)
    except ValueError:  # lists of different lengths
        return None
    # Texts would become numbers with astype alone, and integers that float64 cannot hold are objects.
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
        return None
    return numbers.astype(np.float64)


def _touches(polygon: np.ndarray, height: int, width: int) -> bool:
    low, high = polygon.reshape(-1, 2).min(axis=0), polygon.reshape(-1, 2).max(axis=0)
    return bool((low < (width, height)).all() and (high > 0).all())


def _compact_rle(rle: dict, height: int, width: int) -> dict[str, Any]:
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list) or size != [height, width]:
        expected = f"the image's [height, width] = [{height}, {width}]"
        raise ValueError(f"segmentation['size'] is {_short(size)}, expected {expected}")
    if isinstance(counts, list):
        return _compress(counts, height, width)
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError(
            f"segmentation['counts'] is {_short(counts)}, expected a list of lengths of runs or COCO's text"
        )
    return {"size": size, "counts": counts.encode("ascii")}


def _compress(counts: list, height: int, width: int) -> dict[str, Any]:
    if any(not isinstance(count, int) or isinstance(count, bool) or count < 0 for count in counts):
        raise ValueError(f"segmentation['counts'] is {_short(counts)}, expected lengths of runs, 0 or more")
    if sum(counts) != height * width:
        expected = f"the image's {height} x {width} = {height * width}"
        raise ValueError(f"segmentation['counts'] covers {sum(counts)} pixels, expected {expected}")
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
