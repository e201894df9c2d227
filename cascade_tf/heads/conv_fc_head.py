"""The head of MS-CNN: a convolution over a box and its context, and a wide fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.heads.stage_head import StageHead
from cascade_tf.layers.base import require
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.layers.roi_batches import flatten_rois, unflatten_rois
from cascade_tf.layers.seeded_dropout import seeded_dropout
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class ConvFCHead(StageHead):
    """A 3x3 convolution, a fully connected layer with dropout, a classifier and a regressor.

    The defaults are those of the authors' network for KITTI (zhaoweicai/mscnn).

    Args:
        num_classes: K, without the background.
        class_agnostic: one box per RoI instead of one per class.
        channels: of the convolution.
        padding: of the convolution: ``"valid"`` leaves out the cells at the border, ``"same"`` sees zeros
            around them.
        units: of the fully connected layer.
        dropout: share of these units that are zero in training, at random. What is drawn depends on the
            example's seed alone; without one nothing is dropped.
        background_offsets: a regressor has outputs for a box of the background, too, which are never read.
            The authors' nets have them.
        num_classifiers: classifiers side by side on the same hidden layers, for the integral loss.
        regresses: whether there is a regressor.

    Raises:
        ValueError: a number that is not positive, an unknown padding, or a share outside of 0..1.
    """

    kind = "box head"
    takes_seed = True

    def __init__(
        self,
        num_classes: int,
        class_agnostic: bool = True,
        channels: int = 512,
        padding: str = "valid",
        units: int = 4096,
        dropout: float = 0.5,
        background_offsets: bool = False,
        num_classifiers: int = 1,
        regresses: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        positive = {"num_classes": num_classes, "channels": channels, "units": units}
        for name, value in {**positive, "num_classifiers": num_classifiers}.items():
            require(value >= 1, name, value, "1 or more")
        require(padding in ("valid", "same"), "padding", padding, "'valid' or 'same'")
        require(0.0 <= dropout < 1.0, "dropout", dropout, "a share from 0 to below 1")
        self.num_classes = num_classes
        self.class_agnostic = class_agnostic
        self.channels = channels
        self.padding = padding
        self.units = units
        self.dropout = dropout
        self.background_offsets = background_offsets
        self.num_classifiers = num_classifiers
        self.regresses = regresses

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the layers for RoI features [B, S, P, P, C]."""
        height, width, channels = (size or 0 for size in input_shape[-3:])
        border = 2 if self.padding == "valid" else 0
        self.cells = (height - border, width - border)
        require(
            min(*self.cells, channels) >= 1,
            "input_shape",
            tuple(input_shape),
            f"RoI features of known size, {border + 1} x {border + 1} cells or more",
        )
        normal = keras.initializers.RandomNormal
        self.convolution = keras.layers.Conv2D(
            self.channels,
            3,
            padding=self.padding,
            activation="relu",
            kernel_initializer=normal(stddev=0.01),
            name="conv1",
            dtype=self.dtype_policy,
        )
        self.convolution.build((None, height, width, channels))
        inputs = self.cells[0] * self.cells[1] * self.channels
        self.dense = self._dense("fc1", self.units, inputs, 0.001, "relu")
        boxes = 1 if self.class_agnostic else self.num_classes
        boxes += self.background_offsets
        logits = self.num_classifiers * (self.num_classes + 1)
        self.classifier = self._dense("classifier", logits, self.units, 0.01)
        self.regressor = self._dense("regressor", 4 * boxes, self.units, 0.001) if self.regresses else None
        self.built = True

    def _dense(
        self, name: str, units: int, inputs: int, deviation: float, activation: str | None = None
    ) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, inputs))
        return layer

    def call(
        self, pooled: Tensor, training: bool = False, seed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores and regresses RoIs.

        Args:
            pooled: [B, S, P, P, C] RoI features.
            training: whether ``dropout`` applies.
            seed: [B, 2] int32 of the examples.

        Returns:
            Class logits [B, S, K + 1], background first, and offsets [B, S, 4] or [B, S, 4 K]; both float32.
        """
        x = self.convolution(flatten_rois(pooled))
        x = self.dense(tf.reshape(x, [-1, self.dense.kernel.shape[0]]))
        x = unflatten_rois(x, pooled)
        if training and self.dropout and seed is not None:
            x = seeded_dropout(x, seed, self.dropout)
        logits = tf.cast(self.classifier(x), tf.float32)
        deltas = logits[..., :0] if self.regressor is None else tf.cast(self.regressor(x), tf.float32)
        return logits, deltas[..., 4:] if self.background_offsets else deltas

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``conv1``, ``fc1``, ``classifier`` and ``regressor``."""
        yield NamedLayer("conv1", self.convolution)
        yield NamedLayer("fc1", self.dense, cells=self.cells)
        yield NamedLayer("classifier", self.classifier, of_classes=True)
        if self.regressor is not None:
            yield NamedLayer("regressor", self.regressor, of_classes=not self.class_agnostic)
