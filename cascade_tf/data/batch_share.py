"""A host's share of each batch, padded as the whole batch would be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cascade_tf.data.plan import PlannedSteps
from cascade_tf.structures import Tensor

Frame = tuple[Tensor, Tensor]
"""Height and width, int32 scalars."""


def share_of(
    planned: tf.data.Dataset,
    share: tuple[int, int],
    batch_size: int,
    frame_of: Callable[[PlannedSteps], Frame],
) -> tf.data.Dataset:
    """A consecutive part of each batch's examples, each with the frame of the whole batch.

    Args:
        planned: examples of one batch after the other, ``PlannedSteps`` without an axis.
        share: (i, n), the i-th, from 0, of n equal parts.
        batch_size: examples of a whole batch.
        frame_of: the sides that a batch of examples is padded to.

    Returns:
        Dataset of (PlannedSteps, Frame), without an axis.
    """
    index, count = share
    size = batch_size // count

    def part(whole: PlannedSteps) -> tuple[PlannedSteps, Frame]:
        mine = PlannedSteps(*(value[index * size : (index + 1) * size] for value in whole))
        height, width = frame_of(whole)
        return mine, (tf.repeat(height, size), tf.repeat(width, size))

    by_batch = planned.batch(batch_size, drop_remainder=True)
    return by_batch.map(tf.autograph.experimental.do_not_convert(part)).unbatch()


def frame_of_sizes(
    sizes: np.ndarray, resized: Callable[..., Frame], divisor: int
) -> Callable[[PlannedSteps], Frame]:
    """What tells a batch's frame from its plan.

    Args:
        sizes: [M, 2] (height, width) of the data set's images.
        resized: (heights, widths, short side) -> heights and widths at the network's scale.
        divisor: what both sides of a frame are multiples of.
    """

    def frame_of(step: PlannedSteps) -> Frame:
        of_batch = tf.gather(tf.constant(sizes, tf.int32), step.example)
        height, width = (
            -(-tf.reduce_max(side) // divisor) * divisor
            for side in resized(of_batch[:, 0], of_batch[:, 1], step.short_side[0])
        )
        return height, width

    return frame_of


def padded_to(image: Tensor, frame: Frame) -> Tensor:
    """The image [h, w, C] with zeros to the right and below, where it is smaller than the frame."""
    height, width = (tf.maximum(a, b) for a, b in zip(frame, tf.unstack(tf.shape(image)[:2]), strict=True))
    return tf.image.pad_to_bounding_box(image, 0, 0, height, width)
