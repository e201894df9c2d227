"""Weights files that describe their detector, and training that starts from weights of any kind."""

from __future__ import annotations

import dataclasses
import shutil

import h5py
import numpy as np
import pytest

from cascade_tf import load
from cascade_tf.experiment import config
from cascade_tf.experiment.weights_file import load_into, read_description, write_weights_file
from cascade_tf.experiment.weights_source import (
    WeightsSource,
    describe_weights,
    find_backbone_weights,
    find_weights,
    load_weights,
    start_from,
)
from cascade_tf.weights.importing import import_checkpoint
from cascade_tf.weights.places import places
from cascade_tf.weights.recipe_arguments import recipe_of
from tests.models.examples import CLASS_NAMES, build
from tests.weights import synthetic
from tests.weights.torch_writer import write_pickle

SETTINGS = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "backbone.norm": "group",
    "neck.channels": 32,
    "heads.head.units": 32,
    "heads.masks.stages": (3,),
    "heads.masks.head.channels": 16,
}


def experiment(**settings):
    model = recipe_of({**SETTINGS, **settings})
    return config.Experiment("made", model, class_names=CLASS_NAMES, category_ids=(3, 5, 9))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file and the detector in it."""
    detector = config.build_detector(experiment())
    generator = np.random.default_rng(0)
    detector.set_weights([generator.normal(size=weight.shape) for weight in detector.get_weights()])
    path = tmp_path_factory.mktemp("written") / "some.weights.h5"
    return write_weights_file(path, detector, experiment()), detector


def test_the_file_is_all_that_is_needed(written):
    path, detector = written
    again = load(path)
    assert (again.class_names, again.category_ids) == (CLASS_NAMES, (3, 5, 9))
    assert again.heads.masks.stages == (3,)
    for one, other in zip(again.get_weights(), detector.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_reads_it_too(written):
    path, detector = written
    other = config.build_detector(experiment())
    other.load_weights(str(path))
    np.testing.assert_array_equal(other.get_weights()[3], detector.get_weights()[3])


def test_description(written):
    path, _ = written
    found = read_description(path)
    assert found.class_names == CLASS_NAMES
    assert config.settings(found)["model.heads.masks.stages"] == (3,)
    changed = describe_weights(find_weights(path), {"output.score_threshold": 0.3})
    assert config.settings(changed)["model.output.score_threshold"] == 0.3
    detector, _ = load_weights(find_weights(path), {"output.max_detections": 7})
    assert detector.detection_output.max_detections == 7


def test_nothing_else_is_left_behind(written):
    path, _ = written
    assert [file.name for file in path.parent.iterdir()] == ["some.weights.h5"]


def test_other_names_are_refused(written, tmp_path):
    with pytest.raises(ValueError, match=r"expected one that ends in \.weights\.h5"):
        write_weights_file(tmp_path / "some.h5", written[1], experiment())


@pytest.mark.parametrize("name", ["renamed.h5", "renamed"])
def test_the_content_counts_and_not_the_name(written, tmp_path, name):
    path = shutil.copyfile(written[0], tmp_path / name)
    for detector in (load_weights(find_weights(path))[0], load(path)):
        for one, other in zip(detector.get_weights(), written[1].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("find", "name", "error", "message"),
    [
        (find_weights, "torchvision/resnet50", ValueError,
         "weights 'torchvision/resnet50': got a backbone .*, expected a detector; see --backbone_weights"),
        (find_backbone_weights, "detectron2/faster_rcnn_R_50_FPN_1x", ValueError,
         "got a detector of the catalogue, expected a backbone; see --weights"),
        (find_weights, "detectron2/faster_rcnn_R_50_FPN_2x", FileNotFoundError,
         "no such file or detector of the catalogue; did you mean detectron2/faster_rcnn_R_50_FPN_"),
        (find_weights, "resnet50", FileNotFoundError, "detector of the catalogue$"),
        (find_backbone_weights, "resnet5", FileNotFoundError, "did you mean torchvision/resnet50"),
        (find_backbone_weights, "nothing", FileNotFoundError, "no such file or backbone of the catalogue$"),
    ],
)  # fmt: skip
def test_names_that_are_not_there(find, name, error, message):
    with pytest.raises(error, match=message):
        find(name)


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (find_weights, "got a folder without experiment.json, expected the folder of a training run, a file"),
        (find_backbone_weights, "got a folder, expected a file or a backbone of the catalogue"),
    ],
)
def test_a_folder_without_a_run_is_no_weights(find, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        find(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all"])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        load(path)


def test_a_file_without_description(written, tmp_path):
    path = tmp_path / "bare.weights.h5"
    written[1].save_weights(str(path))
    assert read_description(path) is None
    with pytest.raises(ValueError, match="without a description of its detector"):
        load(path)


def test_a_broken_description_names_the_file(written, tmp_path):
    path = tmp_path / "broken.weights.h5"
    shutil.copyfile(written[0], path)
    with h5py.File(path, "a") as file:
        file.attrs["cascade_tf_experiment"] = '{"model": {"recipe": "os:system"}}'
    with pytest.raises(ValueError, match=r"broken\.weights\.h5: its description is broken: .*recipe"):
        load(path)


def test_weights_of_another_detector(written):
    with pytest.raises(ValueError, match="do not fit the detector of a smaller one"):
        load_into(build(), written[0], "a smaller one")


def test_training_starts_with_everything_but_the_classes(written):
    path, old = written
    new = recipe_of(SETTINGS)(("a", "b"))
    before = {name: place.variable.numpy() for name, place in places(new).items()}
    report = start_from(new, find_weights(path))
    theirs = places(old)
    assert f"the weights have 3 classes ({', '.join(CLASS_NAMES)}), the detector 2 classes (a, b)" in report
    for name, place in places(new).items():
        expected = before[name] if place.class_dependent else theirs[name].variable.numpy()
        np.testing.assert_array_equal(place.variable.numpy(), expected, err_msg=name)
    fresh = [name for name, place in places(new).items() if place.class_dependent]
    assert {"head1.classifier.kernel", "mask3.predictor.bias"} <= set(fresh)
    assert "head1.regressor.kernel" not in fresh  # one box for all classes


def test_training_starts_with_all_where_the_classes_agree(written):
    path, old = written
    new = recipe_of(SETTINGS)(CLASS_NAMES)
    assert "initial" not in start_from(new, find_weights(path))
    for one, other in zip(new.get_weights(), old.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_classes_of_other_names_begin_anew_and_the_report_says_so(written):
    path, old = written
    new = recipe_of(SETTINGS)(("new", *CLASS_NAMES[1:]))
    before = {name: place.variable.numpy() for name, place in places(new).items()}
    report = start_from(new, find_weights(path))
    theirs = places(old)
    for name, place in places(new).items():
        expected = before[name] if place.class_dependent else theirs[name].variable.numpy()
        np.testing.assert_array_equal(place.variable.numpy(), expected, err_msg=name)
    assert "8 variables left at their initial values" in report
    assert f"({', '.join(CLASS_NAMES)}), the detector 3 classes (new, " in report


def test_what_the_catalogue_knows_of_a_checkpoint_counts(tmp_path):
    architecture = dataclasses.replace(synthetic.CASCADE, blocks=(1, 1, 1, 1), **synthetic.SMALL)
    arrays = synthetic.distinct(synthetic.detectron2_shapes(architecture))
    path = write_pickle(tmp_path / "model.pkl", {"model": arrays})
    settings = {"inputs.std": (57.375, 57.12, 58.395), "backbone.stride_in_1x1": False}
    new = import_checkpoint(path, **settings).detector
    assert "initial" not in start_from(new, WeightsSource("name", path, settings))
    with pytest.raises(ValueError, match="got a backbone with stride_in_1x1=False, expected True"):
        start_from(new, WeightsSource("name", path))


def test_another_architecture_is_refused_unless_a_part_is_enough(written):
    path, old = written
    new = recipe_of({**SETTINGS, "heads.head.units": 16})(CLASS_NAMES)
    with pytest.raises(ValueError, match=r"do not fit the detector in head1\.classifier\.kernel"):
        start_from(new, find_weights(path))
    report = start_from(new, find_weights(path), allow_partial=True)
    assert "differ otherwise" in report
    np.testing.assert_array_equal(new.neck.laterals[0].kernel, old.neck.laterals[0].kernel)


def test_masks_may_go(written):
    path, old = written
    new = recipe_of({**SETTINGS, "heads.masks.stages": ()})(CLASS_NAMES)
    start_from(new, find_weights(path))
    kernels = [detector.heads.stages[2].head.dense[0].kernel for detector in (old, new)]
    np.testing.assert_array_equal(*kernels)


def test_masks_may_come(tmp_path):
    settings = {**SETTINGS, "heads.masks.stages": ()}
    boxes = recipe_of(settings)(CLASS_NAMES)
    path = write_weights_file(tmp_path / "boxes.weights.h5", boxes, experiment(**settings))
    new = recipe_of(SETTINGS)(CLASS_NAMES)
    report = start_from(new, find_weights(path))
    assert "without masks" in report
    assert "12 variables left at their initial values" in report
    assert "mask3.conv1.kernel" in report
    np.testing.assert_array_equal(new.neck.laterals[0].kernel, boxes.neck.laterals[0].kernel)


def test_a_mask_head_of_another_stage_does_not_fit(written):
    new = recipe_of({**SETTINGS, "heads.masks.stages": (1,)})(CLASS_NAMES)
    with pytest.raises(ValueError, match="mask1"):
        start_from(new, find_weights(written[0]))
