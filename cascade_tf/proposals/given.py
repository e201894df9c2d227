"""Proposals that were collected beforehand (Fast R-CNN, Girshick, 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import clip_boxes, is_proper
from cascade_tf.layers.base import require
from cascade_tf.layers.structured_arguments import as_proposals
from cascade_tf.proposals.generator import ProposalGenerator
from cascade_tf.structures import (
    Batch,
    InstanceTargets,
    ProposalBatch,
    Proposals,
    RPNOutput,
    Targets,
    Tensor,
)


@keras.saving.register_keras_serializable(package="cascade_tf")
class GivenProposals(ProposalGenerator):
    """Takes the proposals that come with the images, and learns nothing.

    Args:
        limit_train: best proposals of an image in training; None: all (Detectron).
        limit_test: the same in inference.

    Raises:
        ValueError: a limit below 1.
    """

    kind = "proposals"
    takes_given = True

    def __init__(self, limit_train: int | None = None, limit_test: int | None = 1000, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        for name, limit in (("limit_train", limit_train), ("limit_test", limit_test)):
            require(limit is None or limit >= 1, name, limit, "1 or more, or none")
        self.limit_train = limit_train
        self.limit_test = limit_test

    def build(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> None:
        """Creates nothing: the features are not looked at."""
        self.built = True

    def of_batch(
        self, features: Mapping[str, Tensor], batch: Batch, training: bool = False
    ) -> tuple[RPNOutput, Proposals]:
        """Takes the proposals out of the batch, see ``ProposalGenerator``.

        Raises:
            TypeError: the batch has none.
        """
        if not isinstance(batch, ProposalBatch):
            raise TypeError(
                "the detector makes no proposals of its own: "
                f"got {type(batch).__name__}, expected ProposalBatch"
            )
        return self(batch.proposals, batch.image_size, training=training)

    def call(
        self, given: Proposals, image_size: Tensor, training: bool = False
    ) -> tuple[RPNOutput, Proposals]:
        """Takes the best, moved into the image.

        Args:
            given: R proposals per image, best first, padding behind them.
            image_size: [B, 2] float32 (height, width) before padding.
            training: which of the two limits applies.

        Returns:
            An output without anchors, as there is nothing to learn, and the proposals without gradient;
            those without area in the image are not valid.
        """
        limit = self.limit_train if training else self.limit_test
        boxes, scores, valid = (tf.stop_gradient(value[:, :limit]) for value in as_proposals(given))
        boxes = clip_boxes(boxes, image_size)
        valid &= is_proper(boxes)
        boxes, scores = tf.where(valid[..., None], boxes, 0.0), tf.where(valid, scores, 0.0)
        return _nothing(tf.shape(boxes)[0]), Proposals(boxes, scores, valid)

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows: none."""
        return ()

    def compute_losses(
        self, output: RPNOutput, targets: Targets | InstanceTargets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns no losses and no metrics.

        Args:
            output: of ``call``.
            targets: ground truth.
        """
        return {}, {}


def _nothing(batch: Tensor) -> RPNOutput:
    return RPNOutput(tf.zeros([batch, 0]), tf.zeros([batch, 0, 4]), tf.zeros([0, 4]))
