"""The grids of reference boxes of region proposal networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cascade_tf.structures import Tensor


class ShapeGrid:
    """Boxes of given shapes, centred on every cell of every level.

    Anchors that lie in the padding or cross the image's border are part of the grid. All levels are
    concatenated in the order level, row, column, shape; shapes are numbered through all levels.

    Args:
        shapes: for each level the (width, height) of the anchors of a cell, pixels; levels may have different
            numbers of them.
        strides: pixels per cell of each level.
        offset: position of the centre within its cell in cells: 0 is the top left corner (detectron2,
            mmdetection), 0.5 the middle of the cell (Caffe, Detectron).

    Raises:
        ValueError: ``shapes`` and ``strides`` differ in length, a level has no shape, or a value is not
            positive.
    """

    def __init__(
        self, shapes: Sequence[Sequence[tuple[float, float]]], strides: Sequence[int], offset: float = 0.5
    ):
        if len(shapes) != len(strides):
            raise ValueError(
                f"anchors need shapes for every stride, got {len(shapes)} levels and {len(strides)} strides"
            )
        if not all(len(level) for level in shapes):
            raise ValueError(f"every level needs an anchor, got {shapes}")
        levels = [np.asarray(level, np.float64).reshape(-1, 2) for level in shapes]
        if min(level.min() for level in levels) <= 0 or min(strides) <= 0:
            raise ValueError(f"anchor shapes and strides must be positive, got {shapes}, {strides}")
        self.strides = tuple(strides)
        self.offset = float(offset)
        self.cells = [np.concatenate([-level / 2, level / 2], axis=1).astype(np.float32) for level in levels]
        self.shapes_per_level = tuple(len(level) for level in levels)

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

    def split(self, values: Tensor, feature_sizes: Tensor, axis: int = 1) -> list[Tensor]:
        """Values of all anchors, level by level.

        Args:
            values: N of them along ``axis``.
            feature_sizes: [L, 2] int32 (height, width) in cells.
            axis: of the anchors.

        Returns:
            L tensors.
        """
        counts = self._anchors_of_levels(feature_sizes)
        return tf.split(values, counts, axis=axis, num=len(self.strides))

    def place(self, shape: Tensor, points: Tensor, feature_sizes: Tensor) -> Tensor:
        """The anchor of a shape in the cell that contains a point, or in the nearest cell of the map.

        Args:
            shape: [...] int32 number of the shape.
            points: [..., 2] float32 (x, y), pixels.
            feature_sizes: [L, 2] int32 (height, width) in cells.

        Returns:
            [...] int32 index of the anchor among those of all levels.
        """
        level = np.repeat(np.arange(len(self.strides)), self.shapes_per_level)
        within = np.concatenate([np.arange(count) for count in self.shapes_per_level])
        level, within = tf.gather(tf.constant(level), shape), tf.gather(tf.constant(within), shape)
        stride = tf.gather(tf.constant(self.strides, tf.float32), level)
        size = tf.gather(feature_sizes, level)
        cell = tf.cast(tf.floor(points / stride[..., None]), tf.int32)
        cell = tf.clip_by_value(cell, 0, size[..., ::-1] - 1)
        start = tf.gather(tf.cumsum(self._anchors_of_levels(feature_sizes), exclusive=True), level)
        count = tf.gather(tf.constant(self.shapes_per_level), level)
        return start + (cell[..., 1] * size[..., 1] + cell[..., 0]) * count + tf.cast(within, tf.int32)

    def of_image(self, image_size: Tensor, feature_sizes: Tensor) -> Tensor:
        """Which anchors belong to cells of the images themselves, not of their padding.

        An image has as many rows and columns of cells as its size divided by the stride, rounded.

        Args:
            image_size: [B, 2] float32 (height, width) before padding.
            feature_sizes: [L, 2] int32 (height, width) in cells.

        Returns:
            [B, N] bool.
        """
        inside = []
        for level, (stride, count) in enumerate(zip(self.strides, self.shapes_per_level, strict=True)):
            own = tf.cast(tf.floor(image_size / stride + 0.5), tf.int32)
            rows = tf.range(feature_sizes[level, 0])[None] < own[:, :1]
            columns = tf.range(feature_sizes[level, 1])[None] < own[:, 1:]
            cells = tf.reshape(rows[:, :, None] & columns[:, None, :], [tf.shape(image_size)[0], -1])
            inside.append(tf.repeat(cells, count, axis=1))
        return tf.concat(inside, axis=1)

    def _anchors_of_levels(self, feature_sizes: Tensor) -> Tensor:
        return tf.reduce_prod(feature_sizes, axis=1) * tf.constant(self.shapes_per_level)

    def _level(self, cell: np.ndarray, stride: int, height: Tensor, width: Tensor) -> Tensor:
        x = (tf.cast(tf.range(width), tf.float32) + self.offset) * float(stride)
        y = (tf.cast(tf.range(height), tf.float32) + self.offset) * float(stride)
        grid_x, grid_y = tf.meshgrid(x, y)
        shifts = tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1)
        return tf.reshape(shifts[:, :, None, :] + tf.constant(cell), [-1, 4])


class AnchorGrid(ShapeGrid):
    """Boxes of fixed sizes and aspect ratios, the same number on every level.

    An anchor's area is ``size ** 2`` whatever its ratio.

    Args:
        sizes: for each level the anchor sizes in pixels: a number, or several. Sizes are the outer order of
            the anchors of a cell, ratios the inner.
        ratios: height / width.
        strides: pixels per cell of each level.
        offset: see ``ShapeGrid``.
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
        shapes = [
            _shapes(level, ratios, stride if rounding else None)
            for level, stride in zip(levels, strides, strict=True)
        ]
        super().__init__(shapes, strides, offset)
        self.rounding = rounding
        self.anchors_per_cell = self.shapes_per_level[0]


def _shapes(sizes: np.ndarray, ratios: Sequence[float], unit: float | None) -> list[tuple[float, float]]:
    """(width, height) of the anchors; with a ``unit`` the shapes of that size are whole numbers."""
    shapes = []
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
            shapes.append((width, height))
    return shapes
