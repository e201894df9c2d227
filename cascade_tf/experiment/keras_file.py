"""Detectors in ``.keras`` files."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from cascade_tf.experiment import config
from cascade_tf.experiment.weights_file import first_line
from cascade_tf.models import TwoStageDetector
from cascade_tf.models.recipe_of_detector import recipe_of_detector

SUFFIX = ".keras"


def is_keras_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a Keras model, which Keras itself tells by the name."""
    return Path(path).suffix == SUFFIX


def load_keras_file(path: str | os.PathLike[str]) -> TwoStageDetector:
    """Loads a detector that ``detector.save`` wrote.

    Raises:
        ValueError: the file is damaged, or holds another model.
    """
    try:
        model = keras.saving.load_model(path, compile=False)
    # Keras raises ValueError on other files, TypeError on unknown classes; zip and h5py have errors of their
    # own.
    except Exception as error:
        raise ValueError(f"model {path}: cannot be loaded as a .keras file ({first_line(error)})") from None
    if not isinstance(model, TwoStageDetector):
        raise ValueError(f"model {path}: got a {type(model).__name__}, expected a TwoStageDetector")
    return model


def experiment_of(detector: TwoStageDetector, path: str | os.PathLike[str]) -> config.Experiment:
    """The resolved experiment that builds the like of a detector from a ``.keras`` file.

    Args:
        detector: of one of the package's recipes.
        path: the file, for the error and the experiment's name.

    Raises:
        ValueError: no recipe builds such a detector.
    """
    try:
        recipe = recipe_of_detector(detector)
    except ValueError as error:
        raise ValueError(
            f"weights {path}: {error}; train it in Python with detector.fit, or predict with --model"
        ) from None
    return config.Experiment(
        name=Path(path).stem,
        model=recipe,
        class_names=detector.class_names,
        category_ids=detector.category_ids,
    )
