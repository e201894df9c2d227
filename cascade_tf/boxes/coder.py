"""Boxes as offsets to other boxes, normalised by a stage's statistics (paper, Eq. 4 and 5, Sec. 3.1.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from cascade_tf.structures import Tensor


class BoxCoder:
    """Encodes a target box relative to a reference box and back.

    ``decode(encode(targets, boxes), boxes) == targets`` up to rounding, as long as no side grows by more than
    ``exp(max_log_scale)``. Encoded values are normalised (Eq. 5), because regression offsets are small and
    shrink from stage to stage: without that the box loss would be invisible beside the class loss.

    Args:
        std: standard deviations of (dx, dy, dw, dh). The paper's are (0.1, 0.1, 0.2, 0.2), halved for the
            second stage and divided by three for the third.
        max_log_scale: upper limit of the decoded dw and dh, natural logarithm. The default, log(1000 / 16),
            is the one of Detectron; it keeps untrained heads from overflowing.
        mean: means of (dx, dy, dw, dh), which are subtracted first; 0 in the paper's experiments.

    Raises:
        ValueError: ``std`` does not hold four positive numbers, or ``mean`` four numbers.
    """

    def __init__(
        self,
        std: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        max_log_scale: float = math.log(1000.0 / 16.0),
        mean: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ):
        if len(std) != 4 or min(std) <= 0:
            raise ValueError(f"std must be four positive numbers (dx, dy, dw, dh), got {tuple(std)}")
        if len(mean) != 4:
            raise ValueError(f"mean must be four numbers (dx, dy, dw, dh), got {tuple(mean)}")
        self.std = tuple(float(value) for value in std)
        self.mean = tuple(float(value) for value in mean)
        self.max_log_scale = float(max_log_scale)

    def encode(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Offsets that lead from ``boxes`` to ``targets``.

        Args:
            targets: [..., 4] float32.
            boxes: [..., 4] float32.

        Returns:
            [..., 4] float32 normalised (dx, dy, dw, dh); 0 where either box is degenerate.
        """
        size, centre = _size_and_centre(boxes)
        target_size, target_centre = _size_and_centre(targets)
        usable = tf.reduce_all((size > 0.0) & (target_size > 0.0), axis=-1, keepdims=True)
        size = tf.where(usable, size, 1.0)
        target_size = tf.where(usable, target_size, 1.0)
        deltas = tf.concat([(target_centre - centre) / size, tf.math.log(target_size / size)], axis=-1)
        if any(self.mean):
            deltas -= tf.constant(self.mean, deltas.dtype)
        return tf.where(usable, deltas / tf.constant(self.std, deltas.dtype), 0.0)

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Applies offsets to boxes; the inverse of ``encode``.

        Args:
            deltas: [..., 4] float32 normalised offsets, or [..., 4 K] for K boxes per reference box.
            boxes: [..., 4] float32.

        Returns:
            Boxes of the same shape as ``deltas``.
        """
        if deltas.shape[-1] != 4:
            shape = tf.shape(deltas)
            grouped = tf.reshape(deltas, tf.concat([shape[:-1], [deltas.shape[-1] // 4, 4]], axis=0))
            return tf.reshape(self.decode(grouped, boxes[..., None, :]), shape)
        size, centre = _size_and_centre(boxes)
        offsets = deltas * tf.constant(self.std, deltas.dtype)
        if any(self.mean):
            offsets += tf.constant(self.mean, deltas.dtype)
        # Clamped from above only, as every Detectron descendant does: a tiny box is harmless, an infinite one
        # is not.
        new_half = 0.5 * size * tf.exp(tf.minimum(offsets[..., 2:], self.max_log_scale))
        new_centre = centre + offsets[..., :2] * size
        return tf.concat([new_centre - new_half, new_centre + new_half], axis=-1)


def _size_and_centre(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return size, boxes[..., :2] + 0.5 * size
