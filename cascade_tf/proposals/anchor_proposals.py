"""Proposal generators that learn from anchors: labels first, then what they cost."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cascade_tf.layers.structured_arguments import box_targets
from cascade_tf.proposals.generator import ProposalGenerator
from cascade_tf.structures import AnchorTargets, InstanceTargets, Targets, Tensor


class AnchorProposals(ProposalGenerator):
    """Base of the generators that score and move anchors: they label them and say what each mistake costs.

    What ``call`` puts out, an ``RPNOutput`` or its like, is the generator's own affair.

    Attributes:
        num_classes: K, of a generator that tells the classes apart; None: all objects are alike to it.
    """

    num_classes: int | None = None

    def label(self, output: Any, targets: Targets) -> AnchorTargets:
        """Draws the anchors of the loss and encodes their objects.

        Args:
            output: of ``call``.
            targets: ground truth.
        """
        raise NotImplementedError(f"{type(self).__name__} does not label its anchors")

    def anchor_losses(self, output: Any, labels: AnchorTargets) -> tuple[Tensor, Tensor]:
        """(objectness, box), float32 scalars ready to be summed.

        Args:
            output: of ``call``.
            labels: of ``label``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what its mistakes cost")

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the losses and metrics that ``fit`` shows."""
        return ("rpn_objectness", "rpn_box")

    def compute_losses(
        self, output: Any, targets: Targets | InstanceTargets
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Labels the anchors and says how far the output is from the labels.

        Args:
            output: of ``call``.
            targets: ground truth.

        Returns:
            Losses ``rpn_objectness`` and ``rpn_box``, ready to be summed, and the metric ``rpn_positives``,
            foreground anchors per image in the loss; float32 scalars.

        Raises:
            ValueError: an object has a class below 1, or above K where classes are told apart.
            tf.errors.InvalidArgumentError: the same, where a graph runs.
        """
        labels = self.label(output, box_targets(targets, self.num_classes))
        objectness, box = self.anchor_losses(output, labels)
        positives = tf.reduce_mean(tf.reduce_sum(tf.cast(labels.labels > 0, tf.float32), axis=1))
        return {"rpn_objectness": objectness, "rpn_box": box}, {"rpn_positives": positives}
