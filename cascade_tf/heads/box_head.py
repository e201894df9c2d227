"""The part of a stage that looks at RoI features: class logits and box offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.heads.stage_head import StageHead
from cascade_tf.layers.base import require
from cascade_tf.layers.named_layer import NamedLayer, numbered
from cascade_tf.layers.normalization import normalization
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.layers.roi_batches import flatten_rois, unflatten_rois
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class BoxHead(StageHead):
    """Convolutions, fully connected layers, a classifier and a regressor.

    The default is the two-layer head of FPN detectors; ``num_convs=4, num_fcs=1, norm="group"`` is the head
    of the GroupNorm models.

    Args:
        num_classes: K, without the background.
        class_agnostic: one box per RoI (all detectors of the paper, Sec. 6.1.2) instead of one per class.
        num_convs: 3x3 convolutions before the fully connected layers.
        conv_channels: of each of them.
        num_fcs: fully connected layers; None is 1 behind convolutions, else 2.
        units: of each of them.
        norm: normalisation after each convolution, ``"none"`` or ``"group"``.
        norm_groups: of ``"group"`` normalisation, at most as many as channels.
        recompute: in training keeps nothing of the convolutions but computes them again for the gradient.
        background_offsets: a class-agnostic regressor has outputs for a box of the background, too, which are
            never read. The authors' nets have them.
        num_classifiers: classifiers side by side on the same hidden layers, for the integral loss.
        regresses: whether there is a regressor.

    Raises:
        ValueError: ``num_classes`` or ``units`` is not positive, a number of layers is negative, or offsets
            of a background that are class-aware.
    """

    kind = "box head"

    def __init__(
        self,
        num_classes: int,
        class_agnostic: bool = True,
        num_convs: int = 0,
        conv_channels: int = 256,
        num_fcs: int | None = None,
        units: int = 1024,
        norm: str = "none",
        norm_groups: int = 32,
        recompute: bool = False,
        background_offsets: bool = False,
        num_classifiers: int = 1,
        regresses: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        require(units >= 1, "units", units, "1 or more")
        require(num_classifiers >= 1, "num_classifiers", num_classifiers, "1 or more")
        if num_fcs is None:
            num_fcs = 1 if num_convs else 2
        require(num_fcs >= 0 and num_convs >= 0, "num_fcs, num_convs", (num_fcs, num_convs), "0 or more")
        require(
            class_agnostic or not background_offsets,
            "background_offsets",
            background_offsets,
            "False for class-aware boxes",
        )
        self.num_classes = num_classes
        self.class_agnostic = class_agnostic
        self.num_convs = num_convs
        self.conv_channels = conv_channels
        self.num_fcs = num_fcs
        self.units = units
        self.norm = norm
        self.norm_groups = norm_groups
        self.recompute = recompute
        self.background_offsets = background_offsets
        self.num_classifiers = num_classifiers
        self.regresses = regresses

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the layers for RoI features [B, S, P, P, C]."""
        height, width, channels = (size or 0 for size in input_shape[-3:])
        if 0 in (height, width, channels):
            raise ValueError(f"BoxHead needs RoI features of known size, got shape {tuple(input_shape)}")
        self.cells = (height, width)
        self.convs, self.norms, self.dense = [], [], []
        for number in range(1, self.num_convs + 1):
            conv = keras.layers.Conv2D(
                self.conv_channels,
                3,
                padding="same",
                use_bias=self.norm == "none",
                kernel_initializer="he_normal",
                name=f"conv{number}",
                dtype=self.dtype_policy,
            )
            conv.build((None, height, width, channels))
            channels = self.conv_channels
            groups = min(self.norm_groups, channels)
            norm = normalization(self.norm, f"conv{number}_norm", groups, self.dtype_policy)
            norm.build((None, height, width, channels))
            self.convs.append(conv)
            self.norms.append(norm)
        width_in = height * width * channels
        for number in range(1, self.num_fcs + 1):
            self.dense.append(self._dense(f"fc{number}", self.units, width_in, "glorot_uniform"))
            width_in = self.units
        # Eight outputs in the authors' nets: the background's four come first.
        boxes = (2 if self.background_offsets else 1) if self.class_agnostic else self.num_classes
        normal = keras.initializers.RandomNormal
        logits = self.num_classifiers * (self.num_classes + 1)
        self.classifier = self._dense("classifier", logits, width_in, normal(stddev=0.01))
        self.regressor = None
        if self.regresses:
            self.regressor = self._dense("regressor", 4 * boxes, width_in, normal(stddev=0.001))
        self.built = True

    def _dense(self, name: str, units: int, width_in: int, initializer: Any) -> keras.layers.Dense:
        layer = keras.layers.Dense(units, kernel_initializer=initializer, name=name, dtype=self.dtype_policy)
        layer.build((None, width_in))
        return layer

    def call(self, pooled: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Scores and regresses RoIs.

        Args:
            pooled: [B, S, P, P, C] RoI features; a flattened [S, P, P, C] works too.
            training: whether ``recompute`` applies.

        Returns:
            Class logits [B, S, K + 1], background first, and offsets [B, S, 4] or [B, S, 4 K]; both float32.
        """
        # Matrix products bear no RoIs at all, so that nothing needs to stand in, which would be a copy.
        x = pooled
        if self.convs:
            x = recomputed(self._convolve, self.recompute and training)(flatten_rois(pooled))
        x = tf.reshape(x, [-1, x.shape[-3] * x.shape[-2] * x.shape[-1]])
        for layer in self.dense:
            x = tf.nn.relu(layer(x))
        logits = tf.cast(self.classifier(x), tf.float32)
        deltas = logits[:, :0] if self.regressor is None else tf.cast(self.regressor(x), tf.float32)
        if self.background_offsets:
            deltas = deltas[:, 4:]
        if self.convs:
            return unflatten_rois(logits, pooled), unflatten_rois(deltas, pooled)
        outer = tf.shape(pooled)[:-3]
        logits, deltas = (tf.reshape(x, tf.concat([outer, x.shape[1:]], axis=0)) for x in (logits, deltas))
        return logits, deltas

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``conv1`` ..., ``fc1`` ..., ``classifier`` and ``regressor``."""
        yield from numbered("conv", self.convs, self.norms)
        for number, layer in enumerate(self.dense, start=1):
            yield NamedLayer(f"fc{number}", layer, cells=self.cells if number == 1 else None)
        cells = None if self.dense else self.cells
        yield NamedLayer("classifier", self.classifier, cells=cells, of_classes=True)
        if self.regressor is not None:
            yield NamedLayer("regressor", self.regressor, cells=cells, of_classes=not self.class_agnostic)

    def _convolve(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = tf.nn.relu(norm(conv(x)))
        return x
