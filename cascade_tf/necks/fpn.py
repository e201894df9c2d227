"""Feature pyramid network (Lin et al., 2017)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.normalization import normalization
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.necks.pyramid_strides import pyramid_strides
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class FPN(Layer):
    """Features of equal width at every scale: P2 to P5 from C2 to C5, and P6 for large proposals.

    Lateral 1x1 convolutions, nearest-neighbour top-down sums, a 3x3 convolution on each sum, no activations.
    Maps whose size is not twice that of the next one are cropped after upsampling, so that any image size
    works.

    Args:
        channels: output channels of every level.
        norm: normalisation after each convolution, ``"none"`` or ``"group"``.
        norm_groups: of ``"group"`` normalisation, at most as many as channels.
        num_extra_levels: levels above the coarsest input, each the one before subsampled by two (P6 of the
            paper's detectors).
        first_level: number of the finest output, 2 for P2.
        recompute: in training keeps no sums of the top-down path but computes them again for the gradient.
    """

    kind = "neck"

    def __init__(
        self,
        channels: int = 256,
        norm: str = "none",
        norm_groups: int = 32,
        num_extra_levels: int = 1,
        first_level: int = 2,
        recompute: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.channels = channels
        self.norm = norm
        self.norm_groups = norm_groups
        self.num_extra_levels = num_extra_levels
        self.first_level = first_level
        self.recompute = recompute

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the convolutions for the given backbone levels, finest first by their names' order."""
        self.laterals, self.outputs, self.norms = [], [], []
        for level, name in enumerate(sorted(input_shape), start=self.first_level):
            lateral = self._convolution(1, f"lateral{level}", input_shape[name][-1])
            output = self._convolution(3, f"output{level}", self.channels)
            groups = min(self.norm_groups, self.channels)
            pair = [normalization(self.norm, f"{kind}{level}_norm", groups) for kind in ("lateral", "output")]
            for norm in pair:
                norm.build((None, None, None, self.channels))
            self.laterals.append(lateral)
            self.outputs.append(output)
            self.norms.append(pair)
        self.built = True

    def output_shapes(
        self, input_shape: Mapping[str, tuple[int | None, ...]]
    ) -> dict[str, tuple[int | None, ...]]:
        """Names and shapes of the levels that ``call`` returns for features of the given shapes."""
        levels = range(self.first_level, self.first_level + len(input_shape) + self.num_extra_levels)
        return {f"P{level}": (None, None, None, self.channels) for level in levels}

    def output_strides(self, strides: Mapping[str, float]) -> dict[str, float]:
        """Pixels per cell of the levels that ``call`` returns for features of these strides.

        Raises:
            ValueError: the strides do not double from map to map.
        """
        return pyramid_strides(strides, self.first_level, self.num_extra_levels)

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``lateral2``, ``output2`` and so on."""
        levels = enumerate(zip(self.laterals, self.outputs, self.norms, strict=True), start=self.first_level)
        for level, (lateral, output, norms) in levels:
            yield NamedLayer(f"lateral{level}", lateral, norms[0])
            yield NamedLayer(f"output{level}", output, norms[1])

    def _convolution(self, kernel: int, name: str, channels: int | None) -> keras.layers.Conv2D:
        layer = keras.layers.Conv2D(
            self.channels,
            kernel,
            padding="same",
            use_bias=self.norm == "none",
            kernel_initializer="glorot_uniform",
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, None, channels))
        return layer

    def call(self, features: Mapping[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Builds the pyramid.

        Args:
            features: backbone maps [B, h, w, C_l]; their names sort from fine to coarse, strides double.
            training: whether ``recompute`` and the fast gradient apply.

        Returns:
            ``{"P2": [B, h, w, channels], ...}``, finest first.
        """
        maps = [features[name] for name in sorted(features)]
        upsample = _upsample_in_training if training else _upsample
        top_down = functools.partial(self._top_down, upsample)
        sums = recomputed(top_down, self.recompute and training)(*maps)
        levels = [norm[1](conv(x)) for conv, norm, x in zip(self.outputs, self.norms, sums, strict=True)]
        for _ in range(self.num_extra_levels):
            levels.append(levels[-1][:, ::2, ::2])
        return {f"P{number}": x for number, x in enumerate(levels, start=self.first_level)}

    def _top_down(self, upsample: Callable[[Tensor, Tensor], Tensor], *maps: Tensor) -> list[Tensor]:
        """The lateral convolutions' results, each plus the coarser sum."""
        sums = [norm[0](conv(x)) for conv, norm, x in zip(self.laterals, self.norms, maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] += upsample(sums[level + 1], sums[level])
        return sums


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    """Doubles ``x`` by repetition and crops it to the size of ``like``."""
    shape, target = tf.shape(x), tf.shape(like)
    doubled = tf.tile(x[:, :, None, :, None, :], [1, 1, 2, 1, 2, 1])
    doubled = tf.reshape(doubled, [shape[0], 2 * shape[1], 2 * shape[2], x.shape[-1]])
    return doubled[:, : target[1], : target[2]]


def _upsample_in_training(x: Tensor, like: Tensor) -> Tensor:
    """`_upsample` with a gradient of its own: TensorFlow's for a repetition takes ten times as long."""
    cropped = 2 * tf.shape(x)[1:3] - tf.shape(like)[1:3]

    def gradient(upstream: Tensor) -> Tensor:
        # The sum over each 2 x 2.
        upstream = tf.pad(upstream, [[0, 0], [0, cropped[0]], [0, cropped[1]], [0, 0]])
        return tf.nn.avg_pool2d(upstream, 2, 2, "VALID") * tf.constant(4.0, upstream.dtype)

    return tf.custom_gradient(lambda x: (_upsample(x, like), gradient))(x)
