"""Small random arguments of layers and detectors, the same numbers every time."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_tf.structures import Detections, ImageBatch, InstanceTargets, Proposals, Targets

BATCH = 2
# Height and width in pixels. Every property that says "whatever the size" runs over all of them.
SIZES = ((64, 96), (96, 64), (128, 160))
CHANNELS = 8
NUM_CLASSES = 3
STRIDES = {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normal float32 numbers."""
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def image_size(height: int, width: int) -> np.ndarray:
    """[B, 2]: the last image is smaller than its padded frame."""
    return np.asarray([[height, width], [height - 7, width - 13.0]], np.float32)


def image_batch(height: int, width: int) -> ImageBatch:
    """Random images with sizes and ids."""
    pixels = np.random.default_rng(3).integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8)
    size = image_size(height, width)
    return ImageBatch(pixels, size, 2 * size, np.arange(BATCH, dtype=np.int64) + 11)


def boxes(count: int, height: int, width: int, seed: int = 1) -> np.ndarray:
    """[B, count, 4] proper boxes inside the image."""
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 1, (BATCH, count, 2, 2)) * [width * 0.6, height * 0.6]
    low, side = corners[:, :, 0], generator.uniform(0.05, 0.35, (BATCH, count, 2)) * [width, height]
    return np.concatenate([low, low + side], axis=-1).astype(np.float32)


def proposals(height: int, width: int, count: int = 12) -> Proposals:
    """Boxes of which the last two are padding."""
    valid = np.ones((BATCH, count), bool)
    valid[:, -2:] = False
    return Proposals(boxes(count, height, width), random(BATCH, count, seed=4), valid)


def detections(height: int, width: int, count: int = 9) -> Detections:
    """Boxes of which the last three are padding."""
    valid = np.tile(np.arange(count) < count - 3, (BATCH, 1))
    return Detections(
        boxes=boxes(count, height, width, seed=8) * valid[..., None],
        scores=np.where(valid, np.linspace(0.9, 0.1, count), 0.0).astype(np.float32),
        classes=np.where(valid, 1 + np.arange(count) % NUM_CLASSES, 0).astype(np.int32),
        valid=valid,
    )


def targets(height: int, width: int) -> Targets:
    """Two objects in the first image, none in the second."""
    valid = np.asarray([[True, True, False], [False, False, False]])
    return Targets(
        boxes=boxes(3, height, width, seed=5) * valid[..., None],
        classes=np.where(valid, [[1, 3, 0]], 0).astype(np.int32),
        valid=valid,
        crowd=np.zeros_like(valid),
        seed=np.asarray([[1, 2], [3, 4]], np.int32),
    )


def instances(height: int, width: int) -> InstanceTargets:
    """``targets`` whose objects fill their boxes."""
    objects = targets(height, width)
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    x1, y1, x2, y2 = (objects.boxes[..., i, None, None] for i in range(4))
    masks = (columns > x1) & (columns < x2) & (rows > y1) & (rows < y2)
    return InstanceTargets(*objects, np.packbits(masks, axis=-1))


def targets_of(detector: Any, height: int, width: int) -> Targets | InstanceTargets:
    """The ground truth that a detector trains on."""
    return instances(height, width) if detector.has_masks else targets(height, width)


def pyramid(height: int, width: int, names: tuple[str, ...] = tuple(STRIDES)) -> dict[str, np.ndarray]:
    """Random features of every named level."""
    return {
        name: random(
            BATCH, -(-height // STRIDES[name]), -(-width // STRIDES[name]), CHANNELS, seed=STRIDES[name]
        )
        for name in names
    }
