"""What the layers share that pool all boxes from one map."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from cascade_tf.layers.base import require
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.pooling.box_pooling import BoxPooling


class SingleMapPooling(BoxPooling):
    """Pools all boxes from one map by an op of Caffe's arithmetic.

    Args:
        output_size: cells per side of the result, or their (height, width).
        level: name of the map; None: the only one that comes.
        stride: pixels per cell of the map.
        inclusive: ends a box with its last pixel, ``x2 - 1``, instead of its far edge.
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``.
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        level: str | None,
        stride: float,
        inclusive: bool,
        implementation: str,
        **kwargs: Any,
    ):
        super().__init__(output_size, implementation, **kwargs)
        require(stride > 0, "stride", stride, "a number of pixels above 0")
        self.level = level
        self.stride = stride
        self.inclusive = inclusive

    def pooled_shape(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of ``call``'s result for features of these shapes."""
        return (None, None, *self.cells, self._map(shapes)[-1])

    def map_strides(self, names: Collection[str]) -> Iterator[MapStrides]:
        """The stride that it takes its map to have, among maps of these names."""
        level = self._level(names)
        if level is not None:
            yield MapStrides("stride", (level,), (self.stride,))

    def _map(self, features: Mapping[str, Any]) -> Any:
        level = self._level(features)
        if level is None or level not in features:
            raise ValueError(
                f"{type(self).__name__}: level={self.level!r} is not one of the maps {sorted(features)}"
            )
        return features[level]

    def _level(self, names: Collection[str]) -> str | None:
        return next(iter(names)) if self.level is None and len(names) == 1 else self.level

    def _settings(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "output_size": self.output_size,
            "inclusive_boxes": not self.inclusive,
            "implementation": self.implementation,
        }
