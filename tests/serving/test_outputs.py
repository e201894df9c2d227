"""Outputs of one's own beside the detections of an export: functions, layers, and what a subclass returns."""

from __future__ import annotations

import contextlib
import io
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.models import TwoStageDetector, cascade_mask_rcnn_fpn
from cascade_tf.pooling import DetectionFeatures, ROIAlign
from cascade_tf.prediction.inference import input_size
from cascade_tf.prediction.network_calls import IMAGE_BATCH_SPEC, make_batch
from cascade_tf.serving.export import export_saved_model
from cascade_tf.serving.outputs import network_outputs
from cascade_tf.structures import Detections
from tests.serving.cpp_loader import run_cpp
from tests.serving.graphs import own_ops, saved_nodes
from tests.tiny_detector import CLASS_NAMES, MAX_DETECTIONS, SETTINGS, noise, tiny_detector

# The same ops in another graph, whose convolutions may be fused otherwise.
TOLERANCE = 1e-3
# Of one size, so that none is padded and an answer can be compared with that about one image alone.
IMAGES = [noise(64, 96, seed) for seed in range(3)]


def encode(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


ENCODED = [encode(pixels) for pixels in IMAGES]


@keras.saving.register_keras_serializable(package="tests")
class Embedding(keras.layers.Layer):
    """A layer with weights, as somebody would write it."""

    def __init__(self, pooling, units=5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.pool = DetectionFeatures(pooling)
        self.dense = keras.layers.Dense(units)

    def build(self, input_shape):
        self.dense.build((None, None, input_shape["P2"][-1]))

    def call(self, features, detections):
        return self.dense(self.pool(features, detections))


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(7)
    made = tiny_detector()
    scores = np.concatenate([record.scores for record in made.predict(IMAGES)])
    # Some detections less than there are places, so that there is padding.
    made.detection_output.score_threshold = float(np.quantile(scores, 0.3))
    return made


@pytest.fixture(scope="module")
def extra(detector):
    embedding = Embedding(detector.heads.pooling)
    embedding.build({"P2": (None, None, None, 16)})
    # Neither the detector nor the export knows this layer and this variable.
    pool, factor = ROIAlign(output_size=2, implementation="custom"), tf.Variable(3.0)
    return {
        "embedding": embedding,
        "cells": lambda features, detections: factor * pool(features, detections.boxes),
        "place": lambda features, detections: 1 + tf.argsort(-detections.scores, stable=True),
        "half": lambda features, detections: tf.cast(detections.scores, tf.bfloat16),
    }


@pytest.fixture(scope="module")
def folder(detector, extra, tmp_path_factory):
    return export_saved_model(
        detector, tmp_path_factory.mktemp("extra") / "model", extra=extra, export_status=True
    )


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures
    del loaded


def run(signature, **inputs):
    return {name: value.numpy() for name, value in signature(**inputs).items()}


def of_python(detector, extra):
    """The outputs of the functions themselves, in the network's frame, with zeros in the padding."""
    batch = make_batch(IMAGES, **input_size(detector), size_divisor=detector.size_divisor)
    features = detector.features(batch)
    detections = detector.detect(features, batch)
    valid = detections.valid.numpy()
    assert 0 < valid.sum() < valid.size
    return {
        name: np.where(valid.reshape(*valid.shape, *[1] * (value.ndim - 2)), value, 0)
        for name, function in extra.items()
        for value in [np.asarray(tf.cast(function(features, detections), tf.float32))]
    }


def test_every_signature_has_them(signatures):
    expected = {
        "embedding": (tf.float32, [None, MAX_DETECTIONS, 5]),
        "cells": (tf.float32, [None, MAX_DETECTIONS, 2, 2, 16]),
        "place": (tf.int32, [None, MAX_DETECTIONS]),
        "half": (tf.float32, [None, MAX_DETECTIONS]),
    }
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert {n: (outputs[n].dtype, outputs[n].shape.as_list()) for n in expected} == expected


def test_values_are_those_of_the_functions(signatures, detector, extra):
    expected = of_python(detector, extra)
    for outputs in (
        run(signatures["image_tensor"], image_tensor=tf.constant(np.stack(IMAGES))),
        run(signatures["serving_default"], image_bytes=tf.constant(ENCODED)),
    ):
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], value, atol=TOLERANCE, err_msg=name)
        for image, count in enumerate(outputs["num_detections"].astype(int)):
            np.testing.assert_array_equal(outputs["place"][image, :count], np.arange(1, count + 1))
        np.testing.assert_allclose(outputs["half"], outputs["detection_scores"], rtol=2**-8)
        assert np.abs(outputs["embedding"]).max() > 0.01


def test_the_graph_holds_core_ops(folder):
    assert own_ops(saved_nodes(folder)) == set()


def test_answers_follow_the_order_of_the_images(signatures):
    there = run(signatures["serving_default"], image_bytes=tf.constant(ENCODED))
    back = run(signatures["serving_default"], image_bytes=tf.constant(ENCODED[::-1]))
    for name, values in there.items():
        np.testing.assert_allclose(back[name], values[::-1], atol=TOLERANCE, err_msg=name)


def test_requests_that_a_server_joins_are_answered_as_alone(signatures):
    joined = run(signatures["serving_default"], image_bytes=tf.constant(ENCODED))
    alone = [run(signatures["serving_default"], image_bytes=tf.constant([one])) for one in ENCODED]
    for name, values in joined.items():
        np.testing.assert_allclose(
            np.concatenate([answer[name] for answer in alone]), values, atol=TOLERANCE, err_msg=name
        )


def test_broken_images_have_zeros(signatures):
    whole = run(signatures["serving_default"], image_bytes=tf.constant(ENCODED))
    mixed = run(signatures["serving_default"], image_bytes=tf.constant([b"none", *ENCODED]))
    np.testing.assert_array_equal(mixed.pop("status"), [1, 0, 0, 0])
    for name, values in mixed.items():
        assert not values[0].any(), name
        np.testing.assert_allclose(values[1:], whole[name], atol=TOLERANCE, err_msg=name)


def test_no_images_give_no_results(signatures):
    empty = run(signatures["serving_default"], image_bytes=tf.constant([], tf.string))
    assert empty["embedding"].shape == (0, MAX_DETECTIONS, 5)
    assert empty["cells"].shape == (0, MAX_DETECTIONS, 2, 2, 16)
    empty = run(signatures["image_tensor"], image_tensor=tf.zeros([0, 64, 96, 3], tf.uint8))
    assert empty["place"].shape == (0, MAX_DETECTIONS)


def test_cpp_loader_gives_them(cpp_loader, folder, signatures, tmp_path):
    files = [tmp_path / str(number) for number in range(len(ENCODED))]
    for file, content in zip(files, ENCODED, strict=True):
        file.write_bytes(content)
    expected = run(signatures["serving_default"], image_bytes=tf.constant(ENCODED))
    outputs = run_cpp(cpp_loader, folder, "serving_default", *files)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=TOLERANCE, err_msg=name)
    assert run_cpp(cpp_loader, folder, "serving_default")["embedding"].shape == (0, MAX_DETECTIONS, 5)


def zeros(*shape):
    return lambda features, detections: tf.zeros(
        [tf.shape(detections.valid)[0] if side is None else side for side in shape]
    )


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        ({"status": zeros(None, 10)}, ValueError, "extra: got the name 'status', expected none of .*status"),
        ({"my output": zeros(None, 10)}, ValueError, "got the name 'my output', expected letters"),
        ({3: zeros(None, 10)}, ValueError, "got the name 3, expected letters"),
        ({"e": 5}, TypeError, r"extra\['e'\]: got int, expected a function or layer of \(features, det"),
    ],
)
def test_names_and_values_are_looked_at_first(detector, tmp_path, extra, error, message):
    with pytest.raises(error, match=message):
        export_saved_model(detector, tmp_path / "model", extra=extra)
    assert list(tmp_path.iterdir()) == []


class Stub:
    """What the export knows of a network, with ten detections."""

    has_masks = False

    def __init__(self, form=None):
        self.form = form

    def features(self, batch):
        return {"P2": batch.images, "P3": batch.images}

    def in_areas(self, batch):
        return contextlib.nullcontext()

    def detect(self, features, batch):
        count = tf.shape(batch.images)[0]
        return Detections(
            boxes=tf.zeros([count, 10, 4]),
            scores=tf.zeros([count, 10]),
            classes=tf.zeros([count, 10], tf.int32),
            valid=tf.zeros([count, 10], tf.bool),
        )

    def __call__(self, batch, training):
        return self.form(self.detect(None, batch)._asdict())


def trace(network, extra):
    """Shapes of the further outputs."""

    def run(batch):
        return network_outputs(network, batch, extra)[1]

    traced = tf.function(run, input_signature=[IMAGE_BATCH_SPEC], autograph=False)
    outputs = traced.get_concrete_function().structured_outputs
    return {name: value.shape.as_list() for name, value in outputs.items()}


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            zeros(None),
            ValueError,
            r"got a tensor of shape \(None,\), expected a tensor \[B, D, ...\] with D = 10",
        ),
        (zeros(None, 9, 4), ValueError, r"got a tensor of shape \(None, 9, 4\), expected"),
        (zeros(7, 10), ValueError, r"got a tensor of shape \(7, 10\), expected"),
        (lambda features, found: found, TypeError, "got a Detections, expected a tensor"),
        (lambda features, found: features, TypeError, "got a dict of P2, P3, expected a tensor"),
        (lambda features, found: (found.boxes, 1), TypeError, "got a tuple of SymbolicTensor, int, expected"),
        (
            lambda features, found: tf.RaggedTensor.from_tensor(found.boxes),
            TypeError,
            "got a RaggedTensor, exp",
        ),
    ],
)
def test_an_output_is_a_tensor_with_an_entry_for_each_detection(function, error, message):
    with pytest.raises(error, match=rf"^extra\['e'\]: {message}"):
        trace(Stub(), {"e": function})


def test_a_size_that_only_shows_at_run_time_is_taken_as_right():
    assert trace(Stub(), {"e": lambda features, found: found.boxes[:, : tf.shape(found.boxes)[1]]}) == {
        "e": [None, 10, 4]
    }


def test_layers_that_nobody_trained_are_refused(detector, tmp_path):
    head, pool = keras.layers.Dense(3, name="fresh"), DetectionFeatures(detector.heads.pooling)
    message = "further outputs: got layers without weights before the export .fresh/kernel:0, fresh/bias:0."
    with pytest.raises(ValueError, match=message):
        export_saved_model(
            detector, tmp_path / "model", extra={"e": lambda features, found: head(pool(features, found))}
        )


class Found(NamedTuple):
    boxes: Any
    scores: Any
    classes: Any
    valid: Any
    masks: Any
    brightness: Any
    scene: Any


@keras.saving.register_keras_serializable(package="tests")
class WithScene(TwoStageDetector):
    """Returns one number more for each detection, and two for each image."""

    def call(self, batch, training=False):
        features = self.features(batch, training=training)
        detections = self.detect(features, batch)
        return Found(
            **detections._asdict(),
            brightness=tf.reduce_mean(self.heads.pooling(features, detections.boxes), axis=(2, 3, 4)),
            scene=tf.reduce_mean(features["P2"], axis=(1, 2))[:, :2],
        )


@pytest.fixture(scope="module")
def subclass():
    keras.utils.set_random_seed(7)
    settings = {**SETTINGS, "heads.masks.head.channels": 8, "heads.masks.head.num_convs": 1}
    made = cascade_mask_rcnn_fpn(CLASS_NAMES, **settings)
    return WithScene.from_config(made.get_config())


def test_further_fields_of_a_subclass_are_exported(subclass, tmp_path):
    folder = export_saved_model(subclass, tmp_path, export_status=True)
    loaded = tf.saved_model.load(str(folder))
    batch = make_batch(IMAGES, **input_size(subclass), size_divisor=subclass.size_divisor)
    expected = subclass(batch)
    outputs = run(loaded.signatures["full_masks"], image_bytes=tf.constant([b"broken", *ENCODED]))
    for name in ("brightness", "scene"):
        np.testing.assert_allclose(outputs[name][1:], getattr(expected, name), atol=TOLERANCE)
        assert not outputs[name][0].any()
    np.testing.assert_allclose(outputs["detection_masks"][1:], expected.masks, atol=TOLERANCE)
    none = run(loaded.signatures["image_tensor"], image_tensor=tf.zeros([0, 64, 96, 3], tf.uint8))
    assert none["scene"].shape == (0, 2)


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            lambda fields: (Detections(**fields), fields["scores"]),
            "got a tuple of Detections, SymbolicTensor, expected Detections, or a NamedTuple or dict with "
            "boxes, scores, classes, valid and further names",
        ),
        (
            lambda fields: without(fields, "valid"),
            "got a dict of boxes, scores, classes, expected Detections",
        ),
        (
            lambda fields: {**fields, "num_detections": fields["scores"]},
            "got the name 'num_detections', expected none of the export's own",
        ),
    ],
)
def test_what_a_call_cannot_return(form, message):
    with pytest.raises(ValueError, match=f"^the call of Stub: {message}"):
        trace(Stub(form), {})


def test_what_no_field_of_a_call_can_be():
    with pytest.raises(
        ValueError, match=r"^the call of Stub, e: got a tensor of shape \(2, 3\), expected a t"
    ):
        trace(Stub(lambda fields: {**fields, "e": tf.zeros([2, 3])}), {})


def test_a_call_may_return_a_dict():
    def form(fields):
        return {**fields, "per_image": fields["scores"][:, 0], "half": tf.cast(fields["boxes"], tf.float16)}

    assert trace(Stub(form), {}) == {"per_image": [None], "half": [None, 10, 4]}


def test_a_call_of_ones_own_has_its_outputs_itself(subclass, tmp_path):
    message = "extra: got e for WithScene, which has a call of its own, expected further fields in what"
    with pytest.raises(ValueError, match=message):
        export_saved_model(subclass, tmp_path, extra={"e": zeros(None, 10)})
