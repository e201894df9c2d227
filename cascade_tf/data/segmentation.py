"""COCO's descriptions of an object's pixels, drawn as packed masks.

Annotation files give polygons, uncompressed RLE (``counts`` is a list) or compressed RLE (a text). Packed
masks hold eight pixels in a byte, as ``np.packbits(mask, axis=-1)`` makes them, and are what training reads.

The corners of a polygon are scaled to the network's size and drawn there, so an enlarged object has a sharp
outline. Run lengths have no corners: their pixels are taken from the nearest pixel of the original. Both are
what detectron2 does, and pycocotools decides which pixels a polygon covers, self-crossing ones included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cascade_tf.masks.run_lengths import uncompress

# Drawing a polygon takes time and memory for every pixel of its outline, outside the image too.
MAX_COORDINATE = 1e5


def to_packed_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Draws an object's pixels at the size of its image.

    Args:
        segmentation: a list of polygons ``[x1, y1, x2, y2, ...]`` in pixels, or an RLE mapping with ``size``
            and ``counts``, compressed or not.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        [height, ceil(width / 8)] uint8.

    Raises:
        ValueError: what is wrong with the segmentation.
    """
    return packed_mask(segmentation, (height, width), (height, width))


def packed_mask(
    segmentation: Any, original_size: tuple[int, int], output_size: tuple[int, int], flip: bool = False
) -> np.ndarray:
    """Draws an object's pixels as the network sees them: scaled, then mirrored.

    Args:
        segmentation: as in `to_packed_mask`.
        original_size: (height, width) of the image that the segmentation describes.
        output_size: (height, width) of the result.
        flip: mirror left and right.

    Returns:
        [height, ceil(width / 8)] uint8.

    Raises:
        ValueError: what is wrong with the segmentation.
    """
    if isinstance(segmentation, Mapping):
        lengths = checked_run_lengths(segmentation, original_size)
        return _pack_scaled(lengths, original_size, output_size, flip)
    polygons = _checked_polygons(segmentation, original_size)
    return _draw([_transform(polygon, original_size, output_size, flip) for polygon in polygons], output_size)


def compact_segmentation(segmentation: Any, size: tuple[int, int]) -> list[np.ndarray] | dict[str, Any]:
    """Checks a segmentation without drawing it, and gives it the form in which a data set keeps it.

    Args:
        segmentation: as in `to_packed_mask`.
        size: (height, width) of the image.

    Returns:
        What `packed_mask` takes too, in a quarter of the memory: polygons as float64 arrays, or ``size`` and
        compressed ``counts``.

    Raises:
        ValueError: what is wrong with the segmentation.
    """
    if not isinstance(segmentation, Mapping):
        return [corners.ravel() for corners in _checked_polygons(segmentation, size)]
    lengths, counts = checked_run_lengths(segmentation, size), segmentation["counts"]
    if isinstance(counts, (str, bytes)):
        return {"size": list(size), "counts": counts}
    return dict(coco_mask.frPyObjects({"size": list(size), "counts": lengths.tolist()}, *size))


def checked_run_lengths(rle: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Lengths of runs that cover the image; pycocotools would decode others to pixels that nobody wrote.

    Args:
        rle: ``size`` and ``counts``, compressed or not.
        size: (height, width) of the image.

    Returns:
        int64 lengths that go down the columns, the first one outside the object.

    Raises:
        ValueError: what is wrong with the mapping.
    """
    given = rle.get("size")
    if not isinstance(given, Sequence) or list(given) != list(size):
        raise ValueError(f"RLE size is {_short(given)}, expected the image's [height, width] {list(size)}")
    counts = rle.get("counts")
    lengths = uncompress(counts) if isinstance(counts, (str, bytes)) else _checked_counts(counts)
    if (lengths < 0).any():
        raise ValueError(f"RLE counts hold the negative length {lengths.min()}")
    height, width = size
    # In floating point, a sum of hostile lengths cannot wrap around.
    total = lengths.sum(dtype=np.float64)
    if total != height * width:
        raise ValueError(f"RLE counts cover {total:.0f} pixels, expected {height} x {width}")
    return lengths


def _checked_polygons(segmentation: Any, size: tuple[int, int]) -> list[np.ndarray]:
    """[n, 2] float64 corners of each polygon."""
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, (str, bytes)) or not segmentation:
        raise ValueError(f"got {_short(segmentation)}, expected a list of polygons or an RLE mapping")
    polygons = [_checked_polygon(f"polygon {i}", polygon) for i, polygon in enumerate(segmentation)]
    height, width = size
    if not any(_touches(polygon, height, width) for polygon in polygons):
        raise ValueError(f"all polygons lie outside the image of {width} x {height} pixels")
    return polygons


def _checked_polygon(name: str, polygon: Any) -> np.ndarray:
    try:
        # Among numbers, true and false would become 1 and 0.
        numbers = np.asarray(None if isinstance(polygon, list) and bool in map(type, polygon) else polygon)
    except ValueError:  # lists of different lengths
        numbers = np.asarray(None)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iuf"):
        raise ValueError(f"{name} is {_short(polygon)}, expected a list of numbers [x1, y1, x2, y2, ...]")
    if numbers.size % 2:
        raise ValueError(f"{name} has {numbers.size} coordinates, expected pairs of x and y")
    if numbers.size < 6:
        raise ValueError(f"{name} has {numbers.size // 2} points, expected at least 3")
    corners = numbers.astype(np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all():
        raise ValueError(f"{name} has a coordinate that is not finite: {_short(polygon)}")
    if np.abs(corners).max() > MAX_COORDINATE:
        raise ValueError(
            f"{name} has the coordinate {np.abs(corners).max():g}, expected at most {MAX_COORDINATE:g} pixels"
        )
    return corners


def _touches(corners: np.ndarray, height: int, width: int) -> bool:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((high > 0).all() and low[0] < width and low[1] < height)


def _transform(
    corners: np.ndarray, original_size: tuple[int, int], output_size: tuple[int, int], flip: bool
) -> np.ndarray:
    """[n, 2] corners at the output's scale, in detectron2's order of operations."""
    (height, width), (new_height, new_width) = original_size, output_size
    x, y = corners[:, 0] * (new_width / width), corners[:, 1] * (new_height / height)
    return np.stack([new_width - x if flip else x, y], axis=1)


def _draw(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Packed union of polygons of at least three corners."""
    outlines = [polygon.ravel().tolist() for polygon in polygons]
    rle = coco_mask.merge(coco_mask.frPyObjects(outlines, *size))
    return _pack(uncompress(rle["counts"]), size)


def _pack(lengths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[height, ceil(width / 8)] packed mask from the lengths of its runs, which go down the columns.

    Only the whole bytes around the object are unpacked meanwhile: all pixels would take most of the time.
    """
    height, width = size
    packed = np.zeros((height, -(-width // 8)), np.uint8)
    first, columns = _object_columns(lengths, height, step=8)
    window = np.packbits(np.ascontiguousarray(columns.T), axis=-1)
    packed[:, first // 8 : first // 8 + window.shape[1]] = window
    return packed


def _pack_scaled(
    lengths: np.ndarray, original_size: tuple[int, int], size: tuple[int, int], flip: bool
) -> np.ndarray:
    """The packed mask at another size; each pixel is the one of the original that holds its centre."""
    if tuple(original_size) == tuple(size) and not flip:
        return _pack(lengths, size)
    height, width = size
    packed = np.zeros((height, -(-width // 8)), np.uint8)
    rows, columns = (_nearest(*sides) for sides in zip(original_size, size, strict=True))
    first, pixels = _object_columns(lengths, original_size[0])
    left, right = np.searchsorted(columns, [first, first + len(pixels)]).tolist()
    chosen = pixels[columns[left:right] - first]
    if flip:
        chosen, left, right = chosen[::-1], width - right, width - left
    # Whole bytes around the object, as in _pack.
    begin, end = left // 8, -(-right // 8)
    window = np.zeros((height, 8 * (end - begin)), bool)
    window[:, left - 8 * begin : right - 8 * begin] = np.ascontiguousarray(chosen.T)[rows]
    packed[:, begin:end] = np.packbits(window, axis=-1)
    return packed


def _object_columns(lengths: np.ndarray, height: int, step: int = 1) -> tuple[int, np.ndarray]:
    """The object's first column and its [columns, height] bool pixels, both rounded out to whole steps."""
    lengths = lengths[: len(lengths) // 2 * 2]  # without a last run outside the object
    if not len(lengths):
        return 0, np.zeros((0, height), bool)
    block, end = step * height, lengths.sum()
    first, last = lengths[0] // block, -(-end // block)
    window = np.append(lengths, last * block - end)
    window[0] -= first * block
    return int(first) * step, _unroll(window, height)


def _unroll(lengths: np.ndarray, height: int) -> np.ndarray:
    """[columns, height] bool pixels from runs that alternate, the first one outside the object."""
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(-1, height)


def _nearest(old: int, new: int) -> np.ndarray:
    """[new] pixels of the original along one axis, with positions added up one by one as Pillow does."""
    step = old / new
    steps = np.full(new, step)
    steps[0] = 0.5 * step
    return np.cumsum(steps).astype(np.int64)


def _checked_counts(counts: Any) -> np.ndarray:
    if not isinstance(counts, Sequence) or not all(type(count) is int for count in counts):
        raise ValueError(f"RLE counts are {_short(counts)}, expected a list of integers or COCO's text")
    try:
        return np.asarray(counts, np.int64)
    except OverflowError:
        raise ValueError(f"RLE counts hold a length that is too large: {max(counts, key=abs)}") from None


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
