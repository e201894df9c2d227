"""What a detector asks of whoever gives it candidate boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cascade_tf.layers.base import Layer
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.structures import Batch, Proposals, Tensor


class ProposalGenerator(Layer):
    """Base of the parts that give proposals: a layer, and the one way in which a detector runs it.

    A generator names the losses and metrics that ``fit`` shows (``reported``), says which of its metrics
    weights another (``weighted_by``) and has ``compute_losses(output, targets) -> (losses, metrics)``, as
    ``RegionProposal`` describes them.

    Attributes:
        takes_given: whether the proposals come with the batch, which then is a ``ProposalBatch``.
    """

    takes_given = False

    @property
    def weighted_by(self) -> dict[str, str]:
        """By what ``fit`` weights a metric of a step, name by name; the others count alike in every step."""
        return {}

    def map_strides(self, names: Sequence[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have; none where it reads no maps."""
        return iter(())

    def of_batch(
        self, features: Mapping[str, Tensor], batch: Batch, training: bool = False
    ) -> tuple[Any, Proposals]:
        """Runs the layer on what it needs of a batch.

        Args:
            features: of the batch, ``{"P2": [B, h, w, C], ...}``.
            batch: the images.
            training: which limits apply.

        Returns:
            What ``compute_losses`` takes, and R proposals per image without gradient, best first.
        """
        return self(features, batch.image_size, training=training)
