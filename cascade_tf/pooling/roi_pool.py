"""Features of fixed size for boxes, from whole cells of one map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from cascade_tf.ops.roi_pool import roi_pool
from cascade_tf.pooling.context import check_ratios, shape_with_context, with_context
from cascade_tf.pooling.single_map import SingleMapPooling
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class ROIPool(SingleMapPooling):
    """Takes the largest value of each bin of whole cells, as Fast R-CNN does; see ``ops.roi_pool``.

    Differentiable in the features; boxes get no gradient.

    Args:
        output_size: P, cells per side of the result, or their (height, width).
        level: name of the map that all boxes are pooled from; None: the only one that comes.
        stride: pixels per cell of that map.
        pad_ratio: widens a box on each side by this share of its width and height, for context around it.
        context_ratio: appends, as further channels, what a box widened by this share has; None: nothing.
        inclusive: ends a box with the cell of its last pixel, ``x2 - 1``, which is Caffe's arithmetic. False:
            with that of its far edge, for nets whose RoIs say ``x1 + width`` there.
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``; see ``ops.roi_pool``.

    Raises:
        ValueError: a size, stride or share out of its range; in a call, no map of that name.
    """

    kind = "pooling"

    def __init__(
        self,
        output_size: int | Sequence[int] = 7,
        level: str | None = None,
        stride: float = 16,
        pad_ratio: float = 0.0,
        context_ratio: float | None = None,
        inclusive: bool = True,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(output_size, level, stride, inclusive, implementation, **kwargs)
        check_ratios("ROIPool", pad_ratio, context_ratio)
        self.pad_ratio = pad_ratio
        self.context_ratio = context_ratio

    def pooled_shape(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of ``call``'s result for features of these shapes."""
        return shape_with_context(super().pooled_shape(shapes), self.context_ratio)

    def _pool(self, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        one, settings = self._map(features), self._settings()
        if self.context_ratio is None:
            return roi_pool(one, boxes, pad_ratio=self.pad_ratio, **settings)
        settings["inclusive_boxes"] = True
        return with_context(
            lambda widened: roi_pool(one, widened, **settings),
            boxes,
            self.inclusive,
            self.pad_ratio,
            self.context_ratio,
        )
