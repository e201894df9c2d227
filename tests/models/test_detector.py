"""The whole network: detections per stage, losses, edge cases."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import ProposalsOnly
from cascade_tf.models import TwoStageDetector, faster_rcnn_fpn
from tests.boxes.examples import targets
from tests.models.examples import CLASS_NAMES, build, ground_truth, image_batch, one
from tests.reference import cascade as reference

# Batches of one and of two are convolved by kernels that add in another order.
BATCHING = 1e-3


@pytest.fixture(scope="module")
def detector():
    """A cascade whose heads move boxes and tell classes apart, although nothing was trained."""
    keras.utils.set_random_seed(1)
    built = build()
    generator = np.random.default_rng(3)
    for stage in built.heads.stages:
        for layer, scale in ((stage.head.classifier, 0.5), (stage.head.regressor, 0.2)):
            layer.kernel.assign(generator.normal(0, scale, layer.kernel.shape))
    return built


@pytest.mark.parametrize("ensemble", ["last_boxes", "own_boxes", "last_stage"])
def test_detections_of_every_stage_equal_loops(detector, ensemble):
    batch = image_batch()
    detector.heads.ensemble = ensemble
    found = detector.per_stage_detections(batch)
    features, _, proposals = detector.propose(batch)
    outputs = detector.heads(features, proposals, batch.image_size)
    assert len(found) == 3
    for stage, detections in enumerate(found):
        boxes = [reference_boxes(detector, outputs[stage], stage, image) for image in range(2)]
        probabilities = reference_probabilities(detector, features, outputs[: stage + 1], ensemble)
        for image in range(2):
            usable = outputs[stage].samples.valid[image].numpy()
            expected = reference.detect(
                [[box] for box, use in zip(boxes[image], usable, strict=True) if use],
                probabilities[image][usable],
                batch.image_size[image].numpy(),
                score_threshold=0.0,
                nms_iou=0.5,
                limit=20,
            )
            own = detections.valid[image].numpy()
            assert own.sum() == len(expected)
            np.testing.assert_allclose(detections.scores[image][own], [d.score for d in expected], atol=1e-5)
            np.testing.assert_allclose(detections.boxes[image][own], [d.box for d in expected], atol=1e-3)
            np.testing.assert_array_equal(detections.classes[image][own], [d.label for d in expected])
    detector.heads.ensemble = "last_boxes"


def reference_boxes(detector, output, stage, image):
    std = detector.heads.stages[stage].std
    pairs = zip(output.deltas[image].numpy(), output.samples.boxes[image].numpy(), strict=True)
    return [reference.decode(delta, box, std) for delta, box in pairs]


def reference_probabilities(detector, features, outputs, ensemble):
    boxes = outputs[-1].samples.boxes
    logits = {
        "last_stage": [outputs[-1].logits],
        "own_boxes": [output.logits for output in outputs],
        "last_boxes": [detector.heads.head_on_boxes(i, features, boxes)[0] for i in range(len(outputs))],
    }[ensemble]
    each = [np.apply_along_axis(reference.softmax, -1, one.numpy()) for one in logits]
    return np.mean(each, axis=0)


def test_call_is_the_last_stage(detector):
    batch = image_batch()
    for one_value, other in zip(detector(batch), detector.per_stage_detections(batch)[-1], strict=True):
        np.testing.assert_array_equal(one_value, other)


def test_an_image_does_not_depend_on_its_batch(detector):
    batch, some = image_batch(), ground_truth()
    together = detector(batch)
    for image in range(2):
        alone = detector(one(batch, image))
        np.testing.assert_allclose(alone.scores[0], together.scores[image], atol=BATCHING)
        np.testing.assert_allclose(alone.boxes[0], together.boxes[image], atol=0.1)
    both, _ = detector.compute_losses(batch, some)
    single = [detector.compute_losses(one(batch, image), one(some, image))[0] for image in range(2)]
    for name in ("rpn_objectness", "rpn_box"):
        np.testing.assert_allclose(both[name], np.mean([losses[name] for losses in single]), rtol=BATCHING)


def test_names_of_losses_and_metrics(detector):
    losses, metrics = detector.compute_losses(image_batch(), ground_truth())
    stages = [f"stage{number}_" for number in (1, 2, 3)]
    assert list(losses) == ["rpn_objectness", "rpn_box"] + [
        s + kind for s in stages for kind in ("class", "box")
    ]
    kinds = ("positives", "iou_before", "iou_after", "accuracy")
    assert list(metrics) == ["rpn_positives"] + [s + kind for s in stages for kind in kinds]
    for value in (*losses.values(), *metrics.values()):
        assert value.shape == ()
        assert value.dtype == tf.float32
        assert np.isfinite(value)
    assert all(metrics[f"stage{number}_positives"] > 0 for number in (1, 2, 3))


def test_losses_are_weighted_where_gradients_are_not(detector):
    batch, some = image_batch(), ground_truth()
    plain, _ = detector.compute_losses(batch, some)
    detector.heads.rescale_heads = False
    weighted, _ = detector.compute_losses(batch, some)
    detector.heads.rescale_heads = True
    for name, value in plain.items():
        weight = 0.5 ** (int(name[5]) - 1) if name.startswith("stage") else 1.0
        np.testing.assert_allclose(weighted[name], weight * value, rtol=1e-5)


def test_losses_depend_on_the_seed_alone(detector):
    batch = image_batch()
    first, again = (detector.compute_losses(batch, ground_truth())[0] for _ in range(2))
    other, _ = detector.compute_losses(batch, ground_truth(seeds=[[7, 7], [8, 8]]))
    assert {name: float(value) for name, value in first.items()} == {n: float(v) for n, v in again.items()}
    assert float(first["rpn_objectness"]) != float(other["rpn_objectness"])


CROWD = [((0, 0, 96, 64), 0)]


@pytest.mark.parametrize(
    ("objects", "size"),
    [([[], []], 0), ([[], []], 3), ([CROWD, CROWD], 1), ([[], CROWD], 2)],
    ids=["no_room", "none", "crowds", "mixed"],
)
def test_batches_without_objects_train(detector, objects, size):
    losses, gradients = _train(detector, targets(objects, size=size))
    assert all(np.isfinite(value) for value in losses.values())
    assert all(losses[name] == 0 for name in losses if name.endswith("box"))
    assert all(gradient is None or np.all(np.isfinite(gradient)) for gradient in gradients)


def test_images_without_area_train(detector):
    losses, gradients = _train(detector, targets([[], []], size=1), image_batch(size=((0, 0), (0, 0))))
    assert all(np.isfinite(value) for value in losses.values())
    assert all(losses[name] == 0 for name in losses if name.startswith("stage"))
    assert all(gradient is None or np.all(np.isfinite(gradient)) for gradient in gradients)
    assert not detector(image_batch(size=((0, 0), (0, 0)))).valid.numpy().any()


@pytest.mark.parametrize("part", ["rpn", "head"])
def test_wild_offsets_in_images_without_objects(detector, part):
    layer = detector.proposals.offsets if part == "rpn" else detector.heads.stages[0].head.regressor
    bias = layer.bias.numpy()
    for value in (np.nan, np.inf):
        layer.bias.assign(np.full_like(bias, value))
        losses, metrics = detector.compute_losses(image_batch(), targets([[], []], size=1))
        assert all(np.isfinite(value) for value in (*losses.values(), *metrics.values()))
    layer.bias.assign(bias)


def _train(detector, some, batch=None):
    with tf.GradientTape() as tape:
        losses, _ = detector.compute_losses(image_batch() if batch is None else batch, some)
        total = tf.add_n(list(losses.values()))
    return losses, tape.gradient(total, detector.trainable_variables)


def test_every_trainable_variable_learns(detector):
    _, gradients = _train(detector, ground_truth())
    for variable, gradient in zip(detector.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(gradient).max() > 0, variable.path


def test_implementation_reaches_every_op(detector):
    detector.set_implementation("tensorflow")
    layers = (detector.proposals, detector.heads.pooling, detector.detection_output)
    assert [layer.implementation for layer in layers] == ["tensorflow"] * 3
    detector.set_implementation("auto")


def test_an_export_by_keras_refers_to_ours(detector, tmp_path):
    with pytest.raises(TypeError, match=r"expected cascade_tf\.export_saved_model\(detector, folder\)"):
        detector.export(tmp_path / "saved")


def test_validation_leaves_every_statistic_alone():
    detector = build(**{"backbone.norm": "sync"})
    detector.compile()
    before = [np.array(variable) for variable in detector.weights]
    data = tf.data.Dataset.from_tensors((image_batch(), ground_truth()))
    assert np.isfinite(detector.evaluate(data, return_dict=True, verbose=0)["loss"])
    for variable, value in zip(detector.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_names_and_ids_must_fit(detector):
    parts = {
        name: getattr(detector, name)
        for name in ("backbone", "neck", "proposals", "heads", "detection_output", "image_inputs")
    }
    with pytest.raises(ValueError, match=r"class_names has 2 names, but the heads have 3 classes"):
        TwoStageDetector(**parts, class_names=("a", "b"))
    with pytest.raises(ValueError, match="class_names has 3 names, but category_ids has 2 ids"):
        TwoStageDetector(**parts, class_names=CLASS_NAMES, category_ids=(1, 2))
    assert TwoStageDetector(**parts, class_names=CLASS_NAMES).category_ids == (1, 2, 3)
    for wrong in (0, 48):
        with pytest.raises(ValueError, match=f"round_to: got {wrong}, .* divisor of size_divisor = 64"):
            TwoStageDetector(**parts, class_names=CLASS_NAMES, size_divisor=64, round_to=wrong)


def test_backbone_must_name_its_maps(detector):
    inputs = keras.Input((None, None, 3))
    backbone = keras.Model(inputs, [keras.layers.Conv2D(4, 3)(inputs)])
    with pytest.raises(ValueError, match=r"must return a dict of feature maps, such as .*; got list"):
        TwoStageDetector(
            backbone=backbone,
            neck=None,
            proposals=detector.proposals,
            heads=detector.heads,
            detection_output=detector.detection_output,
            image_inputs=detector.image_inputs,
            class_names=CLASS_NAMES,
        )


class OtherNames(ProposalsOnly):
    """Heads whose metrics, the sides of the image, have names of their own."""

    reported = ("quality", "mean_iou_of_all", "side")
    weighted_by: ClassVar = {"mean_iou_of_all": "found"}

    def compute_losses(self, features, outputs, image_size, targets):
        height, width = tf.unstack(image_size[0])
        metrics = {"mean_iou_of_all": height, "side": height, "found": width}
        return {"quality": 0.5 * height}, metrics


def test_a_part_says_itself_by_what_a_metric_is_weighted(detector):
    names = ("backbone", "neck", "proposals", "detection_output", "image_inputs")
    parts = {name: getattr(detector, name) for name in names}
    other = TwoStageDetector(**parts, heads=OtherNames(1), class_names=("object",))
    batch, truth = image_batch(size=((64, 96), (60, 80))), ground_truth()
    steps = [(one(batch, image), one(truth, image)) for image in (0, 1)]
    other.compile(run_eagerly=True)
    for step in steps:
        shown = other.test_step(step)
    assert set(shown) == {"loss", "rpn_objectness", "rpn_box", *OtherNames.reported}
    assert float(shown["side"]) == 62.0
    assert float(shown["quality"]) == 31.0
    np.testing.assert_allclose(shown["mean_iou_of_all"], (96 * 64 + 80 * 60) / (96 + 80), rtol=1e-6)


def test_overlaps_are_weighted_by_the_foreground_that_they_are_of(detector):
    steps = [(one(image_batch(), image), one(ground_truth(), image)) for image in (0, 1)]
    detector.compile(run_eagerly=True)
    for step in steps:
        shown = detector.test_step(step)
    metrics = [detector.compute_losses(*step, training=False)[1] for step in steps]
    weights = [float(values["stage1_positives"]) for values in metrics]
    assert weights[0] != weights[1]
    for name in ("stage1_iou_before", "stage1_iou_after"):
        expected = np.average([values[name] for values in metrics], weights=weights)
        np.testing.assert_allclose(shown[name], expected, rtol=1e-5)


@pytest.mark.slow
def test_fit_lowers_the_loss():
    keras.utils.set_random_seed(5)
    detector = build(faster_rcnn_fpn)
    data = tf.data.Dataset.from_tensors((image_batch(), ground_truth())).repeat(8)
    detector.compile(keras.optimizers.SGD(0.02, momentum=0.9))
    seen = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: seen.append(step))
    history = detector.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[callback]).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert len(seen) == 24
    parts = ["rpn_objectness", "rpn_box", "stage1_class", "stage1_box"]
    np.testing.assert_allclose(np.sum([history[part] for part in parts], axis=0), history["loss"], rtol=1e-4)
    assert set(history) == {"loss", *parts, "stage1_iou_before", "stage1_iou_after"}
    result = detector.evaluate(data.take(1), verbose=0, return_dict=True)
    assert result["loss"] < history["loss"][0]
