"""A residual network with a pyramid as a sequence of steps.

The test of a framework says how one of its layers computes, by its own names and in its own layout; the order
of the layers is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

EPSILON = 1e-5


def convolve(x, kernel, stride: int = 1, padding: tuple[int, int] | None = None):
    """A convolution of [B, h, w, C] with [k, k, C / groups, out].

    The padding (top and left, bottom and right) is the same on all sides where it is not given.
    """
    before, after = padding or (kernel.shape[0] // 2,) * 2
    x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    groups = x.shape[-1] // kernel.shape[2]
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(part, weights, stride, "VALID") for part, weights in parts], axis=-1)


def group_norm(x, gamma, beta, groups: int = 32):
    """Normalises groups of neighbouring channels over all positions."""
    x = np.asarray(x)
    groups = min(groups, x.shape[-1])
    parts = x.reshape(*x.shape[:-1], groups, -1)
    mean = parts.mean(axis=(1, 2, 4), keepdims=True)
    variance = parts.var(axis=(1, 2, 4), keepdims=True)
    return ((parts - mean) / np.sqrt(variance + EPSILON)).reshape(x.shape) * gamma + beta


def batch_norm(x, gamma, beta, mean, variance, epsilon: float = EPSILON):
    """Normalises by stored statistics."""
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def resnet(images, blocks: Sequence[int], layer: Callable, stride_in_1x1: bool) -> list:
    """The last map of each of the four stages.

    Args:
        images: [B, H, W, 3] float32.
        blocks: per stage.
        layer: ``layer(stage, block, part, x, stride)`` convolves and normalises; the part is ``"conv1"`` to
            ``"conv3"`` or ``"shortcut"``, and the stem is stage 1, block 0, ``"conv1"``.
        stride_in_1x1: whether the stride of a stage is in its first 1x1 convolution or in the 3x3 one.
    """
    x = tf.nn.relu(layer(1, 0, "conv1", images, 2))
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    maps = []
    for stage, count in enumerate(blocks, start=2):
        for block in range(count):
            stride = 2 if stage > 2 and block == 0 else 1
            first, second = (stride, 1) if stride_in_1x1 else (1, stride)
            y = tf.nn.relu(layer(stage, block, "conv1", x, first))
            y = tf.nn.relu(layer(stage, block, "conv2", y, second))
            y = layer(stage, block, "conv3", y, 1)
            x = tf.nn.relu(y + (layer(stage, block, "shortcut", x, stride) if block == 0 else x))
        maps.append(x)
    return maps


def pyramid(maps: Sequence, layer: Callable) -> list:
    """P2 to P6; ``layer(kind, level, x)`` is a lateral or an output convolution."""
    sums = [layer("lateral", level, x) for level, x in enumerate(maps, start=2)]
    for level in reversed(range(len(sums) - 1)):
        sums[level] = sums[level] + tf.repeat(tf.repeat(sums[level + 1], 2, axis=1), 2, axis=2)
    levels = [layer("output", level, x) for level, x in enumerate(sums, start=2)]
    return [*levels, levels[-1][:, ::2, ::2]]


def flattened_channels_first(x) -> np.ndarray:
    """[R, P, P, C] as rows of (channel, row, column)."""
    return np.transpose(x, (0, 3, 1, 2)).reshape(x.shape[0], -1)
