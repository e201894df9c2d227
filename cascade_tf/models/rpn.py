"""A proposal network alone: for proposals that Fast R-CNN takes from a file, and for measuring recall."""

from __future__ import annotations

from cascade_tf.heads import ProposalsOnly
from cascade_tf.layers import DetectionOutput
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import part

rpn_fpn = part(
    two_stage,
    heads=part(ProposalsOnly),
    # The proposals have been through a suppression within their levels: no second one, and no threshold.
    output=part(DetectionOutput, score_threshold=-1.0, nms_iou=1.0, max_detections=1000),
)
"""RPN on a feature pyramid, whose detections are its 1000 best proposals, of the one class "object"."""
