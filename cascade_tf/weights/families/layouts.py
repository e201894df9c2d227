"""From the layouts in which other frameworks store weights to Keras's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np

from cascade_tf.weights.families.family import Source
from cascade_tf.weights.places import Place


def conv_from_oihw(values: np.ndarray) -> np.ndarray:
    """A convolution's kernel [out, in / groups, kh, kw], as [kh, kw, in / groups, out]."""
    return values.transpose(2, 3, 1, 0)


def deconv_from_iohw(values: np.ndarray) -> np.ndarray:
    """A transposed convolution's kernel [in, out, kh, kw], as [kh, kw, out, in]."""
    return values.transpose(2, 3, 1, 0)


def dense_from_oi(values: np.ndarray) -> np.ndarray:
    """A fully connected layer's kernel [out, in], as [in, out]."""
    return values.transpose(1, 0)


def first_dense_from_ochw(values: np.ndarray, pooled: int | tuple[int, int]) -> np.ndarray:
    """The kernel behind pooled features flattened as (channel, row, column), for (row, column, channel).

    Args:
        values: [out, C P P].
        pooled: P, or (height, width) of cells that are no square.

    Returns:
        [P, P, C, out]: the kernel [P P C, out] before its leading axes are merged, which would take a copy of
        what is the largest tensor of a detector.

    Raises:
        ValueError: the second axis is no multiple of P P.
    """
    outputs, inputs = values.shape
    height, width = (pooled, pooled) if isinstance(pooled, int) else pooled
    if inputs % (height * width):
        raise ValueError(
            f"a layer behind pooled features: got {inputs} inputs, expected a multiple of {height} x {width}"
        )
    return values.reshape(outputs, -1, height, width).transpose(2, 3, 1, 0)


def first_dense_from_hwc(values: np.ndarray, pooled: int) -> np.ndarray:
    """The kernel [P P C, out] behind features flattened as (row, column, channel), as [P, P, C, out].

    Args:
        values: [P P C, out].
        pooled: P.

    Raises:
        ValueError: the first axis is no multiple of P P.
    """
    _, outputs = values.shape
    return values.reshape(pooled, pooled, -1, outputs)


def background_first(values: np.ndarray) -> np.ndarray:
    """The last entry of the last axis, the background where it comes last, moved to the front."""
    return np.roll(values, 1, axis=-1)


CHANNELS_FIRST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "conv": conv_from_oihw,
    "deconv": deconv_from_iohw,
    "dense": dense_from_oi,
    "vector": np.asarray,
}
"""By the kind of a place outside of box heads: from the layout that PyTorch, Caffe and Caffe2 share."""


def classifier_sources(names: Iterable[tuple[str, str]], pooled: int) -> dict[str, Source]:
    """The sources of ``ClassifierLayers`` in the layout that PyTorch and Caffe share.

    Args:
        names: (kernel, bias) of each layer.
        pooled: P of the first one's cells.
    """
    sources = {}
    for number, (kernel, bias) in enumerate(names, start=1):
        first = functools.partial(first_dense_from_ochw, pooled=pooled)
        sources[f"fc{number}.kernel"] = Source((kernel,), first if number == 1 else dense_from_oi)
        sources[f"fc{number}.bias"] = Source((bias,), np.asarray)
    return sources


def channels_first(place: Place) -> Callable[[np.ndarray], np.ndarray]:
    """The conversion of a place's value from the layout that PyTorch, Caffe and Caffe2 share."""
    return CHANNELS_FIRST[place.kind] if place.cells is None else behind_pooling(place)


def behind_pooling(place: Place) -> Callable[[np.ndarray], np.ndarray]:
    """``first_dense_from_ochw`` with the cells of a place behind pooled features."""
    return functools.partial(first_dense_from_ochw, pooled=place.cells or (1, 1))


def shape_from_channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in Keras's layout of a value in the layout that PyTorch, Caffe and Caffe2 share.

    >>> shape_from_channels_first((256, 64, 3, 3))
    (3, 3, 64, 256)
    """
    if len(shape) == 4:
        return (*shape[2:], shape[1], shape[0])
    return shape[::-1]
