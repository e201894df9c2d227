"""Every form of ``--weights`` that is a detector of ours: a run, its weights, a .keras file."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pytest

from cascade_tf.experiment import config, weights_source
from cascade_tf.experiment.weights_source import (
    describe_weights,
    find_backbone_weights,
    find_weights,
    load_weights,
    start_from,
)
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.parts import of_kind, part
from cascade_tf.weights.places import places
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, SETTINGS, noise

FORMS = ("folder", "best", "last", "keras")


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(5)
    return cascade_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **SETTINGS)


@pytest.fixture(scope="module")
def run(detector, tmp_path_factory):
    """The folder of a run whose last weights are zeros, with the detector as a .keras file."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model = cascade_rcnn_fpn.replace(SETTINGS)
    experiment = config.Experiment("mine", model, class_names=CLASS_NAMES, category_ids=CATEGORY_IDS)
    folder.mkdir()
    config.write_experiment(experiment, folder)
    detector.save_weights(folder / "best.weights.h5")
    detector.save(folder / "saved.keras")
    zeros = config.build_detector(experiment)
    zeros.set_weights([np.zeros_like(value) for value in zeros.get_weights()])
    zeros.save_weights(folder / "last.weights.h5")
    return folder


def path_of(form, run):
    names = {"best": "best.weights.h5", "last": "last.weights.h5", "keras": "saved.keras"}
    return run if form == "folder" else run / names[form]


@pytest.mark.parametrize("form", FORMS)
def test_the_detector_comes_back(form, run, detector):
    found, experiment = load_weights(find_weights(path_of(form, run)))
    assert (found.class_names, found.category_ids) == (CLASS_NAMES, CATEGORY_IDS)
    assert (found.short_side, found.max_side) == (64, 96)
    for ours, theirs in zip(found.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs if form != "last" else np.zeros_like(theirs))
    # What is written into experiment.json builds the same again.
    again = config.build_detector(config.from_json(config.to_json(experiment)))
    assert [tuple(v.shape) for v in again.weights] == [tuple(v.shape) for v in detector.weights]


@pytest.mark.parametrize("form", ["folder", "keras"])
def test_settings_can_be_changed(form, run, detector):
    found, experiment = load_weights(find_weights(path_of(form, run)), {"output.score_threshold": 0.5})
    assert found.detection_output.score_threshold == 0.5
    assert experiment.model.value("output.score_threshold") == 0.5
    [record] = found.predict(noise(60, 80), score_threshold=0.0)
    [expected] = detector.predict(noise(60, 80), score_threshold=0.5)
    np.testing.assert_allclose(record.boxes, expected.boxes, atol=1e-3)
    with pytest.raises(ValueError, match="do not fit"):
        load_weights(find_weights(path_of(form, run)), {"heads.head.units": 24})


@pytest.mark.parametrize("form", ["folder", "keras"])
@pytest.mark.parametrize(
    "names", [("red", "white", "platelet"), ("red", "white"), ("white", "red", "platelet"), ("a", "b", "c")]
)
def test_a_start_keeps_what_does_not_depend_on_other_classes(form, names, run, detector):
    source = find_weights(path_of(form, run))
    new = describe_weights(source).model(names, None)
    before = {name: place.variable.numpy() for name, place in places(new).items()}
    said = start_from(new, source)
    same = names == CLASS_NAMES
    old = {name: place.variable.numpy() for name, place in places(detector).items()}
    for name, place in places(new).items():
        anew = place.class_dependent and not same
        expected = before[name] if anew else old[name]
        np.testing.assert_array_equal(place.variable.numpy(), expected, err_msg=name)
    assert any(place.class_dependent for place in places(new).values())
    assert ("left at their initial values" in said) is not same
    if not same:
        assert "the weights have 3 classes (red, white, platelet)" in said


@of_kind("backbone")
def one_convolution(name="backbone"):
    """A network that does not name its layers; in each process they have the names that come next."""
    images = keras.Input((None, None, 3))
    return keras.Model(
        images, {"C5": keras.layers.Conv2D(4, 3, strides=16, padding="same")(images)}, name=name
    )


def test_a_start_on_a_backbone_that_does_not_name_its_layers(run, monkeypatch):
    recipe = cascade_rcnn_fpn.replace(
        SETTINGS
        | {
            "backbone": part(one_convolution),
            "neck": None,
            "proposals.strides": (16,),
            "proposals.anchor_sizes": (32,),
            "heads.pooling.strides": (16,),
        }
    )
    old, new = recipe(("red", "white")), recipe(CLASS_NAMES)
    monkeypatch.setattr(weights_source, "load_weights", lambda source: (old, None))
    said = start_from(new, find_weights(path_of("keras", run)))
    assert f"loaded {len(new.variables) - 6} variables" in said
    kernels = [detector.backbone.variables[0].numpy() for detector in (old, new)]
    np.testing.assert_array_equal(*kernels)


def test_numbered_classes_are_nobodys_names(detector, tmp_path):
    names = tuple(f"class {number}" for number in (1, 2, 3))
    model = cascade_rcnn_fpn.replace(SETTINGS)
    config.write_experiment(
        config.Experiment("zoo", model, class_names=names, category_ids=(1, 2, 3)), tmp_path
    )
    detector.save_weights(tmp_path / "best.weights.h5")
    new = model(CLASS_NAMES, CATEGORY_IDS)
    assert "initial values" not in start_from(new, find_weights(tmp_path))
    for ours, theirs in zip(new.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_without_weights(run, tmp_path):
    shutil.copy(run / config.EXPERIMENT_FILE, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a run without weights, expected best.weights.h5 or last"):
        find_weights(tmp_path)


def test_folders_of_other_kinds(tmp_path, run):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match=r"got a folder without experiment.json, expected the folder of a"):
        find_weights(tmp_path)
    (tmp_path / "1" / "saved_model.pb").touch()
    for folder in (tmp_path, tmp_path / "1"):
        with pytest.raises(ValueError, match=r"got a SavedModel, .* predict.py takes it as --model"):
            find_weights(folder)
    with pytest.raises(ValueError, match=r"got a run's folder, expected a backbone; see --weights"):
        find_backbone_weights(run)


def test_files_that_are_no_detector(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"broken.keras: cannot be loaded as a .keras file"):
        describe_weights(find_weights(tmp_path / "broken.keras"))
    own = cascade_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **SETTINGS)
    own.heads.stages[2].foreground_fraction = 0.125
    own.save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match=r"own.keras: .*train it in Python with detector.fit"):
        describe_weights(find_weights(tmp_path / "own.keras"))
