"""The part of a cascade that draws masks: mask heads on stages of one's choice, the strategies of Fig. 6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.heads.mask_head import MaskHead
from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.map_order import as_maps
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.named_layer import NamedLayer, inside
from cascade_tf.losses import mask_loss
from cascade_tf.ops.mask_targets import crop_masks
from cascade_tf.pooling import ROIAlign
from cascade_tf.structures import (
    Detections,
    InstanceDetections,
    InstanceTargets,
    MaskOutput,
    Samples,
    StageOutput,
    Tensor,
)


@keras.saving.register_keras_serializable(package="cascade_tf")
class MaskBranch(Layer):
    """Mask heads that train on the foreground of some stages, and at test see the final boxes.

    Args:
        heads: one for each of ``stages``; at test the mean of their probabilities is the mask.
        stages: numbers of the stages, from 1 and ascending, whose foreground a head trains on: ``(1,)`` is
            strategy (b) of Fig. 6, ``(T,)`` is (c), all stages are (d).
        pooling: pools the boxes; masks have twice as many cells per side.

    Raises:
        ValueError: no heads, or not one for each of ``stages``, or these are not ascending; or the pooling's
            cells are not as many in both directions.
    """

    def __init__(self, heads: Sequence[MaskHead], stages: Sequence[int], pooling: ROIAlign, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        ascending = bool(stages) and list(stages) == sorted({n for n in stages if n >= 1})
        require(ascending, "stages", tuple(stages), "ascending numbers of stages from 1")
        require(len(heads) == len(stages), "heads", f"{len(heads)}", f"one for each of {tuple(stages)}")
        height, width = pooling.cells
        require(height == width, "pooling.output_size", pooling.cells, "one number: masks are square")
        self.heads = list(heads)
        self.stages = tuple(stages)
        self.pooling = pooling
        self.supports_jit = False

    @property
    def mask_size(self) -> int:
        """M, cells per side of a mask."""
        return 2 * self.pooling.cells[0]

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Builds every head for the channel count of the features."""
        channels = next(iter(as_maps(input_shape).values()))[-1]
        for head in self.heads:
            if not head.built:
                head.build((None, None, None, None, channels))
        self.built = True

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that the pooling takes the maps of these names to have."""
        return (one.inside("pooling") for one in self.pooling.map_strides(names))

    def named_layers(self) -> Iterator[NamedLayer]:
        """The heads' layers with weights, as ``mask3.conv1`` for a head on stage 3."""
        for number, head in zip(self.stages, self.heads, strict=True):
            yield from inside(f"mask{number}", head.named_layers())

    def call(self, features: Mapping[str, Tensor], boxes: Tensor, classes: Tensor) -> Tensor:
        """The masks of boxes: the mean of what all heads say.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``.
            boxes: [B, D, 4] float32.
            classes: [B, D] int32 in 1..K, 0 where there is no detection.

        Returns:
            [B, D, M, M] float32 in 0..1, 0 where there is no detection.
        """
        pooled = self.pooling(features, boxes)
        probabilities = [tf.sigmoid(head.of_classes(head(pooled), classes)) for head in self.heads]
        mean = tf.add_n(probabilities) / float(len(probabilities))
        return tf.where((classes > 0)[:, :, None, None], mean, 0.0)

    def with_masks(self, features: Mapping[str, Tensor], detections: Detections) -> InstanceDetections:
        """Gives detections their masks.

        Args:
            features: as in ``call``.
            detections: with boxes in the network's frame, best first.
        """
        # Detections stand at the front: the heads run on as many as the fullest image has.
        most = tf.reduce_max(tf.reduce_sum(tf.cast(detections.valid, tf.int32), axis=1))
        masks = self(features, detections.boxes[:, :most], detections.classes[:, :most])
        missing = tf.shape(detections.boxes)[1] - most
        return InstanceDetections(*detections, tf.pad(masks, [[0, 0], [0, missing], [0, 0], [0, 0]]))

    def outputs_of(
        self, features: Mapping[str, Tensor], outputs: Sequence[StageOutput]
    ) -> tuple[MaskOutput, ...]:
        """Runs each head on the foreground of its stage, in training.

        Args:
            features: as in ``call``.
            outputs: of all stages of the cascade, in training.
        """
        results = []
        for number, head in zip(self.stages, self.heads, strict=True):
            boxes, classes, index, valid = _foreground(outputs[number - 1].samples)
            logits = head(self.pooling(features, boxes), training=True)
            results.append(MaskOutput(logits, boxes, classes, index, valid))
        return tuple(results)

    def compute_losses(
        self,
        features: Mapping[str, Tensor],
        outputs: Sequence[StageOutput],
        image_size: Tensor,
        targets: InstanceTargets,
    ) -> dict[int, Tensor]:
        """What the heads are to learn from.

        Args:
            features: as in ``call``.
            outputs: of all stages of the cascade, in training.
            image_size: [B, 2] float32 (height, width) before padding.
            targets: ground truth with masks.

        Returns:
            Losses by the number of the stage, float32 scalars.
        """
        losses = {}
        found = zip(self.stages, self.heads, self.outputs_of(features, outputs), strict=True)
        for number, head, output in found:
            wanted = crop_masks(
                targets.masks,
                image_size,
                output.boxes,
                output.gt_index,
                output.valid,
                output_size=self.mask_size,
                implementation=self.pooling.implementation,
            )
            losses[number] = mask_loss(head.of_classes(output.logits, output.classes), wanted, output.valid)
        return losses


def _foreground(samples: Samples) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes, classes, object indices and validity of the foreground: as many as the fullest image has."""
    is_foreground = samples.valid & (samples.classes > 0)
    most = tf.reduce_max(tf.reduce_sum(tf.cast(is_foreground, tf.int32), axis=1))
    order = tf.argsort(tf.cast(~is_foreground, tf.int32), axis=1, stable=True)[:, :most]

    def pick(values: Tensor) -> Tensor:
        return tf.gather(values, order, batch_dims=1)

    return pick(samples.boxes), pick(samples.classes), pick(samples.gt_index), pick(is_foreground)
