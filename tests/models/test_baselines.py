"""The paper's baselines as whole detectors: evaluated by rows, saved and exported like any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import BoxHead, integral
from cascade_tf.parts import part
from cascade_tf.pooling import ROIAlign
from cascade_tf.serving.export import export_saved_model
from tests.conformance.compare import assert_equal
from tests.models.examples import image_batch
from tests.tiny_detector import noise, tiny_detector

HEADS = {"head": part(BoxHead, units=16), "pooling": part(ROIAlign)}
DETECTORS = {
    "iterative": {"heads.ious": (0.5,), "heads.iterations": 3},
    "integral, shared layers": {"heads": part(integral, **HEADS)},
    "integral, own layers": {"heads": part(integral, hidden_layers="own", **HEADS)},
}


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    keras.utils.set_random_seed(3)
    made = tiny_detector(**DETECTORS[request.param], **{"*.implementation": "tensorflow"})
    # The outputs of untrained heads would be alike, and leave the boxes where they are.
    for number, (name, layer, *_) in enumerate(made.heads.named_layers()):
        if name.endswith(("classifier", "regressor")):
            layer.kernel.assign(0.3 * tf.random.stateless_normal(layer.kernel.shape, (1, number)))
    return made


def test_rows_of_an_evaluation_end_with_the_detectors_own(detector):
    batch = image_batch()
    rows = detector.per_stage_detections(batch)
    assert len(rows) == len(detector.row_names) == (4 if "mean" in detector.row_names else 3)
    assert_equal(rows[-1], detector(batch))
    assert np.abs(rows[0].scores - rows[-1].scores).max() > 1e-3


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
