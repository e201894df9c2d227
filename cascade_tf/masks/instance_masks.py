"""Masks of detections as COCO's run lengths, image by image, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cascade_tf.masks.run_lengths import compress
from cascade_tf.ops.paste_masks import paste_masks

# Pixels that are pasted at once, one byte each: what bounds the memory for large images.
_PIXELS_AT_ONCE = 1 << 26


def encode_masks(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], *, threshold: float = 0.5
) -> tuple[dict[str, Any], ...]:
    """Pastes masks into their image and gives each one's pixels as COCO's compressed run lengths.

    The pixels are those of ``paste_masks``, to the bit.

    Args:
        masks: [n, M, M] float32 probabilities.
        boxes: [n, 4] float32 xyxy in pixels of the image.
        size: (height, width) of the image in pixels.
        threshold: least probability of a pixel of the object, above 0 and at most 1.

    Returns:
        n mappings ``{"size": [height, width], "counts": text}``, ready for JSON and for pycocotools.

    Raises:
        ValueError: wrong or unequal shapes, or a threshold out of range.
    """
    height, width = (int(side) for side in size)
    return tuple(
        compress(_run_lengths(pixels, _window(box, height, width), height, width), (height, width))
        for box, pixels in _paste(masks, boxes, (height, width), threshold)
    )


def decode_masks(segmentations: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Inverse of ``encode_masks``.

    Args:
        segmentations: n masks as run lengths.
        size: (height, width) of the image in pixels.

    Returns:
        [n, height, width] bool.
    """
    pixels = np.empty((len(segmentations), *size), bool)
    for mask, segmentation in zip(pixels, segmentations, strict=True):
        mask[:] = coco_mask.decode(dict(segmentation))
    return pixels


def _paste(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each box with the pixels of its mask."""
    group = max(1, _PIXELS_AT_ONCE // max(size[0] * size[1], 1))
    # At least once, so that wrong shapes are found without a detection too.
    for start in range(0, max(len(boxes), 1), group):
        part = slice(start, start + group)
        pasted = paste_masks(masks[part], boxes[part], size, threshold=threshold).numpy()
        yield from zip(boxes[part], pasted, strict=True)


def _window(box: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """A box with a pixel around it, (x1, y1, x2, y2) within the image: nothing is pasted beyond."""
    x1, y1, x2, y2 = np.nan_to_num(box.astype(np.float64), posinf=2.0**30, neginf=-(2.0**30)).tolist()
    left, top = min(max(math.floor(x1) - 1, 0), width), min(max(math.floor(y1) - 1, 0), height)
    right, bottom = min(math.ceil(x2) + 1, width), min(math.ceil(y2) + 1, height)
    return left, top, max(right, left), max(bottom, top)


def _run_lengths(
    pixels: np.ndarray, window: tuple[int, int, int, int], height: int, width: int
) -> np.ndarray:
    """Lengths of the runs of a mask that is empty outside a window, going down the columns."""
    x1, y1, x2, y2 = window
    # A row of zeros under the window: no run goes on from one column to the next.
    columns = np.zeros((x2 - x1, y2 - y1 + 1), bool)
    columns[:, :-1] = pixels[y1:y2, x1:x2].T
    edges = np.flatnonzero(np.diff(columns.ravel(), prepend=False))
    column, row = np.divmod(edges, columns.shape[1])
    places = (column + x1) * height + row + y1
    # Where the window ends with the image it does go on: an end and the next start are then one place.
    joined = np.flatnonzero(places[1:] == places[:-1])
    places = np.delete(places, [*joined, *(joined + 1)])
    lengths = np.diff(places, prepend=0, append=height * width)
    return lengths if lengths[-1] else lengths[:-1]
