"""An exported MS-CNN, whose images get a fixed size or their own, finds what the detector finds."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models import cascade_mscnn_kitti, cascade_mscnn_widerface
from cascade_tf.serving.export import export_saved_model
from tests.conformance.catalogue import TINY_MSCNN
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, noise

# The same ops in another graph; boxes in pixels.
BOX_TOLERANCE = 2e-2
SCORE_TOLERANCE = 1e-4
RECIPES = {
    "kitti": (cascade_mscnn_kitti, {}),
    "widerface": (cascade_mscnn_widerface, {"neck.channels": None, "proposals.hidden": (8, 8, 8, 8)}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_exports_find_what_the_detector_finds(name, tmp_path):
    recipe, settings = RECIPES[name]
    keras.utils.set_random_seed(3)
    detector = recipe(CLASS_NAMES, CATEGORY_IDS, **{**TINY_MSCNN, **settings})
    rng = np.random.default_rng(0)
    for variable in (*detector.proposals.variables, *detector.heads.variables):
        # Outputs of fresh layers are so small that the order of their scores is one of rounding.
        variable.assign(rng.normal(0.0, 0.1, variable.shape))
    loaded = tf.saved_model.load(str(export_saved_model(detector, tmp_path / "model")))
    image = noise(70, 110)
    found = loaded.signatures["image_tensor"](image_tensor=tf.constant(image[None]))
    expected = detector.predict([image])[0]
    count = len(expected.boxes)
    assert int(found["num_detections"][0]) == count > 0
    boxes = found["detection_boxes_pixels"].numpy()[0, :count][:, [1, 0, 3, 2]]
    np.testing.assert_allclose(boxes, expected.boxes, atol=BOX_TOLERANCE)
    np.testing.assert_allclose(found["detection_scores"][0, :count], expected.scores, atol=SCORE_TOLERANCE)
    np.testing.assert_array_equal(found["detection_classes"][0, :count], expected.classes)
