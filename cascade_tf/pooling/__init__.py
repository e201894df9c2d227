"""RoI pooling: feature maps and boxes in, features of one size for each box out (``[B, R, P, P, C]``)."""

from cascade_tf.pooling.detection_features import DetectionFeatures
from cascade_tf.pooling.grid_roi_align import GridROIAlign
from cascade_tf.pooling.ps_roi_pool import PSROIPool
from cascade_tf.pooling.roi_align import ROIAlign
from cascade_tf.pooling.roi_pool import ROIPool

__all__ = ["DetectionFeatures", "GridROIAlign", "PSROIPool", "ROIAlign", "ROIPool"]
