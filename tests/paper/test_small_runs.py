"""One training step and one export of each kind of detector, by the paper's own configurations made small.

A kind is what constructors a detector is made of. Configurations of one kind differ in numbers alone, so that
one of each runs, or several whose numbers make other layers: building all sixty would take ten minutes.
With CASCADE_TF_ALL_CONFIGURATIONS=1 all of them run. Detectors with a standard pyramid are exported in
``tests/serving``.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.experiment.config import build_detector, load_config, with_classes
from cascade_tf.parts import Part
from cascade_tf.serving.export import export_saved_model
from cascade_tf.structures import ProposalBatch
from cascade_tf.training.optimizer import make_optimizer, matches
from tests.conformance.sample_inputs import instances, proposals
from tests.models.examples import CLASS_NAMES, HEIGHT, WIDTH, ground_truth, image_batch
from tests.paper.files import NAMES

# Eager and exported networks round in another order.
SCORE_TOLERANCE = 1e-4
# Pixels.
BOX_TOLERANCE = 2e-2
SMALL = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "neck.channels": 8,
    "heads.head.units": 8,
    "heads.head.channels": 8,
    "heads.masks.head.channels": 8,
    "heads.num_samples": 16,
    "proposals.channels": 8,
    "output.max_detections": 5,
    "short_side": 64,
    "max_side": 96,
}
CHANGES = {
    "voc/cascade_rcnn_alexnet": {"backbone.channels": (8, 8, 8, 8, 8)},
    "coco/cascade_rcnn_x101_32x8d_fpn_1x": {"backbone.width": 0.25},
    "coco/cascade_rcnn_r50_fpn_gn_1x": {"backbone.norm_groups": 4, "neck.norm_groups": 4},
    "kitti/cascade_mscnn_trainval": {"proposals.hidden": (8, None, None, None)},
    "widerface/cascade_mscnn": {"proposals.hidden": (8, 8, 8, 8), "neck.channels": None},
}
# How many variables learn at twice the rate, and how many of the biases do not decay: counts of the layers'
# multipliers in the authors' networks. Detectron's hold for all biases.
KINDS = {
    "coco/cascade_rcnn_vgg16": (15, 2),
    "voc/faster_rcnn_vgg16": (7, 2),
    "voc/cascade_rcnn_alexnet": (20, 9),
    "voc/cascade_rfcn_r50": (12, 2),
    "coco/rfcn_r101": (6, 2),
    "coco/cascade_rcnn_r50_fpn_plus": (24, 14),
    "coco/faster_rcnn_r101_fpn_plus": (16, 10),
    "ablations/fpn_plus_four_stages": (28, 16),
    "ablations/fpn_plus_integral": (16, 10),
    "ablations/fpn_plus_integral_own_layers": (22, 14),
    "coco/cascade_rcnn_x101_32x8d_fpn_1x": (23, 23),
    "coco/cascade_rcnn_r50_fpn_gn_1x": (12, 12),
    "coco/cascade_mask_rcnn_r50_fpn_1x": (29, 29),
    "coco/fast_rcnn_r50_fpn_1x": (12, 12),
    "proposals/rpn_r50_fpn_1x": (11, 11),
    "kitti/cascade_mscnn_trainval": (21, 12),
    "widerface/cascade_mscnn": (28, 19),
}
EXPORTED = (
    "coco/cascade_rcnn_vgg16",
    "voc/cascade_rcnn_alexnet",
    "voc/cascade_rfcn_r50",
    "coco/cascade_rcnn_r50_fpn_plus",
)
ALL = os.environ.get("CASCADE_TF_ALL_CONFIGURATIONS") == "1"


def small(name):
    experiment = load_config(name)
    known = experiment.model.names()
    settings = {key: value for key, value in SMALL.items() if key in known} | CHANGES.get(name, {})
    limits = ("pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test")
    settings |= {key: 20 for key in known if key.endswith(limits)}
    model = experiment.model.replace(settings)
    classes = (("object",), (1,)) if experiment.data.one_class else (CLASS_NAMES, (3, 5, 9))
    return with_classes(dataclasses.replace(experiment, model=model), *classes)


def kind_of(name):
    """The constructors of a configuration's parts, each with its place."""
    model = load_config(name).model
    parts = {path: value.name for path, value in model.walk() if isinstance(value, Part)}
    return frozenset(parts.items()) | {("", model.name)}


def batch_for(experiment, batch):
    """The images, with proposals where the detector makes none of its own."""
    if experiment.model.value("proposals").name == "GivenProposals":
        return ProposalBatch(*batch, proposals(HEIGHT, WIDTH))
    return batch


def labels_for(detector):
    return instances(HEIGHT, WIDTH) if detector.has_masks else ground_truth()


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_is_of_a_kind_that_runs(name):
    assert kind_of(name) in {kind_of(other) for other in KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES if ALL else KINDS)
def test_a_step_and_for_each_family_an_export(name, tmp_path):
    experiment = small(name)
    detector = build_detector(experiment)
    variables = detector.trainable_variables
    optimizer = make_optimizer(experiment.train)
    optimizer.build(variables)
    before = [variable.numpy() for variable in variables]
    with tf.GradientTape() as tape:
        losses, _ = detector.compute_losses(batch_for(experiment, image_batch()), labels_for(detector))
        total = tf.add_n(list(losses.values()))
    optimizer.apply(tape.gradient(total, variables), variables)
    assert np.isfinite(total)
    stages = len(experiment.model.value("heads.ious") or ())
    assert {f"stage{number}_class" for number in range(1, stages + 1)} <= losses.keys()
    changed = [(variable.numpy() != old).any() for variable, old in zip(variables, before, strict=True)]
    # Levels whose anchors are larger than the images have nothing to learn.
    assert np.mean(changed) > 0.5
    doubled = [variable for variable in variables if matches(variable, optimizer.doubled)]
    undecayed = [v for v in variables if v.name == "bias" and matches(v, optimizer.undecayed)]
    assert name not in KINDS or (len(doubled), len(undecayed)) == KINDS[name]
    if (ALL and not detector.takes_proposals) or name in EXPORTED:
        # One step of a network that has learnt nothing can leave all boxes to the background.
        for variable, old in zip(variables, before, strict=True):
            variable.assign(old)
        loaded = tf.saved_model.load(str(export_saved_model(detector, tmp_path / "model")))
        batch = image_batch(size=((64, 96), (64, 96)))
        outputs = loaded.signatures["image_tensor"](image_tensor=batch.images)
        expected = detector(batch, training=False)
        assert expected.valid.numpy().any()
        np.testing.assert_array_equal(outputs["num_detections"], expected.valid.numpy().sum(axis=1))
        np.testing.assert_allclose(outputs["detection_scores"], expected.scores, atol=SCORE_TOLERANCE)
        np.testing.assert_array_equal(outputs["detection_classes"], expected.classes)
        boxes = outputs["detection_boxes_pixels"].numpy()[..., [1, 0, 3, 2]]
        np.testing.assert_allclose(boxes, expected.boxes, atol=BOX_TOLERANCE)
