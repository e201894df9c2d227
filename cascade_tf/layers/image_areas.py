"""Which part of a padded batch's maps belongs to each image.

Images of a batch are padded to the largest of them. Alone, an image is padded as well, to a multiple of the
coarsest stride; that much is its area, at the upper left of the batch's frame. A network whose
normalisation takes statistics of maps gives each image the answer that it gets alone if these are taken
within its area, if convolutions see zeros around it, and if neither anchors nor pooled boxes look beyond it.

The layers that do so learn of the areas from a context and not from their arguments: a backbone may be
anybody's functional model. Without it they take maps as a whole.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from cascade_tf.structures import Tensor


class ImageAreas(NamedTuple):
    """The areas of a batch's images.

    Attributes:
        size: [B, 2] int32 (height, width), pixels.
        frame: [2] int32 (height, width) of the batch.
    """

    size: Tensor
    frame: Tensor

    @classmethod
    def of_batch(cls, images: Tensor, image_size: Tensor, divisor: int) -> ImageAreas:
        """The areas of padded images.

        Args:
            images: [B, H, W, 3].
            image_size: [B, 2] float32 (height, width) before padding; an image of size 0 gets the smallest
                area, so that means exist.
            divisor: an image alone is padded to multiples of it.
        """
        frame = tf.shape(images)[1:3]
        pixels = tf.maximum(tf.cast(tf.math.ceil(image_size), tf.int32), 1)
        return cls(tf.minimum(-(-pixels // divisor) * divisor, frame), frame)

    def cells(self, height: Tensor, width: Tensor) -> Tensor:
        """[B, 2] int32 (height, width) of the areas on a map of so many rows and columns."""
        return -(-self.size * tf.stack([height, width]) // self.frame)

    def rows_and_columns(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """[B, h] and [B, w] bool: the rows and columns of a map that the areas have."""
        cells = self.cells(height, width)
        return tf.range(height) < cells[:, :1], tf.range(width) < cells[:, 1:]


_Held = contextvars.ContextVar["ImageAreas | None"]
# Two of them: a head normalises the features of boxes, whose maps are no images, between the poolings.
_of_maps: _Held = contextvars.ContextVar("areas of maps", default=None)
_of_boxes: _Held = contextvars.ContextVar("areas of boxes", default=None)


def maps_within(areas: ImageAreas | None) -> contextlib.AbstractContextManager[None]:
    """While it lasts, normalisations and necks keep to the areas, in this thread and in graphs of it."""
    return _holding(_of_maps, areas)


def boxes_within(areas: ImageAreas | None) -> contextlib.AbstractContextManager[None]:
    """The same for what makes boxes from maps, and pools them."""
    return _holding(_of_boxes, areas)


@contextlib.contextmanager
def _holding(variable: _Held, areas: ImageAreas | None) -> Iterator[None]:
    token = variable.set(areas)
    try:
        yield
    finally:
        variable.reset(token)


def areas_of_maps() -> ImageAreas | None:
    """The areas that normalisations and necks have to keep to, if any."""
    return _of_maps.get()


def areas_of_boxes() -> ImageAreas | None:
    """The areas that anchors and pooled boxes have to keep to, if any."""
    return _of_boxes.get()


def clear_padding(x: Tensor) -> Tensor:
    """A map [B, h, w, C] with zeros beyond the areas, as a convolution sees them beyond the border of a map.

    The map itself where there are no areas.
    """
    areas = areas_of_maps()
    if areas is None:
        return x
    rows, columns = (tf.cast(one, x.dtype) for one in areas.rows_and_columns(*_sides(x)))
    return x * (rows[:, :, None, None] * columns[:, None, :, None])


def mean_of_cells(x: Tensor) -> Tensor:
    """[B, 1, 1, C] float32 means over the cells of each image: of its area, or if there is none of the map.

    Columns come first, then rows: TensorFlow adds the values of a whole map one after another, which costs
    three digits.

    Args:
        x: [B, h, w, C] float32.
    """
    areas = areas_of_maps()
    if areas is None:
        return tf.reduce_mean(tf.reduce_mean(x, axis=2, keepdims=True), axis=1, keepdims=True)
    rows, columns = (_shares(one) for one in areas.rows_and_columns(*_sides(x)))
    # As products, which read the map once; a masked copy of it would be written and read again.
    of_rows = tf.squeeze(tf.matmul(columns[:, None, None, :], x), axis=2)
    return tf.expand_dims(tf.matmul(rows[:, None, :], of_rows), axis=1)


def _sides(x: Tensor) -> tuple[Tensor, Tensor]:
    shape = tf.shape(x)
    return shape[1], shape[2]


def _shares(counted: Tensor) -> Tensor:
    """[B, n] float32 weights that make a mean of those that count."""
    weights = tf.cast(counted, tf.float32)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
