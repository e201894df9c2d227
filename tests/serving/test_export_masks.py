"""The masks of an exported detector, small and of the images' size, are those of the detector itself."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import cascade_tf
from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.serving.export import export_saved_model
from tests.models.examples import build
from tests.tiny_detector import noise

# Probabilities after another fusion of the same convolutions.
MASKS = 1e-3
IMAGES = [noise(60, 88), noise(88, 60, 1), noise(40, 50, 2)]


def encode(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(3)
    made = build(
        cascade_mask_rcnn_fpn,
        **{"heads.masks.head.channels": 16, "heads.*.sampling_ratio": 0},
        short_side=64,
        max_side=96,
    )
    for head in made.heads.masks.heads:
        # Masks that are neither empty nor full.
        head.predictor.kernel.assign(np.random.default_rng(0).normal(0, 2.0, head.predictor.kernel.shape))
    return made


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory):
    return export_saved_model(detector, tmp_path_factory.mktemp("export") / "model")


def test_small_masks(detector, folder):
    records = detector.predict(IMAGES)
    served = cascade_tf.load(folder).predict(IMAGES)
    for record, other in zip(records, served, strict=True):
        assert len(record.boxes) > 0
        assert other.size == record.size
        np.testing.assert_allclose(other.masks, record.masks, atol=MASKS)
        assert np.mean(other.paste() != record.paste()) < 1e-3


def test_full_masks_of_images_of_any_sizes(detector, folder):
    loaded = tf.saved_model.load(str(folder))
    outputs = loaded.signatures["full_masks"](image_bytes=tf.constant([encode(image) for image in IMAGES]))
    full = outputs["detection_masks_reframed"].numpy()
    assert full.shape[2:] == (88, 88)
    assert full.dtype == np.uint8
    # One batch in both cases: group normalisation sees the padding.
    for b, record in enumerate(detector.predict(IMAGES, batch_size=len(IMAGES))):
        height, width = record.size
        count = int(outputs["num_detections"][b])
        assert count == len(record.boxes)
        expected = record.paste()
        assert 0 < expected.mean() < 1
        assert np.mean(full[b, :count, :height, :width] != expected) < 1e-3
        # Nothing outside the image, and nothing behind the last detection.
        assert not full[b, :, height:].any()
        assert not full[b, :, :, width:].any()
        assert not full[b, count:].any()


def test_full_masks_of_no_images_and_of_broken_ones(detector, tmp_path):
    loaded = tf.saved_model.load(str(export_saved_model(detector, tmp_path / "model", export_status=True)))
    signature = loaded.signatures["full_masks"]
    nothing = signature(image_bytes=tf.constant([], tf.string))
    count = detector.detection_output.max_detections
    assert nothing["detection_masks"].shape == (0, count, 28, 28)
    assert nothing["detection_masks_reframed"].shape == (0, count, 1, 1)
    outputs = signature(image_bytes=tf.constant([b"no image", encode(IMAGES[2])]))
    full = outputs["detection_masks_reframed"].numpy()
    np.testing.assert_array_equal(outputs["status"], [1, 0])
    assert not full[0].any()
    [record] = detector.predict(IMAGES[2])
    assert full.shape == (2, count, *record.size)
    found = int(outputs["num_detections"][1])
    assert found == len(record.boxes) > 0
    assert np.mean(full[1, :found] != record.paste()) < 1e-3


def test_the_server_warms_up_every_signature(folder):
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    content = b"".join(records.as_numpy_iterator())
    for name in (b"serving_default", b"image_tensor", b"full_masks"):
        assert name in content


def test_box_detectors_have_no_masks(tmp_path):
    path = export_saved_model(build(short_side=64, max_side=96), tmp_path / "boxes")
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {"serving_default", "image_tensor"}
    assert "detection_masks" not in loaded.signatures["image_tensor"].structured_outputs
