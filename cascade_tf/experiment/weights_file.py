"""Keras weights files that hold the description of their detector, and so need nothing beside them.

The description is an experiment as JSON text in an attribute of the HDF5 file; Keras reads and writes such a
file like any other.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from cascade_tf.experiment import config

SUFFIX = ".weights.h5"
# Those of a training run, in the order of preference.
WEIGHTS_FILES = ("best.weights.h5", "last.weights.h5")
_ATTRIBUTE = "cascade_tf_experiment"


def write_weights_file(path: str | os.PathLike[str], detector: Any, experiment: config.Experiment) -> Path:
    """Writes a detector's weights with the experiment that builds it, all of the file or nothing.

    Args:
        path: a name that ends in ``.weights.h5``.
        detector: a ``TwoStageDetector``.
        experiment: resolved: ``config.build_detector`` makes the detector's equal from it.

    Returns:
        The path.

    Raises:
        ValueError: another suffix, or a setting that cannot be written.
        OSError: the folder cannot be written.
    """
    target = Path(path)
    if not target.name.endswith(SUFFIX):
        raise ValueError(f"weights file {target}: got that name, expected one that ends in {SUFFIX}")
    text = config.to_json(experiment)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        temporary = Path(folder) / target.name
        detector.save_weights(str(temporary))
        with h5py.File(temporary, "a") as file:
            file.attrs[_ATTRIBUTE] = text
        os.replace(temporary, target)
    return target


def read_description(path: str | os.PathLike[str]) -> config.Experiment | None:
    """The experiment in a weights file; None where the file holds none.

    Raises:
        ValueError: the file is no HDF5, or its description is broken.
    """
    try:
        with h5py.File(path) as file:
            text = file.attrs.get(_ATTRIBUTE)
    except OSError as error:
        raise ValueError(f"weights {path}: cannot be read as HDF5 ({first_line(error)})") from None
    if text is None:
        return None
    try:
        return config.from_json(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"weights {path}: its description is broken: {error}") from None


def is_weights_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of Keras's weights by its name, or holds a description whatever its name is.

    Args:
        path: a file, or a name that no file has.
    """
    if Path(path).name.endswith(SUFFIX):
        return True
    try:
        with h5py.File(path) as file:
            return _ATTRIBUTE in file.attrs
    except (OSError, RuntimeError, KeyError):
        return False


def find_run_weights(folder: str | os.PathLike[str]) -> Path | None:
    """The best weights in a run's folder, else the last; None where there are none yet."""
    return next((Path(folder) / name for name in WEIGHTS_FILES if (Path(folder) / name).is_file()), None)


def load_into(detector: Any, path: str | os.PathLike[str], name: str) -> None:
    """Loads a Keras weights file into the detector that it was saved from, or one like it.

    Args:
        detector: a ``TwoStageDetector``.
        path: the file.
        name: what the detector is called, for the error.

    Raises:
        ValueError: the weights belong to another detector, or the file is damaged.
    """
    try:
        stored = _count_arrays(Path(path))
        # Keras would fill a smaller detector from a larger one's file without a word.
        if stored != len(detector.weights):
            raise ValueError(f"the file holds {stored} arrays, the detector has {len(detector.weights)}")
        with _under_keras_name(Path(path)) as named:
            detector.load_weights(str(named))
    # h5py raises OSError or KeyError on damaged files, Keras ValueError on other shapes.
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"weights {path}: do not fit the detector of {name} ({_misfit(error)})") from None


@contextlib.contextmanager
def _under_keras_name(path: Path) -> Iterator[Path]:
    """The file under a name by which Keras knows its format."""
    if path.name.endswith(SUFFIX):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"link{SUFFIX}"
        link.symlink_to(path.resolve())
        yield link


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _count_arrays(path: Path) -> int:
    kinds: list[bool] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: kinds.append(isinstance(item, h5py.Dataset)))
    return sum(kinds)


def _misfit(error: Exception) -> str:
    """Names the layers that Keras lists at the end of a long text."""
    layers = dict.fromkeys(re.findall(r"<\w+ name=([^,>]+)", str(error)))
    if not layers:
        return first_line(error)
    return f"other shapes in {', '.join(list(layers)[:5])}{', ...' if len(layers) > 5 else ''}"
