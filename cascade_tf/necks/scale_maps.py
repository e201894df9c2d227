"""The maps of MS-CNN: a backbone's two last ones, two coarser ones, and the finest once more enlarged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.image_areas import clear_padding
from cascade_tf.layers.map_order import as_maps, check_halves, fine_to_coarse, order_as_built
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.necks.pyramid_strides import pyramid_strides
from cascade_tf.necks.upsampling import doubled
from cascade_tf.structures import Tensor

POOLS = ("max", "average")


@keras.saving.register_keras_serializable(package="cascade_tf")
class ScaleMaps(Layer):
    """Makes of conv4_3 and conv5_3 of VGG16 the maps that MS-CNN reads (Cai et al., 2016).

    P3 and P4 are conv4_3 and conv5_3 as they are, at strides 8 and 16. P5 is the latter pooled by two and
    convolved, the authors' conv6_1, and P6 is that pooled again, their pool6. P2 is conv4_3 at twice the
    size, by a fixed bilinear deconvolution, which small boxes are pooled from.

    Pooling rounds odd sizes up, as Caffe does.

    Args:
        channels: of the 3x3 convolution that makes P5; None: P5 is what was pooled, as in the networks for
            WIDER FACE.
        last_pool: how P6 is pooled from P5, ``"max"`` or ``"average"``.
        enlarged: whether there is P2.

    Raises:
        ValueError: no channels, or an unknown pooling; in ``build``, other than two maps.
    """

    kind = "neck"
    asserts_sizes = True

    def __init__(
        self, channels: int | None = 512, last_pool: str = "max", enlarged: bool = True, **kwargs: Any
    ):
        super().__init__(**kwargs)
        require(channels is None or channels >= 1, "channels", channels, "1 or more, or None")
        require(last_pool in POOLS, "last_pool", last_pool, f"one of {POOLS}")
        self.channels = channels
        self.last_pool = last_pool
        self.enlarged = enlarged

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates the convolution for the channels of the coarser map."""
        shapes = as_maps(input_shape)
        self.map_names = fine_to_coarse(shapes)
        require(len(self.map_names) == 2, "features", self.map_names, "two maps, conv4_3 and conv5_3")
        self.convolution = None
        if self.channels is not None:
            self.convolution = keras.layers.Conv2D(
                self.channels,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                name="conv6_1",
                dtype=self.dtype_policy,
            )
            self.convolution.build((None, None, None, shapes[self.map_names[1]][-1]))
        self.built = True

    def output_shapes(
        self, input_shape: Mapping[str, tuple[int | None, ...]]
    ) -> dict[str, tuple[int | None, ...]]:
        """Names and shapes of the maps that ``call`` returns for features of the given shapes."""
        shapes = as_maps(input_shape)
        fine, coarse = (shapes[name][-1] for name in fine_to_coarse(shapes))
        channels = {"P2": fine, "P3": fine, "P4": coarse, "P5": self.channels or coarse}
        channels["P6"] = channels["P5"]
        if not self.enlarged:
            del channels["P2"]
        return {name: (None, None, None, count) for name, count in channels.items()}

    def output_strides(self, strides: Mapping[str, float]) -> dict[str, float]:
        """Pixels per cell of the maps that ``call`` returns for features of these strides.

        Raises:
            ValueError: the second is not twice the first.
        """
        found = pyramid_strides(strides, first_level=3, num_extra_levels=2)
        return {"P2": found["P3"] / 2, **found} if self.enlarged else found

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layer with weights, ``conv6_1``, where there is one."""
        if self.convolution is not None:
            yield NamedLayer("conv6_1", self.convolution)

    def call(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Makes the maps.

        Args:
            features: two maps [B, h, w, C] by name, or in a list from fine to coarse.

        Returns:
            ``{"P2": [B, 2 h, 2 w, C], "P3": [B, h, w, C], ...}``, finest first.

        Raises:
            ValueError: the maps' sizes are not one twice the other; where only a running graph knows them, an
                InvalidArgumentError there.
        """
        features = as_maps(features)
        names = order_as_built(self.map_names, features)
        check_halves("ScaleMaps", features, names, self.asserts_sizes, or_equal=False)
        fine, coarse = (features[name] for name in names)
        third = tf.nn.max_pool2d(coarse, 2, 2, "SAME")
        if self.convolution is not None:
            third = clear_padding(self.convolution(third))
        pool = tf.nn.max_pool2d if self.last_pool == "max" else tf.nn.avg_pool2d
        maps = {"P3": fine, "P4": coarse, "P5": third, "P6": pool(third, 2, 2, "SAME")}
        if not self.enlarged:
            return maps
        return {"P2": clear_padding(doubled(fine, tf.shape(fine) * [1, 2, 2, 1])), **maps}
