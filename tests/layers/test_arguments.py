"""Wrong settings are refused where a layer is made, not after hours of training."""

import re

import pytest

from cascade_tf.heads import BoxHead, CascadeHeads, Stage, cascade
from cascade_tf.layers import DetectionOutput
from cascade_tf.pooling import ROIAlign
from cascade_tf.proposals import LevelProposals, RegionProposal


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
        (lambda: ROIAlign(output_size=0), "output_size must be one or two positive integers, got 0"),
        (lambda: BoxHead(3, units=0), "units: got 0, expected 1 or more"),
        (lambda: BoxHead(3, num_convs=-1), "expected 0 or more"),
        (lambda: Stage(BoxHead(3), num_samples=-3), "num_samples: got -3, expected 1 or more, or None"),
        (lambda: Stage(BoxHead(3), foreground_fraction=2), "foreground_fraction: got 2, expected a share"),
    ],
)
def test_a_wrong_setting_is_named(make, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        make()


PROPOSAL_NETWORKS = [
    ("channels", 0, "1 or more, or None"),
    ("nms_iou", 7, "an overlap in 0..1"),
    ("foreground_iou", 2, "an overlap in 0..1"),
    ("background_iou", 0.8, "an overlap in 0..0.7, the foreground_iou"),
    ("background_iou", -0.1, "an overlap in 0..0.7, the foreground_iou"),
    ("foreground_fraction", 1.5, "a share in 0..1"),
    ("crowd_cover", 9, "a share in 0..1"),
    ("crowd_cover", -1, "a share in 0..1"),
    ("beta", -1, "0 or more"),
]


@pytest.mark.parametrize(
    ("network", "name", "value", "expected"),
    [
        *((RegionProposal, *case) for case in PROPOSAL_NETWORKS),
        *((LevelProposals, *case) for case in PROPOSAL_NETWORKS),
        (LevelProposals, "claim_iou", -1, "an overlap in 0..1"),
        (LevelProposals, "score_threshold_train", 7, "a probability in 0..1"),
        (LevelProposals, "score_threshold_test", (-0.5,), "a probability in 0..1"),
        (LevelProposals, "min_side", -3, "0 or more"),
        (LevelProposals, "min_object_side", -3, "0 or more"),
        (LevelProposals, "samples_per_level", 0, "1 or more"),
        (LevelProposals, "post_nms_test", 0, "1 or more"),
        (LevelProposals, "max_outside", -1, "0 or more"),
        (LevelProposals, "box_weight", -1, "0 or more"),
        (LevelProposals, "border", -4, "0 or more"),
    ],
)
def test_a_number_outside_its_range_is_refused_by_a_proposal_network(network, name, value, expected):
    with pytest.raises(ValueError, match=f"^{re.escape(f'{name}: got {value!r}, expected {expected}')}$"):
        network(**{name: value})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"redundant_iou": 7}, "redundant_iou: got 7, expected an overlap in 0..1"),
        ({"crowd_cover": 3}, "crowd_cover: got 3, expected a share in 0..1"),
        ({"min_side": -2}, "min_side: got -2, expected 0 or more"),
        ({"box_beta": -1}, "box_beta: got -1, expected 0 or more"),
    ],
)
def test_a_number_outside_its_range_is_refused_by_the_heads(settings, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        CascadeHeads([Stage(BoxHead(3))], ROIAlign(), **settings)
    with pytest.raises(ValueError, match=re.escape(line)):
        cascade(3, **settings)


@pytest.mark.parametrize("settings", [{}, {"background_range": (0.1, 0.5), "num_samples": None}])
def test_only_a_number_of_samples_from_a_range_can_be_filled_up(settings):
    line = "top_up: got True, expected False without a background_range and num_samples to fill up"
    with pytest.raises(ValueError, match=line):
        cascade(3, top_up=True, **settings)


def test_the_ends_of_the_ranges_and_none_are_taken():
    levels = LevelProposals(
        foreground_iou=0.3, claim_iou=0.0, crowd_cover=None, max_outside=None, channels=None
    )
    assert (levels.foreground_iou, levels.claim_iou, levels.crowd_cover, levels.max_outside) == (
        0.3,
        0,
        None,
        None,
    )
    region = RegionProposal(foreground_iou=1.0, background_iou=0.0, crowd_cover=0.0, beta=0.0, channels=1)
    assert (region.foreground_iou, region.background_iou, region.crowd_cover, region.channels) == (1, 0, 0, 1)
    heads = cascade(3, redundant_iou=1.0, crowd_cover=None, box_beta=0.0)
    assert (heads.redundant_iou, heads.crowd_cover, heads.box_beta) == (1.0, None, 0.0)
