"""Features of fixed size for boxes, from channels that belong to places in the box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from cascade_tf.ops.ps_roi_pool import ps_roi_pool
from cascade_tf.pooling.single_map import SingleMapPooling
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class PSROIPool(SingleMapPooling):
    """Averages each bin over the bin's own channels, as R-FCN does; see ``ops.ps_roi_pool``.

    Of D k k channels of the map, ``(d * k + row) * k + column`` is value ``d`` of that bin; D are left.

    Differentiable in the features; boxes get no gradient.

    Args:
        output_size: k, bins per side of the result, or their (height, width).
        level: name of the map that all boxes are pooled from; None: the only one that comes.
        stride: pixels per cell of that map.
        inclusive: ends a box with its last pixel, ``x2 - 1``, which is Caffe's arithmetic. False: with its
            far edge.
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``; see ``ops.ps_roi_pool``.

    Raises:
        ValueError: a size or stride that is not positive; in a call, no map of that name or channels that
            do not divide.
    """

    kind = "pooling"

    def __init__(
        self,
        output_size: int | Sequence[int] = 7,
        level: str | None = None,
        stride: float = 16,
        inclusive: bool = True,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(output_size, level, stride, inclusive, implementation, **kwargs)

    def pooled_shape(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of ``call``'s result for features of these shapes."""
        channels = self._map(shapes)[-1]
        height, width = self.cells
        return (None, None, height, width, None if channels is None else channels // (height * width))

    def _pool(self, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        return ps_roi_pool(self._map(features), boxes, **self._settings())
