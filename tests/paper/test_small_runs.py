"""One training step and one export of each kind of detector, by the paper's own configurations made small.

Configurations of one kind differ in numbers alone, so that one of each runs: building all sixty would take
ten minutes. Detectors with a standard pyramid are trained and exported in ``tests/end_to_end``; of them those
run here that have a part of their own.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.experiment.config import build_detector, load_config, with_classes
from cascade_tf.serving.export import export_saved_model
from cascade_tf.training.optimizer import make_optimizer, matches
from tests.models.examples import CLASS_NAMES, ground_truth, image_batch

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
    "coco/cascade_rcnn_x101_32x8d_fpn_1x": (23, 23),
    "coco/cascade_rcnn_r50_fpn_gn_1x": (12, 12),
}
EXPORTED = (
    "coco/cascade_rcnn_vgg16",
    "voc/cascade_rcnn_alexnet",
    "voc/cascade_rfcn_r50",
    "coco/cascade_rcnn_r50_fpn_plus",
)


def small(name):
    experiment = load_config(name)
    known = experiment.model.names()
    settings = {key: value for key, value in SMALL.items() if key in known} | CHANGES.get(name, {})
    limits = ("pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test")
    settings |= {key: 20 for key in known if key.endswith(limits)}
    model = experiment.model.replace(settings)
    return with_classes(dataclasses.replace(experiment, model=model), CLASS_NAMES, [3, 5, 9])


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_step_and_for_each_family_an_export(name, tmp_path):
    experiment = small(name)
    detector = build_detector(experiment)
    variables = detector.trainable_variables
    optimizer = make_optimizer(experiment.train)
    optimizer.build(variables)
    before = [variable.numpy() for variable in variables]
    with tf.GradientTape() as tape:
        losses, _ = detector.compute_losses(image_batch(), ground_truth())
        total = tf.add_n(list(losses.values()))
    optimizer.apply(tape.gradient(total, variables), variables)
    assert np.isfinite(total)
    stages = len(experiment.model.value("heads.ious"))
    assert {f"stage{number}_box" for number in range(1, stages + 1)} <= losses.keys()
    changed = [(variable.numpy() != old).any() for variable, old in zip(variables, before, strict=True)]
    # Levels whose anchors are larger than the images have nothing to learn.
    assert np.mean(changed) > 0.5
    doubled = [variable for variable in variables if matches(variable, optimizer.doubled)]
    undecayed = [v for v in variables if v.name == "bias" and matches(v, optimizer.undecayed)]
    assert (len(doubled), len(undecayed)) == KINDS[name]
    if name in EXPORTED:
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
