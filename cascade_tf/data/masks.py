"""Draws objects' masks inside a tf.data graph, each at the size and the side at which its image is seen.

The file's polygons and RLE stay as they are and are drawn anew each time: bitmaps of a whole data set fit
into no memory. Polygons are drawn from coordinates at the network's scale, so that an enlarged object has a
sharp outline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from cascade_tf.data.images import BROKEN_MASK
from cascade_tf.data.outline_table import OutlineTable
from cascade_tf.data.segmentation import packed_mask
from cascade_tf.data.table import ExampleTable
from cascade_tf.ops import library
from cascade_tf.ops.draw_masks import draw_masks
from cascade_tf.structures import Tensor

MaskFunction = Callable[[Tensor, tuple[Tensor, Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


def mask_function(
    table: ExampleTable, *, skip_broken: bool = False, implementation: str = "auto"
) -> MaskFunction:
    """Returns what draws the masks of one example at a time, for a function that a Dataset maps.

    Args:
        table: with segmentations.
        skip_broken: an object whose mask cannot be drawn is logged and left to be ignored, instead of
            stopping.
        implementation: "custom" draws in C++, "tensorflow" with pycocotools in Python functions, whose pixels
            are equal; "auto" takes the first where there is a library, and where no mask is broken, which
            only Python can name.

    Returns:
        Function of the index of an example (int32 scalar), the (height, width) of its resized image (int32
        scalars), whether that is mirrored left and right (bool scalar), and the [2] int32 (height, width) of
        the image with its padding. It gives [max(n, 1), H, ceil(W / 8)] uint8 packed masks for that frame,
        zeros for crowds; and [n] bool, False for an object of which no pixel is left at this size, or whose
        mask ``skip_broken`` lets pass.

    Raises:
        ValueError: the data set was read without segmentations, "custom" meets a broken one, or the
            implementation is unknown.
        LibraryError: "custom" without a usable library.
    """
    if sum(map(len, table.segmentations)) < len(table.boxes):
        raise ValueError("the data set has no masks, expected one that was read with segmentations=True")
    if library.custom_ops(implementation, on_host=True) is not None:
        outlines = OutlineTable.of(table.segmentations, table.sizes)
        if outlines is not None:
            return _from_outlines(table, outlines)
        if implementation == "custom":
            raise ValueError("a segmentation is broken, expected only those that a reader takes")
    return MaskDrawer(table, skip_broken=skip_broken)


def _from_outlines(table: ExampleTable, outlines: OutlineTable) -> MaskFunction:
    def draw(
        index: Tensor, size: tuple[Tensor, Tensor], flip: Tensor, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        objects = outlines.of_objects(table.offsets[index], table.offsets[index + 1])
        return draw_masks(objects, table.size_of(index), size, flip, frame)

    return draw


class MaskDrawer:
    """Draws the masks of one example at a time in Python, see `mask_function`.

    Args:
        table: with segmentations.
        skip_broken: as in `mask_function`.
    """

    def __init__(self, table: ExampleTable, *, skip_broken: bool = False) -> None:
        self._segmentations = table.segmentations
        self._sizes = table.sizes
        self._path_of = table.path_of
        self._skip_broken = skip_broken
        self._skipped: set[str] = set()
        self._lock = threading.Lock()

    def __call__(
        self, index: Tensor, size: tuple[Tensor, Tensor], flip: Tensor, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draws the masks of an example, see `mask_function`.

        Raises:
            tf.errors.InvalidArgumentError: a mask cannot be drawn; `broken_image_line` gives the line.
        """
        masks, intact = tf.numpy_function(
            self._draw,
            [index, self._path_of(index), tf.stack(size), flip, frame],
            (tf.uint8, tf.bool),
            stateful=False,
        )
        return tf.ensure_shape(masks, [None, None, None]), tf.ensure_shape(intact, [None])

    def _draw(
        self, index: np.ndarray, path: bytes, size: np.ndarray, flip: np.ndarray, frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        segmentations = self._segmentations[index]
        (height, width), original = size.tolist(), tuple(self._sizes[index].tolist())
        masks = np.zeros((max(len(segmentations), 1), frame[0], -(-frame[1] // 8)), np.uint8)
        intact = np.ones(len(segmentations), bool)
        for number, segmentation in enumerate(segmentations):
            if segmentation is None:
                continue
            try:
                packed = packed_mask(segmentation, original, (height, width), bool(flip))
            except ValueError as error:
                where = f"{path.decode(errors='replace')}, object {number + 1} of {len(segmentations)}"
                self._broken(f"{where}: {error}")
                intact[number] = False
            else:
                masks[number, :height, : packed.shape[1]] = packed
                intact[number] = packed.any()
        return masks, intact

    def _broken(self, line: str) -> None:
        if not self._skip_broken:
            raise ValueError(f"[{BROKEN_MASK}{line}]") from None
        with self._lock:
            if line not in self._skipped:
                self._skipped.add(line)
                logging.warning("ignored an object, %d so far: %s%s", len(self._skipped), BROKEN_MASK, line)
