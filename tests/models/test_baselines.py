"""The paper's baselines as whole detectors: evaluated by rows, saved and exported like any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.serving.export import export_saved_model
from tests.conformance.compare import assert_equal
from tests.models.examples import image_batch
from tests.tiny_detector import noise, tiny_detector

DETECTORS = {
    "iterative": {"heads.ious": (0.5,), "heads.iterations": 3},
}


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    keras.utils.set_random_seed(3)
    made = tiny_detector(**DETECTORS[request.param], **{"*.implementation": "tensorflow"})
    # Offsets of an untrained head would leave the boxes where they are.
    made.heads.stages[0].head.regressor.kernel.assign_add(
        0.5 * tf.random.stateless_normal(made.heads.stages[0].head.regressor.kernel.shape, (1, 2))
    )
    return made


def test_rows_of_an_evaluation_end_with_the_detectors_own(detector):
    batch = image_batch()
    rows = detector.per_stage_detections(batch)
    assert len(rows) == detector.num_stages == 3
    assert_equal(rows[-1], detector(batch))
    assert np.abs(rows[0].boxes - rows[-1].boxes).max() > 1.0


def test_a_keras_file_has_the_same_rows(detector, tmp_path):
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    assert_equal(again.per_stage_detections(image_batch()), detector.per_stage_detections(image_batch()))


@pytest.mark.slow
def test_a_saved_model_equals_predict(detector, tmp_path):
    image = noise(64, 96)
    [expected] = detector.predict(image)
    loaded = tf.saved_model.load(str(export_saved_model(detector, tmp_path / "model")))
    outputs = loaded.signatures["image_tensor"](image_tensor=image[None])
    count = int(outputs["num_detections"][0])
    assert count == len(expected.scores) > 0
    np.testing.assert_allclose(outputs["detection_scores"][0, :count], expected.scores, atol=1e-5)
    np.testing.assert_allclose(
        outputs["detection_boxes_pixels"][0, :count].numpy()[:, [1, 0, 3, 2]], expected.boxes, atol=2e-2
    )
