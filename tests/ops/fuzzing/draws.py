"""Random sizes and numbers, hostile ones among them."""

from __future__ import annotations

import numpy as np

# The smallest are normal numbers: TensorFlow's threads take smaller ones for zero, which NumPy does not.
ODD_FLOATS = np.float32(
    [np.nan, np.inf, -np.inf, 0, -0.0, 2e-38, -2e-38, 1e9, -1e9, 2**24, -(2**24), 2**31, 3.4e38, -3.4e38]
)
ODD_INTS = np.int32([-(2**31), -1, 0, 1, 2, 2**31 - 1])


class Draw:
    """One call's random numbers. In a tame one all coordinates and values are finite."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.wild = rng.random() < 0.3

    def count(self, most: int, least: int = 0) -> int:
        """The lowest now and then, where there may be none."""
        return int(least if self.rng.random() < 0.06 else self.rng.integers(least, most + 1))

    def values(self, *shape: int) -> np.ndarray:
        """float32 of ordinary size; a grid of quarters now and then, so that some are equal."""
        values = self.rng.standard_normal(shape)
        if self.rng.random() < 0.3:
            values = np.round(values * 4) / 4
        return values.astype(np.float32)

    def odd(self, values: np.ndarray, share: float = 0.15) -> np.ndarray:
        """Puts numbers in some places that nobody expects, in a wild call."""
        if self.wild and values.size:
            odd = ODD_FLOATS if values.dtype == np.float32 else ODD_INTS
            places = self.rng.random(values.shape) < share
            values = np.where(places, self.rng.choice(odd, values.shape), values).astype(values.dtype)
        return values

    def boxes(self, *shape: int, size: tuple[int, int]) -> np.ndarray:
        """[..., 4] float32 in and around an image of (height, width).

        Whole and half coordinates, points, lines, flipped, tiny, far and huge boxes are among them, in a wild
        call also coordinates that are no numbers.
        """
        rng, extent = self.rng, np.float64(size[::-1])
        corner = rng.uniform(-0.4, 1.2, (*shape, 2)) * extent
        sides = np.exp(rng.uniform(-3, 1, (*shape, 2))) * extent
        boxes = np.concatenate([corner, corner + sides], axis=-1)
        kind = rng.integers(0, 16, shape)[..., None]
        boxes = np.where(kind == 0, np.round(boxes), boxes)
        boxes = np.where(kind == 1, np.round(boxes * 2) / 2, boxes)
        boxes = np.where(kind == 2, boxes[..., [0, 1, 0, 1]], boxes)
        boxes = np.where(kind == 3, boxes[..., [0, 1, 0, 3]], boxes)
        boxes = np.where(kind == 4, boxes[..., [2, 3, 0, 1]], boxes)
        boxes = np.where(kind == 5, boxes[..., [0, 3, 2, 1]], boxes)
        boxes = np.where(kind == 6, boxes * 40, boxes)
        boxes = np.where(kind == 7, np.float64([0, 0, *extent]), boxes)
        boxes = np.where(kind == 8, 0.0, boxes)
        return self.odd(boxes.astype(np.float32))

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        """int32 in low..high - 1."""
        return self.rng.integers(low, max(high, low + 1), shape).astype(np.int32)

    def spoiled(self, value: np.ndarray, very_long: bool = False) -> np.ndarray:
        """The array with another shape: an axis more or less, or one shorter, longer or empty.

        With ``very_long`` also one without elements whose other axes have more together than 64 bits can
        count, with a few more.
        """
        if value.ndim == 0:
            return value[None]
        kind, axis = self.rng.integers(0, 6 if very_long else 5), int(self.rng.integers(0, value.ndim))
        if kind == 0:
            return value[None]
        if kind == 1:
            return value.max(axis, initial=0).astype(value.dtype)
        shape = list(value.shape)
        if kind == 2:
            shape[axis] //= 2
        elif kind == 3:
            shape[axis] += 1
        elif kind == 4:
            shape[axis] = 0
        else:
            shape = [1] * value.ndim
            shape[int(self.rng.integers(0, value.ndim))] = 2**29
            shape[int(self.rng.integers(0, value.ndim))] = 2**29
            shape[axis] = 0
        return np.resize(value, shape) if 0 not in shape and value.size else np.zeros(shape, value.dtype)
