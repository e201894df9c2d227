"""RoI pooling: feature maps and boxes in, features of one size for each box out (``[B, R, P, P, C]``)."""

from cascade_tf.pooling.roi_align import ROIAlign

__all__ = ["ROIAlign"]
