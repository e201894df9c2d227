"""Feature pyramid network (Lin et al., 2017)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.layers.image_areas import clear_padding
from cascade_tf.layers.map_order import as_maps, check_halves, fine_to_coarse, order_as_built
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.normalization import normalization
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.necks.pyramid_strides import pyramid_strides
from cascade_tf.necks.upsampling import repeat_cells, repeat_cells_in_training
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class FPN(Layer):
    """Features of equal width at every scale: P2 to P5 from C2 to C5, and P6 for large proposals.

    Lateral 1x1 convolutions, nearest-neighbour top-down sums, a 3x3 convolution on each sum, no activations.
    A coarser map is repeated to the size of the next finer one: cropped where its own is half of that rounded
    up, its last row or column repeated once more where rounded down. Maps of equal strides, as dilated
    networks have them, are added as they are.

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
    asserts_sizes = True

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
        """Creates the convolutions for the given backbone levels, in the order of ``fine_to_coarse``."""
        shapes = as_maps(input_shape)
        self.map_names = fine_to_coarse(shapes)
        self.laterals, self.outputs, self.norms = [], [], []
        for level, name in enumerate(self.map_names, start=self.first_level):
            lateral = self._convolution(1, f"lateral{level}", shapes[name][-1])
            output = self._convolution(3, f"output{level}", self.channels)
            groups = min(self.norm_groups, self.channels)
            pair = [
                normalization(self.norm, f"{kind}{level}_norm", groups, self.dtype_policy)
                for kind in ("lateral", "output")
            ]
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
        levels = range(self.first_level, self.first_level + len(as_maps(input_shape)) + self.num_extra_levels)
        return {f"P{level}": (None, None, None, self.channels) for level in levels}

    def output_strides(self, strides: Mapping[str, float]) -> dict[str, float]:
        """Pixels per cell of the levels that ``call`` returns for features of these strides.

        Raises:
            ValueError: a stride is neither that of the map before nor twice as large.
        """
        return pyramid_strides(strides, self.first_level, self.num_extra_levels, or_equal=True)

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
            features: backbone maps [B, h, w, C_l] by name, or in a list from fine to coarse; strides double
                or stay. For their order see ``layers.map_order.fine_to_coarse``.
            training: whether ``recompute`` and the fast gradient apply.

        Returns:
            ``{"P2": [B, h, w, channels], ...}``, finest first.

        Raises:
            ValueError: the maps' sizes are not those of a pyramid; where only a running graph knows them, an
                InvalidArgumentError there.
        """
        features = as_maps(features)
        names = order_as_built(self.map_names, features)
        checks = check_halves("FPN", features, names, self.asserts_sizes)
        maps = [features[name] for name in names]
        upsample = repeat_cells_in_training if training else repeat_cells
        top_down = functools.partial(self._top_down, upsample)
        with tf.control_dependencies(checks):
            sums = recomputed(top_down, self.recompute and training)(*maps)
        levels = self._convolve(1, self.outputs, sums)
        for _ in range(self.num_extra_levels):
            levels.append(levels[-1][:, ::2, ::2])
        return {f"P{number}": x for number, x in enumerate(levels, start=self.first_level)}

    def _top_down(self, upsample: Callable[[Tensor, Tensor], Tensor], *maps: Tensor) -> list[Tensor]:
        """The lateral convolutions' results, each plus the coarser sum."""
        sums = self._convolve(0, self.laterals, maps)
        for level in reversed(range(len(sums) - 1)):
            sums[level] += upsample(sums[level + 1], sums[level])
        return sums

    def _convolve(self, place: int, convs: Sequence[Any], maps: Sequence[Tensor]) -> list[Tensor]:
        """Convolves and normalises each level, by the norm of that place in its pair."""
        levels = [norm[place](conv(x)) for conv, norm, x in zip(convs, self.norms, maps, strict=True)]
        # Group normalisation does so itself; without it there are biases.
        return levels if self.norm == "group" else [clear_padding(x) for x in levels]
