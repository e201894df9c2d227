"""The grid of reference boxes of the region proposal network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cascade_tf.structures import Tensor


class AnchorGrid:
    """Boxes of fixed sizes and aspect ratios, centred on every cell of every pyramid level.

    An anchor's area is ``size ** 2`` whatever its ratio. Anchors that lie in the padding or cross the image's
    border are part of the grid.

    Args:
        sizes: for each level the anchor sizes in pixels: a number, or several. Sizes are the outer order of
            the anchors of a cell, ratios the inner.
        ratios: height / width.
        strides: pixels per cell of each level.
        offset: position of the centre within its cell in cells: 0 is the top left corner (detectron2,
            mmdetection), 0.5 the middle of the cell (Caffe, Detectron).
        rounding: rounds the sides to whole multiples of ``size / stride``, as Faster R-CNN's first code and
            Detectron do: 48 x 24 instead of 45.3 x 22.6 for size 32, ratio 0.5 and stride 4.

    Raises:
        ValueError: ``sizes`` and ``strides`` differ in length, or a value is not positive.
    """

    def __init__(
        self,
        sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        offset: float = 0.0,
        rounding: bool = False,
    ):
        levels = [np.atleast_1d(np.asarray(size, np.float64)) for size in sizes]
        if len(levels) != len(strides):
            raise ValueError(
                f"anchors need one size per stride, got {len(levels)} sizes and {len(strides)} strides"
            )
        if min(min(level) for level in levels) <= 0 or min(ratios) <= 0 or min(strides) <= 0:
            raise ValueError(
                f"anchor sizes, ratios and strides must be positive, got {sizes}, {ratios}, {strides}"
            )
        if len({len(level) for level in levels}) != 1:
            raise ValueError(f"every level needs the same number of anchor sizes, got {sizes}")
        self.strides = tuple(strides)
        self.offset = float(offset)
        self.anchors_per_cell = len(levels[0]) * len(ratios)
        self.rounding = rounding
        self.cells = [
            _cell_anchors(level, ratios, stride if rounding else None)
            for level, stride in zip(levels, strides, strict=True)
        ]

    def __call__(self, feature_sizes: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Anchors for the given sizes of feature maps.

        Args:
            feature_sizes: (height, width) in cells of each level, numbers or scalar tensors.

        Returns:
            For each level [h * w * A, 4] float32 in the order row, column, anchor.
        """
        if len(feature_sizes) != len(self.strides):
            raise ValueError(f"expected {len(self.strides)} levels of features, got {len(feature_sizes)}")
        return [
            self._level(cell, stride, *size)
            for cell, stride, size in zip(self.cells, self.strides, feature_sizes, strict=True)
        ]

    def _level(self, cell: np.ndarray, stride: int, height: Tensor, width: Tensor) -> Tensor:
        x = (tf.cast(tf.range(width), tf.float32) + self.offset) * float(stride)
        y = (tf.cast(tf.range(height), tf.float32) + self.offset) * float(stride)
        grid_x, grid_y = tf.meshgrid(x, y)
        shifts = tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1)
        return tf.reshape(shifts[:, :, None, :] + tf.constant(cell), [-1, 4])


def _cell_anchors(sizes: np.ndarray, ratios: Sequence[float], unit: float | None) -> np.ndarray:
    """[A, 4] float32 anchors around the origin; with a ``unit`` the shapes of that size are whole numbers."""
    anchors = []
    for size in sizes:
        for ratio in ratios:
            if unit is None:
                width = np.sqrt(size**2 / ratio)
                height = ratio * width
            else:
                # Rounded half to even, as NumPy does in the original.
                width = np.round(np.sqrt(unit**2 / ratio))
                height = np.round(width * ratio)
                width, height = width * size / unit, height * size / unit
            anchors.append([-width / 2, -height / 2, width / 2, height / 2])
    return np.asarray(anchors, np.float32)
