"""Features of fixed size for boxes, from a grid of points: the RoIAlign of the Cascade R-CNN authors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import require
from cascade_tf.layers.map_order import check_strides, fine_to_coarse
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.ops.grid_roi_align import grid_roi_align
from cascade_tf.ops.roi_align import assign_levels
from cascade_tf.pooling.box_pooling import BoxPooling
from cascade_tf.pooling.context import check_ratios, shape_with_context, with_context
from cascade_tf.pooling.map_channels import channels_of
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class GridROIAlign(BoxPooling):
    """Pools each box from the level of its size, the bins as means of their corners; see its op.

    Differentiable in the features; boxes get no gradient.

    Where a batch has no box of some level, the authors' code pools the box of the nearest size from that
    level too, a second time. Here every box is pooled once.

    Args:
        output_size: P, cells per side of the result, or their (height, width).
        levels: names of the maps that boxes are pooled from, finest first; None: the finest
            ``len(strides)`` in the order of ``fine_to_coarse``.
        strides: pixels per cell of these maps.
        canonical_size: a box of this side length goes to ``canonical_level``.
        canonical_level: number of that level, 4 for the map of stride 16.
        pad_ratio: widens a box on each side by this share of its width and height, for context around it.
        context_ratio: appends, as further channels, what a box widened by this share has; None: nothing.
        inclusive: ends the grid with a box's last pixel, ``x2 - 1``, which is the authors' arithmetic. False:
            with its far edge.
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``; see
            ``ops.grid_roi_align``.

    Raises:
        ValueError: a size or share out of its range, or other numbers of levels and strides.
    """

    kind = "pooling"
    asserts_sizes = True

    def __init__(
        self,
        output_size: int | Sequence[int] = 7,
        levels: Sequence[str] | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        canonical_size: float = 224.0,
        canonical_level: int = 4,
        pad_ratio: float = 0.0,
        context_ratio: float | None = None,
        inclusive: bool = True,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(output_size, implementation, **kwargs)
        check_ratios("GridROIAlign", pad_ratio, context_ratio)
        require(canonical_size > 0, "canonical_size", canonical_size, "a number of pixels above 0")
        require(levels is None or len(levels) == len(strides), "levels", levels, f"{len(strides)} names")
        self.levels = levels
        self.strides = strides
        self.canonical_size = canonical_size
        self.canonical_level = canonical_level
        self.pad_ratio = pad_ratio
        self.context_ratio = context_ratio
        self.inclusive = inclusive

    def pooled_shape(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of ``call``'s result for features of these shapes."""
        shape = (None, None, *self.cells, channels_of("GridROIAlign", shapes, self._names(shapes)))
        return shape_with_context(shape, self.context_ratio)

    def map_strides(self, names: Iterable[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have."""
        yield MapStrides("strides", self._names(names), tuple(self.strides))

    def _pool(self, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        names = self._names(features)
        check_strides("GridROIAlign", features, names, self.strides, self.asserts_sizes)
        levels = assign_levels(
            boxes,
            len(names),
            min_level=round(math.log2(self.strides[0])),
            canonical_size=self.canonical_size,
            canonical_level=self.canonical_level,
        )

        settings: dict[str, Any] = {
            "strides": tuple(self.strides),
            "output_size": self.output_size,
            "implementation": self.implementation,
        }
        maps = [features[name] for name in names]
        if self.context_ratio is None:
            settings |= {"pad_ratio": self.pad_ratio, "inclusive_boxes": not self.inclusive}
            return grid_roi_align(maps, boxes, levels=levels, **settings)
        # A box and its context from the same level.
        levels = tf.tile(levels, [1, 2])
        return with_context(
            lambda widened: grid_roi_align(maps, widened, levels=levels, inclusive_boxes=True, **settings),
            boxes,
            self.inclusive,
            self.pad_ratio,
            self.context_ratio,
        )

    def _names(self, features: Iterable[str]) -> tuple[str, ...]:
        return fine_to_coarse(features)[: len(self.strides)] if self.levels is None else tuple(self.levels)
