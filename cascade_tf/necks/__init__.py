"""Necks: a backbone's feature maps in, the maps that proposals and heads read out (``{"P2": ..., ...}``)."""

from cascade_tf.necks.fpn import FPN
from cascade_tf.necks.fpn_plus import FPNPlus
from cascade_tf.necks.scale_maps import ScaleMaps

__all__ = ["FPN", "FPNPlus", "ScaleMaps"]
