"""What the proposal generators of the authors' Caffe networks share: offsets within limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.boxes import BoxCoder
from cascade_tf.layers.base import require
from cascade_tf.ops import clip_values
from cascade_tf.proposals.anchor_proposals import AnchorProposals
from cascade_tf.structures import Proposals, Tensor


class LimitedProposals(AnchorProposals):
    """Base of the generators whose predicted boxes move and grow so far at most.

    Attributes:
        coder: of the offsets.
        max_shift: predicted centres move by this share of the anchor's side at most; None: any.
        max_growth: predicted sides grow or shrink by this factor at most; None: any.
    """

    asserts_sizes = True
    coder: BoxCoder
    max_shift: float | None
    max_growth: float | None

    def predict(self, features: Mapping[str, Tensor], image_size: Tensor) -> Any:
        """The output of ``call``: scores and offsets of all anchors; arguments as of ``call``."""
        raise NotImplementedError(f"{type(self).__name__} does not score its anchors")

    def propose(self, output: Any, training: bool = False) -> Proposals:
        """Proposals of scores and offsets.

        Args:
            output: of ``predict``.
            training: which of the two sets of limits applies.

        Returns:
            R proposals per image without gradient.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no proposals of its output")

    def call(
        self, features: Mapping[str, Tensor], image_size: Tensor, training: bool = False
    ) -> tuple[Any, Proposals]:
        """Scores all anchors and turns the best into proposals.

        Args:
            features: ``{"C5": [B, h, w, C], ...}``, one map per stride among them; or a list of them from
                fine to coarse, where the maps have no names of their own. For their order see
                ``layers.map_order.fine_to_coarse``.
            image_size: [B, 2] (height, width) before padding.
            training: which of the two sets of limits applies.

        Returns:
            The output, offsets clipped, and R proposals per image without gradient.

        Raises:
            ValueError: a map is missing, or the sizes of the maps contradict the strides; where only a
                running graph knows these, an InvalidArgumentError there.
        """
        output = self.predict(features, image_size)
        return output, self.propose(output, training)

    def clip_deltas(self, deltas: Tensor) -> Tensor:
        """Offsets [..., 4] within ``max_shift`` and ``max_growth``; their gradient goes through unchanged."""
        shift = math.inf if self.max_shift is None else self.max_shift
        growth = math.inf if self.max_growth is None else math.log(self.max_growth)
        limits = np.asarray([shift, shift, growth, growth], np.float32) / np.asarray(
            self.coder.std, np.float32
        )
        return clip_values(deltas, -limits, limits)

    def check_limits(self) -> None:
        """Raises a ValueError where one of the two limits lets nothing move or grow."""
        shift, growth = self.max_shift, self.max_growth
        require(shift is None or shift > 0.0, "max_shift", shift, "more than 0")
        require(growth is None or growth > 1.0, "max_growth", growth, "more than 1")
