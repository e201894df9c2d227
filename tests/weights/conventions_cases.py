"""A Cascade Mask R-CNN of three stages as each family writes it, without memory for its values."""

from __future__ import annotations

from tests.weights import synthetic, synthetic_caffe2


def cascade_mask_rcnn(family):
    """A checkpoint of the family by its name."""
    if family == "detectron":
        model = synthetic_caffe2.Model(masks=True)
        return synthetic.checkpoint(synthetic.blank(synthetic_caffe2.detector_shapes(model)))
    if family == "detectron2":
        return synthetic.checkpoint(synthetic.blank(synthetic.detectron2_shapes(synthetic.CASCADE_MASK)))
    return synthetic.checkpoint(synthetic.blank(synthetic.mmdetection_shapes(synthetic.CASCADE_THREE_MASKS)))
