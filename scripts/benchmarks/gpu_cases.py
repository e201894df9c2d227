"""What the kernels for GPUs are timed on: an image's pyramid and boxes of all sizes on it."""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH, CHANNELS, STRIDES = 800, 1344, 256, (4, 8, 16, 32)
LEVELS = len(STRIDES)


def map_shapes() -> list[tuple[int, int, int, int]]:
    """(B, h, w, C) of each level."""
    return [(1, HEIGHT // stride, WIDTH // stride, CHANNELS) for stride in STRIDES]


def random_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of sides between 16 and 600 pixels, and the levels of an FPN for them."""
    centre = rng.uniform(0, 1, (count, 2)) * (WIDTH, HEIGHT)
    half = np.exp(rng.uniform(np.log(16), np.log(600), (count, 2))) / 2
    boxes = np.concatenate([centre - half, centre + half], -1).astype(np.float32)
    level = np.floor(4 + np.log2(np.sqrt(np.prod(2 * half, -1)) / 224))
    return boxes, np.clip(level - 2, 0, LEVELS - 1).astype(np.int32)


def touched_cells(boxes: np.ndarray, levels: np.ndarray, samples: int = 14) -> int:
    """Cells of all maps that an aligned RoIAlign reads at least once.

    Args:
        boxes: [R, 4] in pixels.
        levels: [R].
        samples: of an axis: bins times sampling ratio.
    """
    total = 0
    for level, (_, height, width, _) in enumerate(map_shapes()):
        touched = np.zeros((height, width), bool)
        for x1, y1, x2, y2 in boxes[levels == level] / STRIDES[level] - 0.5:
            touched[np.ix_(_read(y1, y2, height, samples), _read(x1, x2, width, samples))] = True
        total += int(touched.sum())
    return total


def _read(start: float, end: float, cells: int, samples: int) -> np.ndarray:
    """Rows or columns that the samples of one box are interpolated from."""
    place = start + (np.arange(samples) + 0.5) * (end - start) / samples
    place = np.clip(place[(place >= -1) & (place <= cells)], 0, cells - 1)
    lower = np.floor(place).astype(int)
    return np.unique(np.concatenate([lower, lower[place > lower] + 1]))
