"""What all layers share that pool boxes from feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.layers.map_order import as_maps
from cascade_tf.ops.pooling_arguments import checked_size
from cascade_tf.structures import Tensor


class BoxPooling(Layer):
    """Base of the poolings: the forms in which maps and boxes come. What a subclass computes is ``_pool``.

    Args:
        output_size: cells per side of the result, or their (height, width).
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``.
    """

    def __init__(self, output_size: int | Sequence[int], implementation: str, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        checked_size(type(self).__name__, output_size)
        self.output_size = output_size
        self.implementation = implementation
        self.supports_jit = False

    @property
    def cells(self) -> tuple[int, int]:
        """(height, width) of the result."""
        return checked_size(type(self).__name__, self.output_size)

    def call(self, features: Any, boxes: Any) -> Tensor:
        """Pools every box.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``; several maps in a list from fine to coarse; or one map.
            boxes: [B, R, 4] (x1, y1, x2, y2) in pixels of the network's input; as a RaggedTensor where images
                have different numbers of them.

        Returns:
            [B, R, height, width, C] of the features' type, ragged in R where the boxes are.

        Raises:
            ValueError: maps or boxes of a wrong shape, or maps that contradict the settings; what only a
                running graph knows, an InvalidArgumentError there.
        """
        maps = as_maps(features)
        if isinstance(boxes, tf.RaggedTensor):
            padded = boxes.to_tensor(shape=[None, None, 4])
            return tf.RaggedTensor.from_tensor(self._pool(maps, _as_floats(padded)), boxes.row_lengths())
        return self._pool(maps, _as_floats(boxes))

    def pool_in_turn(self, features: Any, boxes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pools one set of boxes among several, in training.

        Args:
            features: see ``call``.
            boxes: [B, R, 4].

        Returns:
            What ``call`` returns, and the features to pool the next set from: the same.
        """
        return self(features, boxes), dict(as_maps(features))

    def _pool(self, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say how it pools")


def _as_floats(boxes: Any) -> Tensor:
    boxes = tf.cast(boxes, tf.float32)
    if not boxes.shape.is_compatible_with([None, None, 4]):
        raise ValueError(f"boxes must be [B, R, 4], got {boxes.shape}")
    return boxes
