"""The recipes set what their arguments say."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.backbones import VGG16
from cascade_tf.heads import stage_weights
from cascade_tf.models import cascade_rcnn_fpn, faster_rcnn_fpn
from cascade_tf.parts import part
from tests.models.examples import build, image_batch


@pytest.mark.parametrize(
    ("num_stages", "weighting", "expected"),
    [
        (3, "decay", [1, 0.5, 0.25]),
        (4, "decay", [1, 0.5, 0.25, 0.125]),
        (4, "avg", [0.25] * 4),
        (1, "avg", [1]),
    ],
)
def test_stage_weights(num_stages, weighting, expected):
    assert stage_weights(num_stages, weighting) == expected


def test_unknown_weighting():
    with pytest.raises(ValueError, match="weighting must be 'decay' or 'avg', got 'equal'"):
        stage_weights(3, "equal")


def test_the_papers_cascade_is_the_default():
    detector = build(**{"heads.num_samples": 512})
    heads, rpn = detector.heads, detector.proposals
    assert [stage.iou for stage in heads.stages] == [0.5, 0.6, 0.7]
    assert [stage.weight for stage in heads.stages] == [1.0, 0.5, 0.25]
    assert [stage.num_samples for stage in heads.stages] == [512, None, None]
    assert [stage.foreground_fraction for stage in heads.stages] == [0.25] * 3
    for number, stage in enumerate(heads.stages, start=1):
        np.testing.assert_allclose(stage.std, np.array([0.1, 0.1, 0.2, 0.2]) / number)
        assert stage.head.class_agnostic
        assert stage.head.regressor.kernel.shape[-1] == 4
        assert stage.head.classifier.kernel.shape[-1] == 4
    assert heads.ensemble == "last_boxes"
    assert heads.rescale_heads
    assert detector.detection_output.soft_nms == "none"
    assert heads.pooling.output_size == 7
    assert (rpn.samples_per_image, rpn.foreground_fraction, rpn.nms_iou) == (256, 0.5, 0.7)
    assert (rpn.foreground_iou, rpn.background_iou) == (0.7, 0.3)
    assert rpn.grid.anchors_per_cell == 3
    assert (detector.num_stages, detector.num_classes) == (3, 3)
    assert detector.category_ids == (3, 5, 9)


def test_the_baseline_is_a_cascade_of_one_class_aware_stage():
    detector = build(faster_rcnn_fpn)
    (stage,) = detector.heads.stages
    assert (stage.iou, stage.weight, stage.num_samples) == (0.5, 1.0, 24)
    assert stage.head.regressor.kernel.shape[-1] == 12


def test_ablations():
    detector = build(
        **{
            "heads.ious": (0.5, 0.5, 0.5, 0.5),
            "heads.update_statistics": False,
            "heads.weighting": "avg",
            "heads.head.class_agnostic": False,
            "heads.head.num_convs": 4,
            "heads.head.norm": "group",
            "heads.rescale_heads": False,
            "heads.append_ground_truth": "none",
            "heads.clip_boxes": True,
            "heads.ensemble": "last_stage",
        },
    )
    heads = detector.heads
    assert [stage.iou for stage in heads.stages] == [0.5] * 4
    assert [stage.std for stage in heads.stages] == [(0.1, 0.1, 0.2, 0.2)] * 4
    assert heads.loss_weights == [0.25] * 4
    assert [(stage.head.num_convs, stage.head.num_fcs, stage.head.norm) for stage in heads.stages] == [
        (4, 1, "group")
    ] * 4
    assert (heads.append_ground_truth, heads.clip_boxes, heads.ensemble) == ("none", True, "last_stage")
    assert not heads.rescale_heads


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression_keeps_boxes_that_hard_suppression_drops(method):
    soft = build(
        **{
            "output.soft_nms": method,
            "output.soft_sigma": 0.3,
            "output.score_threshold": 0.01,
            "output.max_detections": 200,
        }
    )
    output = soft.detection_output
    assert (output.soft_nms, output.soft_sigma, output.nms_iou) == (method, 0.3, 0.5)
    hard = build(**{"output.score_threshold": 0.01, "output.max_detections": 200})
    hard.set_weights(soft.get_weights())
    counts = [int(np.sum(one(image_batch()).valid)) for one in (soft, hard)]
    assert counts[0] > counts[1] > 0


@pytest.mark.parametrize(("norm", "neck"), [("frozen", "none"), ("sync", "none"), ("group", "group")])
def test_normalisation_of_backbone_and_neck(norm, neck):
    detector = build(**{"backbone.norm": norm, "neck.norm": neck})
    assert (detector.backbone.norm, detector.neck.norm) == (norm, neck)


def test_a_detector_is_built_without_running():
    detector = build()
    assert detector.built
    paths = [variable.path for variable in detector.variables]
    assert len(paths) == len(set(paths))


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="head_unit"):
        cascade_rcnn_fpn(("a",), head_unit=3)
    with pytest.raises(TypeError, match="head_unit"):
        faster_rcnn_fpn(("a",), head_unit=3)


def test_another_backbone_with_its_strides():
    """The exchange that the README shows."""
    recipe = cascade_rcnn_fpn.replace(
        {
            "backbone": part(VGG16, levels=("C3", "C4", "C5"), width=0.0625),
            "neck.channels": 8,
            "heads.head.units": 8,
            "heads.pooling.strides": (4, 8, 16),
            "proposals.strides": (4, 8, 16, 32),
            "proposals.anchor_sizes": (32, 64, 128, 256),
        }
    )
    detector = recipe(("a", "b"))
    batch = image_batch()
    height, width = batch.images.shape[1:3]
    sizes = [tuple(one.shape[1:3]) for one in detector.features(batch).values()]
    assert sizes == [(height // stride, width // stride) for stride in detector.proposals.strides]
    assert detector(batch).boxes.shape[0] == 2
