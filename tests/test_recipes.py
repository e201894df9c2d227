"""The recipes of docs/embedding.md run as they stand, and what they compute is right."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.boxes.examples import targets
from tests.models.examples import image_batch
from tests.reader import ROOT, blocks, run, write_folder
from tests.reference.roi_align import roi_align

PAGE = ROOT / "docs" / "embedding.md"
# Random weights and little work, so that each takes seconds and no network.
SHORTENED = {
    'weights="imagenet"': "alpha=0.35, weights=None",
    "short_sides=(512,), max_side=768": "short_sides=(64,), max_side=96",
    "steps_per_epoch=100, epochs=5": "steps_per_epoch=2, epochs=1, verbose=0",
}


@pytest.fixture
def folder_of_the_reader(tmp_path, monkeypatch):
    """The reader's folder, and the reader in it."""
    write_folder(tmp_path)
    monkeypatch.chdir(tmp_path)


def recipe(number):
    """The names that a recipe leaves behind."""
    return run(blocks(PAGE, "python")[number], f"embedding.md, recipe {number + 1}", SHORTENED)


def test_there_are_six_short_recipes():
    found = blocks(PAGE, "python")
    assert len(found) == 6
    for code in found:
        assert len([line for line in code.splitlines() if line.strip()]) < 25


def test_roi_features_of_keras_applications():
    names = recipe(0)
    network, model = names["network"], names["model"]
    images = np.random.default_rng(0).uniform(-1, 1, (2, 96, 128, 3)).astype(np.float32)
    boxes = np.float32([[[0, 0, 128, 96], [10, 20, 70, 80]]] * 2)
    (map_16,) = (one for stride, one in names["last"].items() if stride == 16)
    assert {8, 16, 32} < set(names["last"])
    features = keras.Model(network.input, map_16)(images).numpy()
    assert features.shape[1:3] == (6, 8)
    levels = np.zeros(boxes.shape[:2], np.int32)
    pooled = roi_align([features], boxes, levels, strides=[16], output_size=(7, 7), sampling_ratio=2)
    expected = pooled.mean(axis=(2, 3))
    # An untrained network's activations are small.
    np.testing.assert_allclose(model([images, boxes]), expected, atol=1e-5 * expected.max())


def test_an_attribute_head_learns_on_a_frozen_detector(folder_of_the_reader):
    names = recipe(1)
    model, detector = names["model"], names["detector"]
    learnt = names["attribute"].trainable_variables
    assert [id(v) for v in model.trainable_variables] == [id(v) for v in learnt]
    before = [np.array(value) for value in detector.variables]
    batch = image_batch()
    some = targets([[((8, 8, 60, 20), 1), ((50, 20, 60, 60), 2)], [((20, 10, 60, 20), 1)]])
    inputs, wide, valid = names["examples"](batch, some)
    np.testing.assert_array_equal(wide[..., 0], [[1, 0], [1, 0]])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    data = tf.data.Dataset.from_tensors((inputs, wide, valid))
    losses = model.fit(data, epochs=30, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    for value, variable in zip(before, detector.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_features_of_each_detection(folder_of_the_reader):
    names = recipe(2)
    vectors, detections = names["vectors"].numpy(), names["detections"]
    valid = detections.valid.numpy()
    cells = names["detector"].heads.pooling(names["features"], detections.boxes).numpy()
    np.testing.assert_allclose(vectors[valid], cells.mean(axis=(2, 3))[valid], rtol=1e-4)
    assert valid.sum(axis=1).min() > 0
    assert not vectors[~valid].any()
    found = names["detector"].predict(["photo.jpg", "other.png"], batch_size=2)
    for image, record in enumerate(found):
        np.testing.assert_allclose(names["boxes"][image][valid[image]], record.boxes, atol=1e-2)


def test_tracks_keep_their_numbers(folder_of_the_reader):
    names = recipe(3)
    frame = image_batch().images[0].numpy()
    known = np.zeros((0, names["detector"].neck.channels), np.float32)
    boxes, first, known = names["track"](known, frame)
    assert len(boxes) == len(first) == len(known) > 1
    again, second, after = names["track"](known, frame)
    np.testing.assert_array_equal(again, boxes)
    np.testing.assert_array_equal(second, first)
    assert len(after) == len(known)
    # What looks like nothing before is new.
    _, other, _ = names["track"](-known, frame)
    np.testing.assert_array_equal(other, len(known) + first)


def own_pyramid():
    images = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu")(images)
    coarse = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(fine)
    return keras.Model(images, {"P2": fine, "P3": coarse})


def test_a_compute_loss_of_ones_own_learns(monkeypatch):
    monkeypatch.setitem(SHORTENED, "BoxHead(num_classes)", "BoxHead(num_classes, units=16)")
    names = recipe(4)
    model = names["Mine"](own_pyramid(), 3)
    model.compile(keras.optimizers.Adam(0.003))
    data = tf.data.Dataset.from_tensors(
        (image_batch(), targets([[((8, 8, 40, 40), 1)], [((20, 10, 60, 50), 2)]]))
    )
    history = model.fit(data.repeat(), steps_per_epoch=15, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert history[1] < 0.8 * history[0]
    assert len(model.trainable_variables) > len(model.backbone.trainable_variables) + 6
    assert np.isfinite(model.evaluate(data, verbose=0))


def test_the_result_is_served(folder_of_the_reader):
    names = recipe(5)
    answer, count = names["answer"], names["count"]
    assert count > 0
    [record] = names["detector"].predict("photo.jpg")
    np.testing.assert_allclose(answer["detection_scores"][0, :count], record.scores, atol=1e-4)
    vectors = answer["embedding"][0].numpy()
    assert vectors[:count].any(axis=1).all()
    assert not vectors[count:].any()
