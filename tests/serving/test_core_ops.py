"""`core_ops`: what anybody's model with our layers is exported as."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import cascade_tf
from cascade_tf.heads import BoxHead, CascadeHeads, Stage
from cascade_tf.layers import DetectionOutput
from cascade_tf.ops.roi_align import roi_align
from cascade_tf.pooling import ROIAlign
from cascade_tf.proposals import RegionProposal
from tests.serving.graphs import nodes_of, own_ops, saved_nodes

BOXES = np.float32([[[4, 4, 40, 30], [10, 20, 60, 60]]])
IMAGES = np.random.default_rng(0).uniform(0, 1, (1, 64, 64, 3)).astype(np.float32)


def detector_of_ones_own():
    """A functional model with every layer that has an op."""
    images, size = keras.Input((None, None, 3)), keras.Input((2,))
    fine = keras.layers.Conv2D(8, 3, strides=4, padding="same", name="fine")(images)
    features = {"P2": fine, "P3": keras.layers.Conv2D(8, 3, strides=2, padding="same", name="coarse")(fine)}
    proposals = RegionProposal(anchor_sizes=(16, 32), strides=(4, 8), pre_nms_test=40, post_nms_test=20)
    heads = CascadeHeads([Stage(BoxHead(2, units=8))], ROIAlign(output_size=3, strides=(4, 8)))
    last = heads(features, proposals(features, size)[1], size)[-1]
    found = DetectionOutput(score_threshold=0.0, max_detections=5)(
        last.boxes[:, :, None], keras.ops.softmax(last.logits), last.samples.valid, size
    )
    return keras.Model([images, size], found._asdict())


@pytest.fixture(scope="module")
def model():
    return detector_of_ones_own()


def test_an_export_of_anybodys_model_loads_without_the_package(model, tmp_path):
    model.export(tmp_path / "with_ours", verbose=False)
    assert own_ops(saved_nodes(tmp_path / "with_ours")) == {"CascadeTf>RoiAlign", "CascadeTf>BatchedNms"}
    with cascade_tf.core_ops(model):
        model.export(tmp_path / "saved", verbose=False)
    assert own_ops(saved_nodes(tmp_path / "saved")) == set()
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import numpy, sys, tensorflow as tf; model = tf.saved_model.load('saved');"
        "found = model.serve([tf.constant(numpy.load('images.npy')), tf.constant([[64., 60.]])]);"
        "numpy.savez('found.npz', **{name: value.numpy() for name, value in found.items()});"
        "assert 'cascade_tf' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    found = np.load(tmp_path / "found.npz")
    for name, value in model([IMAGES, np.float32([[64, 60]])]).items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)


def test_the_model_is_left_as_it_was(model):
    before = {layer: dict(vars(layer)) for layer in model._flatten_layers()}
    with pytest.raises(OSError, match="disk full"), cascade_tf.core_ops(model):
        raise OSError("disk full")
    assert {layer: dict(vars(layer)) for layer in model._flatten_layers()} == before
    assert own_ops(traced_ops(model)) == {"CascadeTf>RoiAlign", "CascadeTf>BatchedNms"}


def traced_ops(model):
    traced = tf.function(lambda images, size: model([images, size]), autograph=False)
    concrete = traced.get_concrete_function(
        tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.float32)
    )
    return nodes_of(concrete.graph.as_graph_def())


class WithFunctions(keras.Model):
    """Ops in places where no layer can be found, and a graph from before the export."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(4, 3, strides=4, padding="same")
        pool = ROIAlign(output_size=3, strides=(4,))
        self.hidden = lambda maps, boxes: pool({"P2": maps}, boxes)

    @tf.function(autograph=False)
    def call(self, inputs):
        images, boxes = inputs
        maps = self.conv(images)
        pooled = roi_align([maps], boxes, strides=(4,), output_size=3, implementation="custom")
        return pooled + self.hidden(maps, boxes)


def test_ops_outside_of_layers_and_graphs_from_before(tmp_path):
    model = WithFunctions()
    expected = model([tf.constant(IMAGES), tf.constant(BOXES)])
    signature = [[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, 4])]]
    model.export(tmp_path / "first", verbose=False, input_signature=signature)
    assert own_ops(saved_nodes(tmp_path / "first")) == {"CascadeTf>RoiAlign"}
    with cascade_tf.core_ops(model):
        model.export(tmp_path / "second", verbose=False, input_signature=signature)
    assert own_ops(saved_nodes(tmp_path / "second")) == set()
    served = tf.saved_model.load(str(tmp_path / "second"))
    np.testing.assert_allclose(served.serve([IMAGES, BOXES]), expected, atol=1e-5)
    np.testing.assert_array_equal(model([tf.constant(IMAGES), tf.constant(BOXES)]), expected)


def test_only_models_have_layers():
    with pytest.raises(TypeError, match="model: got function, expected a Keras model or layer"):
        cascade_tf.core_ops(lambda x: x).__enter__()
