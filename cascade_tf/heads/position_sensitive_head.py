"""The head of R-FCN (Dai et al., 2016): all its weights are convolutions on the map, boxes only vote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.heads.stage_head import StageHead
from cascade_tf.layers.base import require
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class PositionSensitiveHead(StageHead):
    """One convolution, then score maps and box maps that have channels for every cell of a box.

    A box takes each of its k x k cells from that cell's channels (``pooling.PSROIPool``), and the mean of the
    cells is the answer. A stage of a cascade has all of this for itself, on the same features.

    Args:
        num_classes: K, without the background.
        class_agnostic: one box per RoI (the paper's detectors) instead of one per class.
        channels: of the first 1x1 convolution.
        level: map that it reads; None: the only one that there is.
        background_offsets: class-agnostic box maps have channels for a box of the background, too, which are
            never read. The authors' nets have them.
        num_classifiers: classifiers side by side on the same hidden maps, for the integral loss.
        regresses: whether there is a regressor.

    Raises:
        ValueError: ``num_classes`` or ``channels`` is not positive, or offsets of a background that are
            class-aware.
    """

    kind = "box head"
    makes_maps = True

    def __init__(
        self,
        num_classes: int,
        class_agnostic: bool = True,
        channels: int = 1024,
        level: str | None = None,
        background_offsets: bool = False,
        num_classifiers: int = 1,
        regresses: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        require(num_classes >= 1, "num_classes", num_classes, "1 or more")
        require(channels >= 1, "channels", channels, "1 or more")
        require(num_classifiers >= 1, "num_classifiers", num_classifiers, "1 or more")
        require(
            class_agnostic or not background_offsets,
            "background_offsets",
            background_offsets,
            "False for class-aware boxes",
        )
        self.num_classes = num_classes
        self.class_agnostic = class_agnostic
        self.channels = channels
        self.level = level
        self.background_offsets = background_offsets
        self.num_classifiers = num_classifiers
        self.regresses = regresses

    def build_on(self, shapes: Mapping[str, tuple[int | None, ...]], pooling: Any) -> None:
        """Creates the convolutions; see ``StageHead.build_on``."""
        self.build((*pooling.cells, self._of_level(shapes)[-1]))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the convolutions for boxes of k x k cells on a map of C channels, given as (k, k, C)."""
        height, width, channels = (size or 0 for size in input_shape[-3:])
        require(min(height, width, channels) >= 1, "input_shape", tuple(input_shape), "(k, k, C)")
        # Eight outputs in the authors' nets: the background's four come first.
        boxes = (2 if self.background_offsets else 1) if self.class_agnostic else self.num_classes
        self.hidden = self._convolution("hidden", self.channels, channels, "relu")
        cells = height * width
        self.classifier = self._convolution("classifier", cells * self._logits, self.channels)
        self.regressor = None
        if self.regresses:
            self.regressor = self._convolution("regressor", cells * 4 * boxes, self.channels)
        self.built = True

    @property
    def _logits(self) -> int:
        return self.num_classifiers * (self.num_classes + 1)

    def _convolution(
        self, name: str, filters: int, channels: int, activation: str | None = None
    ) -> keras.layers.Conv2D:
        layer = keras.layers.Conv2D(
            filters,
            1,
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, None, channels))
        return layer

    def map_strides(self, names: Sequence[str], pooling: Any) -> Iterator[MapStrides]:
        """The stride of the map that this head reads, which ``pooling`` takes its own maps to have."""
        return pooling.map_strides(names if self.level is None else [self.level])

    def prepare(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score maps and box maps of the features, in one: [B, h, w, (K + 1 + 4) k k], or + 4 K."""
        hidden = self.hidden(self._of_level(features))
        # Channels go by output before cell: two pools of the same boxes are one of both.
        maps = [layer(hidden) for layer in (self.classifier, self.regressor) if layer is not None]
        return {"cells": tf.concat(maps, axis=-1)}

    def pool(self, pooling: Any, maps: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        """Every cell of every box from the cell's own channels.

        Args:
            pooling: position-sensitive.
            maps: of ``prepare``.
            boxes: [B, S, 4] float32.

        Returns:
            [B, S, k, k, K + 1 + 4] (or + 4 K).
        """
        return pooling(maps, boxes)

    def call(self, pooled: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Lets the cells vote.

        Args:
            pooled: of ``pool``.
            training: changes nothing.

        Returns:
            Class logits [B, S, K + 1], background first, and offsets [B, S, 4] or [B, S, 4 K]; both float32.
        """
        votes = tf.reduce_mean(tf.cast(pooled, tf.float32), axis=(-3, -2))
        logits, deltas = votes[..., : self._logits], votes[..., self._logits :]
        return logits, deltas[..., 4:] if self.background_offsets else deltas

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``hidden``, ``classifier`` and ``regressor``."""
        yield NamedLayer("hidden", self.hidden)
        yield NamedLayer("classifier", self.classifier, of_classes=True)
        if self.regressor is not None:
            yield NamedLayer("regressor", self.regressor, of_classes=not self.class_agnostic)

    def _of_level(self, of_levels: Mapping[str, Any]) -> Any:
        if self.level is None and len(of_levels) != 1:
            raise ValueError(f"level: got None with the maps {sorted(of_levels)}, expected one of them")
        if self.level is not None and self.level not in of_levels:
            raise ValueError(f"level: got {self.level!r}, expected one of {sorted(of_levels)}")
        return of_levels[self.level or next(iter(of_levels))]
