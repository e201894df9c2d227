"""What people hand to ``predict`` works, or is answered in one line; detectors and SavedModels alike."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import cascade_tf
from cascade_tf.serving.export import export_saved_model
from tests.tiny_detector import noise, tiny_detector

PIXELS = [noise(60, 80, seed) for seed in range(3)]
NAMES = ("a.png", "b.png", "c.png")
# The same ops in another graph and other batches.
BOXES = 2e-2


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    keras.utils.set_random_seed(11)
    detector = tiny_detector()
    folder = export_saved_model(detector, tmp_path_factory.mktemp("export") / "model")
    return {"detector": detector, "saved": cascade_tf.load(folder)}


@pytest.fixture(scope="module", params=["detector", "saved"])
def detector(request, detectors):
    return detectors[request.param]


@pytest.fixture(scope="module")
def expected(detectors):
    return [detectors["detector"].predict(pixels)[0] for pixels in PIXELS]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        Path("photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(Path("photos") / name)
    Path("photos/notes.txt").touch()
    return "photos"


def assert_same(records, expected, paths=None):
    assert len(records) == len(expected)
    for number, (record, other) in enumerate(zip(records, expected, strict=True)):
        assert record.image_id == number
        assert record.path == (None if paths is None else paths[number])
        assert record.size == (60, 80)
        np.testing.assert_allclose(record.boxes, other.boxes, atol=BOXES)
        assert record.names == other.names


@pytest.mark.parametrize("batch_size", [1, 2])
def test_folders_patterns_and_paths(detector, expected, photos, batch_size):
    paths = [str(Path(photos) / name) for name in NAMES]
    for images in (
        photos,
        Path(photos),
        "photos/*.png",
        Path("photos/*.png"),
        paths,
        [Path(p) for p in paths],
    ):
        assert_same(detector.predict(images, batch_size=batch_size), expected, paths)
    assert_same(detector.predict(paths[0]), expected[:1], paths)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_arrays_and_pil_images(detector, expected, batch_size):
    pictures = [Image.fromarray(pixels) for pixels in PIXELS]
    for images in (PIXELS, np.stack(PIXELS), tf.constant(np.stack(PIXELS)), pictures, iter(PIXELS)):
        assert_same(detector.predict(images, batch_size=batch_size), expected)
    assert_same(detector.predict(pictures[0]), expected[:1])
    assert_same(detector.predict(PIXELS[0]), expected[:1])
    assert detector.predict([]) == []


def test_the_path_stays_when_detections_are_left_out(detector, expected, photos):
    threshold = float(expected[0].scores[2])
    [record] = detector.predict("photos/a.png", score_threshold=threshold)
    assert record.path == str(Path("photos/a.png"))
    assert 0 < len(record.scores) < len(expected[0].scores)


@pytest.mark.parametrize("threshold", [-0.1, 1.01, 50, float("nan")])
def test_thresholds_lie_between_0_and_1(detector, threshold):
    with pytest.raises(ValueError, match=r"^score_threshold: got .*, expected a number in 0..1$"):
        detector.predict(PIXELS[0], score_threshold=threshold)
    assert detector.predict(PIXELS[0], score_threshold=1.0)[0].names == ()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            PIXELS[0] / np.float32(255),
            r"got float32, .*; for values in 0..1: \(255 \* image\).astype\('uint8'\)",
        ),
        (PIXELS[0].astype(float), r"got float64, expected uint8 .*; image.astype\('uint8'\)$"),
        (PIXELS[0].astype(np.int64), r"got int64, expected uint8 .*; image.astype\('uint8'\)$"),
        (PIXELS[0].astype(float) - 100, r"got float64, expected uint8 in 0..255 or uint16 in 0..65535$"),
    ],
)
def test_other_numbers_are_told_how_to_become_pixels(detector, image, message):
    for images in (image, image[None], [image]):
        with pytest.raises(TypeError, match=message):
            detector.predict(images)


@pytest.mark.parametrize("image", [PIXELS[0], PIXELS[0][None], tf.constant(PIXELS[0]), "photos", [PIXELS[0]]])
def test_a_call_names_predict(detector, image):
    with pytest.raises(TypeError, match=r"detector.predict\(images\)") as raised:
        detector(image)
    assert "\n" not in str(raised.value)


def test_a_folder_without_images(detector, tmp_path):
    with pytest.raises(ValueError, match="a folder without images"):
        detector.predict(tmp_path)
