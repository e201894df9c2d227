"""Trained detectors back from disk: runs, .keras and .weights.h5 files, and exported SavedModels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from cascade_tf.experiment import config, first_step
from cascade_tf.experiment.keras_file import load_keras_file
from cascade_tf.experiment.weights_file import (
    WEIGHTS_FILES,
    find_run_weights,
    first_line,
    is_weights_file,
    load_into,
    read_description,
)
from cascade_tf.models import TwoStageDetector
from cascade_tf.prediction.inference import ImageDetections, batches_of, check_threshold, keep_above
from cascade_tf.serving.serving_files import LABELS_FILE, read_labels

_SAVED_MODEL = "saved_model.pb"


def load(path: str | os.PathLike[str]) -> Any:
    """Loads a detector, ready for ``predict``.

    Args:
        path: the folder of a training run (its best weights are taken, else its last), a ``.keras`` file, a
            ``.weights.h5`` file of ``scripts/convert_weights.py``, or a SavedModel folder: a version, or the
            folder of versions, of which the highest is taken.

    Returns:
        A ``TwoStageDetector``, or for a SavedModel a ``SavedDetector`` with the same ``predict``,
        ``class_names`` and ``category_ids``.

    Raises:
        FileNotFoundError: nothing lies there, or the run has no weights yet.
        ValueError: it is none of these, or its parts do not fit together.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"model {source}: got no such file or folder")
    if source.is_file():
        return load_weights_file(source) if is_weights_file(source) else load_keras_file(source)
    if (source / config.EXPERIMENT_FILE).is_file():
        return load_run(source)
    version = _find_version(source)
    if version is None:
        raise ValueError(
            f"model {source}: got a folder without {config.EXPERIMENT_FILE} and {_SAVED_MODEL}, expected "
            "the folder of a training run, a SavedModel folder or a .keras file"
        )
    return SavedDetector(version)


def load_run(
    workdir: str | os.PathLike[str], experiment: config.Experiment | None = None
) -> TwoStageDetector:
    """Builds the detector of a training run with the best weights it has, else the last.

    Args:
        workdir: the run's folder.
        experiment: what to build; None reads the run's ``experiment.json``.

    Raises:
        FileNotFoundError: the folder has no experiment or no weights.
        ValueError: the weights belong to another detector.
    """
    folder = Path(workdir)
    experiment = experiment or config.read_experiment(folder)
    weights = find_run_weights(folder)
    if weights is None:
        of_first = folder / first_step.FOLDER
        hint = f"; its first step has some, in {of_first}" if find_run_weights(of_first) else ""
        raise FileNotFoundError(
            f"workdir {folder}: got no weights, expected {' or '.join(WEIGHTS_FILES)} of a training run{hint}"
        )
    detector = config.build_detector(experiment)
    load_into(detector, weights, f"experiment {experiment.name!r}")
    detector.upright = experiment.data.upright
    return detector


def load_weights_file(
    path: str | os.PathLike[str], experiment: config.Experiment | None = None
) -> TwoStageDetector:
    """Builds the detector that a weights file describes, with its weights.

    Args:
        path: a file of ``scripts/convert_weights.py``.
        experiment: what to build; None takes the file's own description.

    Raises:
        ValueError: the file has no description, or its weights belong to another detector.
    """
    experiment = experiment or read_description(path)
    if experiment is None:
        raise ValueError(
            f"weights {path}: got a file without a description of its detector, expected the folder of its "
            "run, or a file that scripts/convert_weights.py wrote"
        )
    detector = config.build_detector(experiment)
    load_into(detector, path, f"experiment {experiment.name!r}")
    detector.upright = experiment.data.upright
    return detector


class SavedDetector:
    """An exported detector: it predicts, but does not train, and its thresholds are fixed.

    Args:
        folder: a SavedModel folder that ``export_saved_model`` wrote.

    Attributes:
        class_names: K names of the classes 1..K.
        category_ids: K ids of the same classes in the data set.
        upright: whether it was exported to turn photos as their EXIF orientation says.

    Raises:
        ValueError: the folder holds another kind of SavedModel, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.class_names, self.category_ids, self.upright = read_labels(Path(folder) / "assets" / LABELS_FILE)
        try:
            with _errors_only():
                self._model = tf.saved_model.load(str(folder))
            self._run = self._model.signatures["image_tensor"]
        # TensorFlow raises each of these on damaged folders.
        except (KeyError, OSError, ValueError, tf.errors.OpError) as error:
            raise ValueError(f"SavedModel {folder}: cannot be loaded ({first_line(error)})") from None

    def predict(
        self,
        images: Any,
        batch_size: int = 1,
        score_threshold: float | None = None,
        upright: bool | None = None,
    ) -> list[ImageDetections]:
        """Detects objects in images of any sizes; see ``inference.predict_images``.

        Images of one size go through the network together, others one by one. ``upright`` None turns photos
        as the export does.
        """
        check_threshold(score_threshold)
        upright = self.upright if upright is None else upright
        records: list[ImageDetections] = []
        for group, paths in batches_of(images, batch_size, upright=upright):
            same_size = len({image.shape for image in group}) == 1
            for batch in [np.stack(group)] if same_size else [image[None] for image in group]:
                records += self._detect(batch, len(records))
            records[-len(group) :] = [
                record._replace(path=path) for record, path in zip(records[-len(group) :], paths, strict=True)
            ]
        return [keep_above(record, score_threshold) for record in records] if score_threshold else records

    def __call__(self, *images: Any, **kwargs: Any) -> Any:
        """Refuses: raw tensors are those of the SavedModel's signatures."""
        raise TypeError("got a call of the detector, expected detector.predict(images)")

    def _detect(self, images: np.ndarray, first_id: int) -> list[ImageDetections]:
        outputs = {name: value.numpy() for name, value in self._run(image_tensor=tf.constant(images)).items()}
        records = []
        for b, count in enumerate(outputs["num_detections"].astype(int)):
            classes = outputs["detection_classes"][b, :count].astype(np.int32)
            records.append(
                ImageDetections(
                    boxes=outputs["detection_boxes_pixels"][b, :count][:, [1, 0, 3, 2]],
                    scores=outputs["detection_scores"][b, :count],
                    classes=classes,
                    category_ids=outputs["detection_category_ids"][b, :count],
                    names=tuple(self.class_names[c - 1] for c in classes),
                    image_id=first_id + b,
                    size=images.shape[1:3],
                    masks=outputs["detection_masks"][b, :count] if "detection_masks" in outputs else None,
                )
            )
        return records


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """Keeps TensorFlow from warning that an export has no gradients, which is as it should be."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _find_version(folder: Path) -> Path | None:
    if (folder / _SAVED_MODEL).is_file():
        return folder
    versions = [child.parent for child in folder.glob(f"*/{_SAVED_MODEL}") if child.parent.name.isdigit()]
    return max(versions, key=lambda version: int(version.name), default=None)
