"""Fewer units of fully connected layers than a checkpoint has: those with the largest weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def with_fewer_units(values: Mapping[str, np.ndarray], units: int) -> dict[str, np.ndarray]:
    """The same layers with ``units`` units each.

    Of each layer the units stay whose incoming weights have the largest Euclidean norm, in the order that
    they had; of equal ones the first. The next layer reads these alone, and the norms of its own units count
    what they still read. Biases have no part in it.

    The authors prune VGG16's layers to 2048 units and do not say how. The norm is the most that an input of
    unit length can make of a unit, so that what is left out is what answers least; it needs no images.

    Args:
        values: of layers in sequence, by ``LAYER.kernel`` [..., in, units] and ``LAYER.bias`` [units].
        units: at most as many as each layer has.
    """
    fewer: dict[str, np.ndarray] = {}
    kept: np.ndarray | slice = slice(None)
    for layer in dict.fromkeys(name.rpartition(".")[0] for name in values):
        kernel = values[f"{layer}.kernel"][kept]
        kept = strongest_units(kernel, units) if units < kernel.shape[-1] else slice(None)
        fewer[f"{layer}.kernel"] = kernel[..., kept]
        fewer[f"{layer}.bias"] = values[f"{layer}.bias"][kept]
    return fewer


def strongest_units(kernel: np.ndarray, units: int) -> np.ndarray:
    """Numbers of the units with the largest incoming weights, ascending.

    >>> strongest_units(np.array([[3.0, 1.0, 0.0, 5.0], [0.0, 1.0, 3.0, 0.0]]), 2).tolist()
    [0, 3]

    Args:
        kernel: [..., in, units].
        units: how many of them.
    """
    squares = np.zeros(kernel.shape[-1])
    # Cell by cell: the squares of the largest layer at once would take twice its memory.
    for cell in np.ndindex(kernel.shape[:-2]):
        squares += np.square(kernel[cell], dtype=np.float64).sum(axis=0)
    return np.sort(np.argsort(-squares, kind="stable")[:units])
