"""Wrong settings are refused where a layer is made, not after hours of training."""

import re

import pytest

from cascade_tf.heads import BoxHead, Stage
from cascade_tf.layers import DetectionOutput
from cascade_tf.pooling import ROIAlign
from cascade_tf.proposals import RegionProposal


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: DetectionOutput(nms_iou=7), "nms_iou: got 7, expected an overlap in 0..1"),
        (lambda: DetectionOutput(max_detections=0), "max_detections: got 0, expected 1 or more"),
        (lambda: DetectionOutput(soft_nms="hard"), "soft_nms: got 'hard', expected one of ('none', 'linear'"),
        (lambda: DetectionOutput(soft_sigma=0.0), "soft_sigma: got 0.0, expected a positive width"),
        (
            lambda: DetectionOutput(score_threshold=-1.0, soft_nms="linear"),
            "score_threshold: got -1.0, expected at least 0 with soft_nms",
        ),
        (lambda: RegionProposal(post_nms_test=0), "post_nms_test: got 0, expected 1 or more"),
        (lambda: RegionProposal(nms_iou=-0.1), "nms_iou: got -0.1, expected an overlap in 0..1"),
        (lambda: RegionProposal(foreground_fraction=5), "foreground_fraction: got 5, expected a share"),
        (lambda: ROIAlign(canonical_size=-1), "canonical_size: got -1, expected a number of pixels above 0"),
        (lambda: ROIAlign(output_size=0), "output_size: got 0, expected 1 or more"),
        (lambda: BoxHead(3, units=0), "units: got 0, expected 1 or more"),
        (lambda: BoxHead(3, num_convs=-1), "expected 0 or more"),
        (lambda: Stage(BoxHead(3), num_samples=-3), "num_samples: got -3, expected 1 or more, or None"),
        (lambda: Stage(BoxHead(3), foreground_fraction=2), "foreground_fraction: got 2, expected a share"),
    ],
)
def test_a_wrong_setting_is_named(make, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        make()
