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
        alike: bool, whether all areas are the whole frame, so that there is nothing to keep apart.
    """

    size: Tensor
    frame: Tensor
    alike: Tensor

    @classmethod
    def of_batch(cls, images: Tensor, image_size: Tensor, divisor: int) -> ImageAreas:
        """The areas of padded images.

        Args:
            images: [B, H, W, 3].
            image_size: [B, 2] (height, width) before padding; an image of size 0 gets the smallest
                area, so that means exist.
            divisor: an image alone is padded to multiples of it.
        """
        frame = tf.shape(images)[1:3]
        pixels = tf.maximum(tf.cast(tf.math.ceil(tf.cast(image_size, tf.float32)), tf.int32), 1)
        size = tf.minimum(-(-pixels // divisor) * divisor, frame)
        return cls(size, frame, tf.reduce_all(size == frame))

    def cells(self, stride: float) -> Tensor:
        """[B, 2] int32 (height, width) of the areas on a map of so many pixels per cell."""
        return tf.cast(tf.math.ceil(tf.cast(self.size, tf.float32) / stride), tf.int32)


_ARGUMENTS = [tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([2], tf.int32), tf.TensorSpec([4], tf.int32)]


# Functions of the graph: a network has some sixty of these calls, and their nodes are written once.
@tf.function(input_signature=_ARGUMENTS, autograph=False)
def _inside(size: Tensor, frame: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """[B, h] and [B, w] bool: the rows and columns that the areas have of a map of this shape.

    Frames and areas are multiples of the stride of any map that is normalised, so that shares of the frame
    are shares of the map.
    """
    cells = -(-size * shape[1:3] // frame)
    return tf.range(shape[1]) < cells[:, :1], tf.range(shape[2]) < cells[:, 1:]


@tf.function(input_signature=_ARGUMENTS, autograph=False)
def _mask(size: Tensor, frame: Tensor, shape: Tensor) -> Tensor:
    """[B, h, w, 1] float32: 1 in the areas, else 0."""
    rows, columns = _inside(size, frame, shape)
    return tf.cast(rows[:, :, None, None] & columns[:, None, :, None], tf.float32)


@tf.function(input_signature=_ARGUMENTS, autograph=False)
def _shares(size: Tensor, frame: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1, h] and [B, 1, 1, w] float32 weights that make means over the rows and columns of the areas."""
    rows, columns = (tf.cast(one, tf.float32) for one in _inside(size, frame, shape))
    rows, columns = (one / tf.reduce_sum(one, axis=1, keepdims=True) for one in (rows, columns))
    return rows[:, None, :], columns[:, None, None, :]


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

    def cleared() -> Tensor:
        return x * tf.cast(_mask(areas.size, areas.frame, tf.shape(x)), x.dtype)

    return tf.cond(areas.alike, lambda: x, cleared)


def mean_of_cells(x: Tensor) -> Tensor:
    """[B, 1, 1, C] float32 means over the cells of each image: of its area, or if there is none of the map.

    Columns come first, then rows: TensorFlow adds the values of a whole map one after another, which costs
    three digits.

    Args:
        x: [B, h, w, C] float32.
    """
    areas = areas_of_maps()
    return _mean_of_map(x) if areas is None else _mean_of_areas(x, *areas)


def _mean_of_map(x: Tensor) -> Tensor:
    return tf.reduce_mean(tf.reduce_mean(x, axis=2, keepdims=True), axis=1, keepdims=True)


@tf.function(
    input_signature=[tf.TensorSpec([None] * 4), *_ARGUMENTS[:2], tf.TensorSpec([], tf.bool)], autograph=False
)
def _mean_of_areas(x: Tensor, size: Tensor, frame: Tensor, alike: Tensor) -> Tensor:
    def mean() -> Tensor:
        rows, columns = _shares(size, frame, tf.shape(x))
        # As products, which read the map once; a masked copy of it would be written and read again.
        of_rows = tf.squeeze(tf.matmul(columns, x), axis=2)
        return tf.expand_dims(tf.matmul(rows, of_rows), axis=1)

    return tf.cond(alike, lambda: _mean_of_map(x), mean)
