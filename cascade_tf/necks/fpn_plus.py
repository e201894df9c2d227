"""FPN+: the feature pyramid of the authors' Caffe experiments, with a path up and a path down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.image_areas import clear_padding
from cascade_tf.layers.map_order import as_maps, check_halves, fine_to_coarse, order_as_built
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.necks.pyramid_strides import pyramid_strides
from cascade_tf.necks.upsampling import doubled
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class FPNPlus(Layer):
    """Features of equal width at every scale, each with those of all finer and all coarser ones: P2 to P5.

    The paper names it without a description; the authors' code defines it. 1x1 convolutions bring the
    backbone's maps to one width. Going up, the sum so far is averaged over 2x2 cells and added to the next
    coarser map; going down, it is doubled bilinearly and added to the next finer one. A level is a 3x3
    convolution of its own map plus what comes from below and from above. No biases, no activations.

    Doubling takes cells beyond the border as zeros, which is Caffe's fixed bilinear deconvolution. Maps of
    odd sizes, which its nets do not have, are averaged over the cells that exist and cropped after doubling
    where the next one is half of that rounded up; where rounded down, the last row or column is left out.

    Args:
        channels: output channels of every level.
        first_level: number of the finest output, 2 for P2.
        recompute: in training keeps no sums of the two paths but computes them again for the gradient.

    Raises:
        ValueError: no channels.
    """

    kind = "neck"
    asserts_sizes = True

    def __init__(self, channels: int = 256, first_level: int = 2, recompute: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        require(channels >= 1, "channels", channels, "1 or more")
        self.channels = channels
        self.first_level = first_level
        self.recompute = recompute

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the convolutions for the given backbone levels, in the order of ``fine_to_coarse``."""
        shapes = as_maps(input_shape)
        self.map_names = fine_to_coarse(shapes)
        self.laterals, self.outputs = [], []
        for level, name in enumerate(self.map_names, start=self.first_level):
            self.laterals.append(self._convolution(1, f"lateral{level}", shapes[name][-1]))
            self.outputs.append(self._convolution(3, f"output{level}", self.channels))
        self.built = True

    def _convolution(self, kernel: int, name: str, channels: int | None) -> keras.layers.Conv2D:
        layer = keras.layers.Conv2D(
            self.channels,
            kernel,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, None, channels))
        return layer

    def output_shapes(
        self, input_shape: Mapping[str, tuple[int | None, ...]]
    ) -> dict[str, tuple[int | None, ...]]:
        """Names and shapes of the levels that ``call`` returns for features of the given shapes."""
        levels = range(self.first_level, self.first_level + len(as_maps(input_shape)))
        return {f"P{level}": (None, None, None, self.channels) for level in levels}

    def output_strides(self, strides: Mapping[str, float]) -> dict[str, float]:
        """Pixels per cell of the levels that ``call`` returns for features of these strides.

        Raises:
            ValueError: the strides do not double from map to map.
        """
        return pyramid_strides(strides, self.first_level)

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``lateral2``, ``output2`` and so on."""
        for layer in (*self.laterals, *self.outputs):
            yield NamedLayer(layer.name, layer)

    def call(self, features: Mapping[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Builds the pyramid.

        Args:
            features: backbone maps [B, h, w, C_l] by name, or in a list from fine to coarse; strides double.
                For their order see ``layers.map_order.fine_to_coarse``.
            training: whether ``recompute`` applies.

        Returns:
            ``{"P2": [B, h, w, channels], ...}``, finest first.

        Raises:
            ValueError: the maps' sizes are not those of a pyramid; where only a running graph knows them, an
                InvalidArgumentError there.
        """
        features = as_maps(features)
        names = order_as_built(self.map_names, features)
        checks = check_halves("FPNPlus", features, names, self.asserts_sizes, or_equal=False)
        maps = [features[name] for name in names]
        with tf.control_dependencies(checks):
            sums = recomputed(self._sums, self.recompute and training)(*maps)
        levels = [clear_padding(conv(x)) for conv, x in zip(self.outputs, sums, strict=True)]
        return {f"P{number}": x for number, x in enumerate(levels, start=self.first_level)}

    def _sums(self, *maps: Tensor) -> list[Tensor]:
        """Each level's own map plus what comes from below and from above."""
        own = [conv(x) for conv, x in zip(self.laterals, maps, strict=True)]
        sums, up, down = list(own), own[0], own[-1]
        for level in range(1, len(own)):
            below = _halved(up, own[level])
            sums[level] += below
            up = own[level] + below
        for level in reversed(range(len(own) - 1)):
            above = clear_padding(doubled(down, tf.shape(own[level])))
            sums[level] += above
            down = own[level] + above
        return sums


def _halved(x: Tensor, like: Tensor) -> Tensor:
    """Means of 2 x 2 cells of ``x``, as many as ``like`` has."""
    return tf.slice(tf.nn.avg_pool2d(x, 2, 2, "SAME"), [0, 0, 0, 0], tf.shape(like))
