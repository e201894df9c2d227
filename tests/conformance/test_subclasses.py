"""Subclasses of every layer and detector keep their parents' settings."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from cascade_tf.layers import DetectionOutput
from cascade_tf.layers.configured import constructor_arguments
from tests.conformance.catalogue import DETECTORS, EVERYTHING, LAYERS
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import SIZES

SOME = [*LAYERS, "cascade_mask_rcnn_fpn"]


def _grandchild(kind):
    """A subclass of a subclass, each with a setting of its own."""

    class Child(kind):
        def __init__(self, gain: float = 1.0, **kwargs):
            super().__init__(**kwargs)
            self.gain = gain

    class Grandchild(Child):
        def __init__(self, *args, offset: int = 0, **kwargs):
            super().__init__(*args, **kwargs)
            self.offset = offset

    return Grandchild


def _written_and_read(layer):
    return json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))["config"]


@pytest.mark.parametrize("name", SOME)
def test_settings_of_the_parents_and_of_their_own(name):
    layer = EVERYTHING[name].construct()
    kind, config = _grandchild(type(layer)), _written_and_read(layer)
    child = kind.from_config({**config, "gain": 2.5, "offset": 3})
    assert _written_and_read(child) == {**config, "gain": 2.5, "offset": 3}
    again = kind.from_config(_written_and_read(child))
    assert _written_and_read(again) == _written_and_read(child)
    assert (again.gain, again.offset) == (2.5, 3)


def _arguments_of(layer):
    """The arguments of a layer's own constructor, made anew."""
    config = _written_and_read(layer)
    # Classes without a constructor have those of Keras's layer.
    of_keras = [
        name for name in ("filters", "kernel_size", "groups", "dilation_rate", "padding") if name in config
    ]
    names = constructor_arguments(type(layer))[0] or of_keras
    return {name: keras.saving.deserialize_keras_object(config[name]) for name in names}


@pytest.mark.parametrize("name", SOME)
def test_settings_that_a_subclass_fixes(name):
    layer = EVERYTHING[name].construct()
    fixed = dict(list(_arguments_of(layer).items())[:2])

    class Fixed(type(layer)):
        def __init__(self, **kwargs):
            super().__init__(**fixed, **kwargs)

    config = _written_and_read(layer)
    again = Fixed.from_config(config)
    assert _written_and_read(again) == config
    with pytest.raises((TypeError, ValueError), match="depht"):
        Fixed.from_config({**config, "depht": 50})


@pytest.mark.parametrize("name", LAYERS)
def test_a_subclass_without_arguments(name):
    described = LAYERS[name].construct()
    kind = type(described)

    class Closed(kind):
        def __init__(self):
            super().__init__(**_arguments_of(described))

    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = Closed()
    layer.name = "of_my_own"
    layer(*LAYERS[name].inputs(*SIZES[0]))
    for inner in list(layer._flatten_layers())[::2]:
        inner.trainable = False
    keras.config.set_dtype_policy("float32")
    again = Closed.from_config(_written_and_read(layer))
    again(*LAYERS[name].inputs(*SIZES[0]))
    assert again.name == "of_my_own"
    assert _states(again) == _states(layer)


def _states(layer):
    layers = [one for one in layer._flatten_layers() if not isinstance(one, keras.layers.InputLayer)]
    return [(one.trainable, one.dtype_policy.name) for one in layers], [v.trainable for v in layer.variables]


def test_a_detection_output_of_other_defaults():
    kind = _grandchild(DetectionOutput)
    copy = kind.from_config(kind(score_threshold=0.5, nms_iou=0.9, gain=2.0).get_config())
    assert (copy.score_threshold, copy.nms_iou, copy.gain) == (0.5, 0.9, 2.0)


def test_an_argument_that_is_not_kept():
    class Forgetful(DetectionOutput):
        def __init__(self, gain: float = 1.0, **kwargs):
            super().__init__(**kwargs)
            self._gain = gain

    class Telling(Forgetful):
        def get_config(self):
            return {**super().get_config(), "gain": self._gain}

    with pytest.raises(TypeError, match=r"Forgetful: its argument 'gain' is not kept; set self\.gain"):
        Forgetful().get_config()
    assert Telling.from_config(Telling(gain=3.0).get_config())._gain == 3.0


def test_a_detector_that_makes_its_parts_itself(tmp_path):
    described = DETECTORS["faster_rcnn_fpn"].make()

    @keras.saving.register_keras_serializable(package="tests")
    class Whole(type(described)):
        def __init__(self, sharpness: float = 1.0, **kwargs):
            parts = _arguments_of(described)
            super().__init__(backbone=parts.pop("backbone"), heads=parts.pop("heads"), **{**parts, **kwargs})
            self.sharpness = sharpness

    detector = Whole(sharpness=4.0, short_side=48)
    detector.backbone.layers[2].trainable = False
    detector.heads.stages[0].head.dense[1].trainable = False
    detector.save(tmp_path / "detector.keras")
    keras.config.set_dtype_policy("mixed_bfloat16")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    assert (type(again), again.sharpness, again.short_side) == (Whole, 4.0, 48)
    assert _states(again) == _states(detector)
    batch = DETECTORS["faster_rcnn_fpn"].inputs(*SIZES[0])[0]
    assert_equal(again(batch), detector(batch))
    assert np.any(again(batch).scores)
