"""Heads: boxes and what they read in, class logits, offsets and masks out; and the cascade that runs them."""

from cascade_tf.heads.box_head import BoxHead
from cascade_tf.heads.cascade import cascade, stage_statistics, stage_weights
from cascade_tf.heads.cascade_heads import CascadeHeads
from cascade_tf.heads.conv_fc_head import ConvFCHead
from cascade_tf.heads.integral import integral
from cascade_tf.heads.integral_heads import IntegralHeads
from cascade_tf.heads.mask_branch import MaskBranch
from cascade_tf.heads.mask_head import MaskHead
from cascade_tf.heads.mask_heads import mask_heads
from cascade_tf.heads.position_sensitive_head import PositionSensitiveHead
from cascade_tf.heads.proposals_only import ProposalsOnly
from cascade_tf.heads.stage import Stage
from cascade_tf.heads.stage_head import StageHead

__all__ = [
    "BoxHead",
    "CascadeHeads",
    "ConvFCHead",
    "IntegralHeads",
    "MaskBranch",
    "MaskHead",
    "PositionSensitiveHead",
    "ProposalsOnly",
    "Stage",
    "StageHead",
    "cascade",
    "integral",
    "mask_heads",
    "stage_statistics",
    "stage_weights",
]
