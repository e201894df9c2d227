"""Fast R-CNN on a ResNet feature pyramid (first rows of Table 7): proposals come from a file.

``GivenProposals`` takes the place of the proposal network; the batches are ``ProposalBatch``.
"""

from __future__ import annotations

from cascade_tf.heads import BoxHead, cascade
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import part
from cascade_tf.proposals import GivenProposals

fast_cascade_rcnn_fpn = part(
    two_stage, proposals=part(GivenProposals), heads=part(cascade, ious=(0.5, 0.6, 0.7))
)
"""Cascade R-CNN on given proposals."""

fast_rcnn_fpn = part(
    two_stage,
    proposals=part(GivenProposals),
    heads=part(cascade, ious=(0.5,), head=part(BoxHead, class_agnostic=False)),
)
"""Fast R-CNN, the baseline: one stage, and as in ``faster_rcnn_fpn`` a box for each class."""
