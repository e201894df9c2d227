import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from absl import logging

import cascade_tf
from cascade_tf.experiment.config import Experiment, read_experiment, write_experiment
from cascade_tf.experiment.loading import SavedDetector, load, load_run
from cascade_tf.models import TwoStageDetector, cascade_rcnn_fpn
from cascade_tf.serving.export import export_saved_model
from tests.exif_files import orientation_entry, tiff, with_exif
from tests.tiny_detector import CATEGORY_IDS, CLASS_NAMES, SETTINGS, noise, tiny_detector

# Pixels: an exported graph fuses its convolutions otherwise.
BOX_TOLERANCE = 2e-2
IMAGES = [noise(90, 130), noise(90, 130, 1), noise(130, 90, 2)]


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(11)
    return tiny_detector()


@pytest.fixture(scope="module")
def expected(detector):
    return detector.predict(IMAGES)


def assert_same(records, expected, tolerance=0.0):
    assert len(records) == len(expected)
    for one, other in zip(records, expected, strict=True):
        assert len(one.boxes) > 0
        assert one.image_id == other.image_id
        assert one.names == other.names
        np.testing.assert_allclose(one.boxes, other.boxes, atol=tolerance)
        np.testing.assert_allclose(one.scores, other.scores, atol=tolerance)
        for name in ("boxes", "scores", "classes", "category_ids"):
            assert getattr(one, name).dtype == getattr(other, name).dtype
        np.testing.assert_array_equal(one.category_ids, other.category_ids)


def make_run(folder, detector, *weights):
    folder.mkdir(exist_ok=True)
    experiment = Experiment(
        name="tiny",
        model=cascade_rcnn_fpn.replace({**SETTINGS}),
        class_names=CLASS_NAMES,
        category_ids=CATEGORY_IDS,
    )
    write_experiment(experiment, folder)
    for name in weights:
        detector.save_weights(str(folder / name))
    return folder


@pytest.mark.parametrize("weights", ["best.weights.h5", "last.weights.h5"])
def test_a_run(tmp_path, detector, expected, weights):
    loaded = cascade_tf.load(make_run(tmp_path / "run", detector, weights))
    assert isinstance(loaded, TwoStageDetector)
    assert (loaded.class_names, loaded.category_ids) == (CLASS_NAMES, CATEGORY_IDS)
    assert_same(loaded.predict(IMAGES), expected)


def test_a_run_that_took_photos_as_they_are_stored_goes_on_so(tmp_path, detector):
    folder = make_run(tmp_path / "run", detector, "best.weights.h5")
    experiment = read_experiment(folder)
    write_experiment(replace(experiment, data=replace(experiment.data, upright=False)), folder)
    photo = with_exif(noise(96, 64, 4), "PNG", tiff([orientation_entry(6)]))
    loaded = cascade_tf.load(folder)
    exported = cascade_tf.load(export_saved_model(loaded, tmp_path / "export"))
    for one in (loaded, exported):
        assert one.predict(photo)[0].size == (96, 64)
        assert one.predict(photo, upright=True)[0].size == (64, 96)
    assert detector.predict(photo)[0].size == (64, 96)


def test_the_best_weights_come_before_the_last(tmp_path, detector):
    folder = make_run(tmp_path / "run", detector, "last.weights.h5")
    keras.utils.set_random_seed(12)
    other = tiny_detector()
    other.save_weights(str(folder / "best.weights.h5"))
    for found, wanted in zip(load(str(folder)).get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_keras_file(tmp_path, detector, expected):
    detector.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert isinstance(loaded, TwoStageDetector)
    assert_same(loaded.predict(IMAGES), expected)


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    return export_saved_model(detector, tmp_path_factory.mktemp("model"), version=7)


def test_a_saved_model(exported, expected):
    # A lower version, and a folder that is none, lie beside it.
    (exported.parent / "12").mkdir()
    shutil.copytree(exported, exported.parent / "5", ignore=shutil.ignore_patterns("variables"))
    loaded = load(exported.parent)
    assert isinstance(loaded, SavedDetector)
    assert (loaded.class_names, loaded.category_ids) == (CLASS_NAMES, CATEGORY_IDS)
    assert_same(loaded.predict(IMAGES), expected, BOX_TOLERANCE)
    assert_same(loaded.predict(iter(IMAGES), batch_size=2), expected, BOX_TOLERANCE)

    threshold = float(np.median(expected[0].scores))
    [record] = loaded.predict(IMAGES[0], score_threshold=threshold)
    assert 0 < len(record.boxes) < len(expected[0].boxes)
    assert record.scores.min() > threshold


def test_a_saved_model_loads_without_a_warning(exported, caplog):
    verbosity = logging.get_verbosity()
    SavedDetector(exported)
    assert caplog.messages == []
    assert logging.get_verbosity() == verbosity


def test_a_damaged_saved_model(exported, tmp_path):
    for name, pattern in (
        ("graph", "saved_model.pb"),
        ("weights", "variables.index"),
        ("labels", "labels.json"),
    ):
        copy = shutil.copytree(exported, tmp_path / name)
        [damaged] = copy.rglob(pattern)
        damaged.write_bytes(b"damaged")
        with pytest.raises(ValueError, match=rf"{name}.*(cannot be loaded|class list)") as caught:
            load(copy)
        assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model .*nothing: got no such file or folder"):
        load(tmp_path / "nothing")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(
        ValueError, match=r"without experiment\.json and saved_model\.pb, expected the folder"
    ):
        load(tmp_path)


def test_a_run_without_weights(tmp_path, detector):
    folder = make_run(tmp_path / "run", detector)
    with pytest.raises(FileNotFoundError, match=r"got no weights, expected best\.weights\.h5 or last"):
        load(folder)


def test_a_run_with_the_weights_of_another_detector(tmp_path):
    folder = make_run(tmp_path / "run", tiny_detector(**{"heads.head.units": 24}), "last.weights.h5")
    with pytest.raises(
        ValueError, match=r"last\.weights\.h5: do not fit .* 'tiny' \(other shapes in classifier"
    ) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_run_with_the_weights_of_a_larger_cascade(tmp_path, detector):
    experiment = Experiment(
        name="small",
        model=cascade_rcnn_fpn.replace({**{**SETTINGS, "heads.ious": (0.5,)}}),
        class_names=CLASS_NAMES,
        category_ids=CATEGORY_IDS,
    )
    write_experiment(experiment, tmp_path)
    detector.save_weights(str(tmp_path / "last.weights.h5"))
    with pytest.raises(ValueError, match=r"the file holds \d+ arrays, the detector has \d+"):
        load_run(tmp_path)


def test_a_run_with_damaged_weights(tmp_path, detector):
    folder = make_run(tmp_path / "run", detector)
    (folder / "best.weights.h5").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"best\.weights\.h5: do not fit"):
        load_run(folder)


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_a_file_that_is_no_keras_file(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras: cannot be loaded as a \.keras file") as caught:
        load(tmp_path / "model.keras")
    assert "\n" not in str(caught.value)


def test_a_keras_file_of_another_model(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="got a Sequential, expected a TwoStageDetector"):
        load(tmp_path / "model.keras")
