"""What Keras offers around ``fit``, on a detector."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models import faster_rcnn_fpn
from tests.models.examples import build, ground_truth, image_batch

PARTS = ["rpn_objectness", "rpn_box", "stage1_class", "stage1_box"]


def make(**settings):
    """A compiled detector, the same every time."""
    keras.utils.set_random_seed(5)
    detector = build(faster_rcnn_fpn)
    detector.compile(keras.optimizers.SGD(0.01), **settings)
    return detector


@pytest.fixture(scope="module")
def trained():
    """The detector after one step, and what ``fit`` said of that step."""
    detector = make()
    data = tf.data.Dataset.from_tensors((image_batch(), ground_truth()))
    return detector, detector.fit(data, verbose=0).history


def assert_same_weights(detector, other):
    for value, same in zip(detector.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(value, same, rtol=1e-6, atol=1e-6)


def test_train_on_batch_is_a_step_of_fit(trained):
    expected, history = trained
    detector = make(run_eagerly=True)
    shown = detector.train_on_batch(image_batch(), ground_truth(), return_dict=True)
    assert_same_weights(detector, expected)
    assert shown == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-5)


def test_a_detector_that_learns_proposals_leaves_its_heads_alone(tmp_path):
    keras.utils.set_random_seed(5)
    detector = build(faster_rcnn_fpn, learns="proposals")
    detector.compile(keras.optimizers.SGD(0.01))
    before = {variable.path: variable.numpy() for variable in detector.variables}
    data = tf.data.Dataset.from_tensors((image_batch(), ground_truth()))
    assert set(detector.fit(data, verbose=0).history) == {"loss", "rpn_box", "rpn_objectness"}
    changed = {v.path for v in detector.variables if not np.array_equal(v.numpy(), before[v.path])}
    heads, backbone, proposals = (
        {v.path for v in part.variables} for part in (detector.heads, detector.backbone, detector.proposals)
    )
    assert heads
    assert not heads & changed
    assert backbone & changed
    assert proposals <= changed
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    assert again.learns == "proposals"
    assert not again.heads.trainable_variables
    assert_same_weights(again, detector)
    with pytest.raises(ValueError, match="learns: got 'heads', expected one of everything, proposals"):
        build(faster_rcnn_fpn, learns="heads")


def test_numbers_without_names_are_those_of_metrics_names(trained):
    detector, _ = trained
    named = detector.test_on_batch(image_batch(), ground_truth(), return_dict=True)
    assert detector.metrics_names == ["loss", *PARTS, "stage1_iou_before", "stage1_iou_after"]
    values = detector.test_on_batch(image_batch(), ground_truth())
    assert dict(zip(detector.metrics_names, values, strict=True)) == pytest.approx(named)
    data = tf.data.Dataset.from_tensors((image_batch(), ground_truth()))
    assert detector.evaluate(data, verbose=0) == pytest.approx(values)
    assert named["loss"] == pytest.approx(sum(named[part] for part in PARTS), rel=1e-5)


def test_predict_on_batch_is_a_call(trained):
    detector, _ = trained
    for value, expected in zip(
        detector.predict_on_batch(image_batch()), detector(image_batch()), strict=True
    ):
        assert isinstance(value, np.ndarray)
        np.testing.assert_allclose(value, expected, atol=1e-3)


def test_dicts_by_the_names_of_the_fields(trained):
    expected, _ = trained
    detector = make(run_eagerly=True)
    batch, truth = image_batch()._asdict() | {"file_name": tf.constant(["a", "b"])}, ground_truth()._asdict()
    detector.fit(tf.data.Dataset.from_tensors((batch, truth)), verbose=0)
    assert_same_weights(detector, expected)
    for value, other in zip(detector(batch), detector(image_batch()), strict=True):
        np.testing.assert_array_equal(value, other)


def test_arrays_instead_of_a_data_set(trained):
    expected, _ = trained
    detector = make(run_eagerly=True)
    batch, truth = (tf.nest.map_structure(np.asarray, value) for value in (image_batch(), ground_truth()))
    detector.fit(batch, truth, batch_size=2, verbose=0)
    assert_same_weights(detector, expected)


def without(structure, name):
    return {field: value for field, value in structure._asdict().items() if field != name}


def test_what_a_dict_lacks_is_named(trained):
    detector, _ = trained
    with pytest.raises(
        ValueError, match=r"^batch: got .*, expected the entries of ImageBatch, also image_id$"
    ):
        detector.compute_losses(without(image_batch(), "image_id"), ground_truth())
    with pytest.raises(ValueError, match=r"^targets: got .*, expected the entries of Targets, also seed$"):
        detector.compute_losses(image_batch(), without(ground_truth(), "seed"))
    with pytest.raises(ValueError, match=r"^targets: got None, expected Targets"):
        detector.compute_losses(image_batch(), None)


def test_ragged_objects_are_named(trained):
    detector, _ = trained
    ragged = ground_truth()._replace(boxes=tf.RaggedTensor.from_tensor(ground_truth().boxes))
    with pytest.raises(ValueError, match=r"^targets.boxes: got a ragged tensor, expected one that is padded"):
        detector.compute_losses(image_batch(), ragged)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ({"metrics": ["accuracy"]}, r"^metrics: got \['accuracy'\], expected none: .* metrics.evaluate_coco"),
        ({"weighted_metrics": ["mse"]}, r"^weighted_metrics: got \['mse'\], expected none"),
        ({"loss": "mse"}, r"^loss: got 'mse', expected none: the model brings its losses"),
        ({"loss_weights": [1.0]}, r"^loss_weights: got \[1.0\], expected none"),
    ],
)
def test_what_it_computes_itself_is_refused(trained, argument, line):
    with pytest.raises(ValueError, match=line):
        trained[0].compile("sgd", **argument)


def test_examples_have_no_weights_and_need_ground_truth():
    detector = make(run_eagerly=True)
    with pytest.raises(ValueError, match=r"^sample_weight: got .*, expected none"):
        detector.train_on_batch(image_batch(), ground_truth(), sample_weight=np.ones(2))
    with pytest.raises(ValueError, match="y: got None, expected Targets"):
        detector.train_on_batch(image_batch())


def test_labels_that_start_at_0_stop_compiled_training():
    detector = make()
    truth = ground_truth()
    data = tf.data.Dataset.from_tensors((image_batch(), truth._replace(classes=truth.classes - 1)))
    before = detector.get_weights()
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels start at 1, class 0 is the background"):
        detector.fit(data, verbose=0)
    for value, same in zip(detector.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, same)
