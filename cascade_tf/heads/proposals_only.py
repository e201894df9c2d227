"""Detectors without heads: the proposals themselves are the detections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.layers.structured_arguments import as_proposals
from cascade_tf.structures import (
    Detections,
    InstanceTargets,
    Proposals,
    Targets,
    Tensor,
)


class Candidates(NamedTuple):
    """What the stages' outputs are elsewhere.

    Attributes:
        samples: the proposals.
    """

    samples: Proposals


@keras.saving.register_keras_serializable(package="cascade_tf")
class ProposalsOnly(Layer):
    """Stands where the heads would, for training and using a proposal network alone.

    Proposals are boxes of one class, whose probability is the sigmoid of their score. Nothing is learnt here.

    Args:
        num_classes: K, which is 1.

    Raises:
        ValueError: there are several classes.
    """

    kind = "heads"
    num_stages = 1
    rows = MappingProxyType({"proposals": slice(1)})
    has_masks = False

    def __init__(self, num_classes: int, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        require(
            num_classes == 1,
            "num_classes",
            num_classes,
            "1, as proposals have no classes (data.one_class=true reads objects so)",
        )
        self.num_classes = num_classes

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows: none."""
        return ()

    @property
    def weighted_by(self) -> dict[str, str]:
        """By what ``fit`` weights a metric of a step: there is none."""
        return {}

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """Nothing: no maps are read."""
        return iter(())

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates nothing."""
        self.built = True

    def call(
        self,
        features: Mapping[str, Tensor],
        proposals: Proposals,
        image_size: Tensor,
        targets: Targets | InstanceTargets | None = None,
        training: bool = False,
    ) -> tuple[Candidates, ...]:
        """Hands the proposals on as the output of one stage.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``.
            proposals: R boxes per image.
            image_size: [B, 2] float32 (height, width) before padding.
            targets: not looked at.
            training: likewise.
        """
        return (Candidates(as_proposals(proposals)),)

    def class_probabilities(self, outputs: Sequence[Candidates]) -> Tensor:
        """[B, R, 2] float32: that a box is background, and that it holds an object."""
        probability = tf.sigmoid(outputs[-1].samples.scores)
        return tf.stack([1.0 - probability, probability], axis=-1)

    def detection_boxes(self, outputs: Sequence[Candidates]) -> Tensor:
        """[B, R, 1, 4] the proposals."""
        return outputs[-1].samples.boxes[:, :, None]

    def compute_losses(
        self,
        features: Mapping[str, Tensor],
        outputs: Sequence[Candidates],
        image_size: Tensor,
        targets: Targets | InstanceTargets,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns no losses and no metrics.

        Args:
            features: as in ``call``, with the three others.
            outputs: of ``call``.
            image_size: see there.
            targets: see there.
        """
        return {}, {}

    def with_masks(self, features: Mapping[str, Tensor], detections: Detections) -> Detections:
        """Returns the detections as they are: there are no masks."""
        return detections
