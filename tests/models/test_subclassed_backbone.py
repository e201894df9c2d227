"""Models of a class of their own serve as backbones, whether they were called before or not."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade_tf.models import TwoStageDetector
from cascade_tf.models.backbone_maps import backbone_shapes
from tests.models.examples import CLASS_NAMES, build, ground_truth, image_batch


@keras.saving.register_keras_serializable(package="tests")
class Pyramid(keras.Model):
    """Four convolutions of stride 2, the first twice; no argument ``training``."""

    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.stem = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")
        self.steps = [
            keras.layers.Conv2D(width * 2**n, 3, strides=2, padding="same", activation="relu")
            for n in range(4)
        ]

    def get_config(self):
        return {**super().get_config(), "width": self.width}

    def call(self, images):
        value, maps = self.stem(images), {}
        for level, step in enumerate(self.steps, start=2):
            maps[f"C{level}"] = value = step(value)
        return maps


def detector_on(backbone):
    parts = build()
    names = ("neck", "proposals", "heads", "detection_output", "image_inputs")
    fresh = {
        name: type(part).from_config(part.get_config()) for name in names if (part := getattr(parts, name))
    }
    return TwoStageDetector(backbone=backbone, class_names=CLASS_NAMES, short_side=64, max_side=96, **fresh)


@pytest.mark.parametrize("called", ["never", "on an image", "on a symbol"])
def test_a_detector_on_it_is_the_one_on_its_functional_twin(called, tmp_path):
    backbone = Pyramid()
    if called == "on an image":
        backbone(np.zeros((1, 64, 96, 3), np.float32))
    elif called == "on a symbol":
        backbone(keras.Input((None, None, 3)))
    detector = detector_on(backbone)
    inputs = keras.Input((None, None, 3))
    twin = detector_on(keras.Model(inputs, Pyramid()(inputs)))
    twin.set_weights(detector.get_weights())
    batch = image_batch()
    expected = twin(batch)
    assert np.any(expected.valid)
    for value, other in zip(detector(batch), expected, strict=True):
        np.testing.assert_array_equal(value, other)

    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    for value, other in zip(again(batch), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_it_learns():
    detector = detector_on(Pyramid())
    before = detector.backbone.get_weights()
    detector.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    detector.train_on_batch(image_batch(), ground_truth())
    for old, new in zip(before, detector.backbone.get_weights(), strict=True):
        assert np.any(old != new)


def test_its_maps_are_known_before_an_image_is():
    assert backbone_shapes(Pyramid(width=3)) == {
        "C2": (None, None, None, 3),
        "C3": (None, None, None, 6),
        "C4": (None, None, None, 12),
        "C5": (None, None, None, 24),
    }


class OneMap(keras.Model):
    """A classifier's last map, without a name."""

    def call(self, images):
        return images[:, ::32, ::32]


class Vectors(keras.Model):
    """A named output that is no map."""

    def call(self, images):
        return {"C5": keras.ops.mean(images, (1, 2))}


@pytest.mark.parametrize(
    ("backbone", "line"),
    [
        (OneMap, r"must return a dict of feature maps, such as .*; got KerasTensor"),
        (Vectors, r"the backbone's map 'C5' must be \[B, h, w, C\] of known C, got \(None, 3\)"),
    ],
)
def test_what_it_returns_is_checked(backbone, line):
    with pytest.raises(ValueError, match=line):
        backbone_shapes(backbone())
