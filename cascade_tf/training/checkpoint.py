"""The state of a run on disk: checkpoints for an exact resume, and weights for everything else."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from cascade_tf.training.step import raw_variable

_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# What the names of checkpoints begin with.
_NAME = "step"
# How many names of one kind an error lists.
_LISTED = 10


def prepare_workdir(workdir: str | os.PathLike[str]) -> Path:
    """Creates the folder of a run.

    Raises:
        ValueError: it cannot be created or written to.
    """
    folder = Path(workdir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"workdir {folder}: got {error.strerror}, expected a folder to write to") from None
    return folder


def save_weights(detector: Any, path: Path) -> None:
    """Writes a model's weights in Keras' format (``*.weights.h5``), all of them or nothing."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        detector.save_weights(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def saved_variables(detector: Any) -> list[Any]:
    """Returns every variable of a model that decides how training goes on: weights and random states."""
    metrics = {id(v) for v in getattr(detector, "metrics_variables", [])}
    return [v for v in detector.variables if id(v) not in metrics]


def name_variables(variables: Iterable[Any]) -> dict[str, Any]:
    """Returns TensorFlow variables by a name that is unique and the same in every process.

    A name is the place in the model's order and the variable's path. Keras numbers unnamed layers
    through the whole process (``dense_3``), so those numbers are left out.
    """
    return {f"{i:04d}:{_stable_path(v)}": raw_variable(v) for i, v in enumerate(variables)}


def find_checkpoints(folder: Path) -> list[str]:
    """Returns the path prefixes of the checkpoints in a folder, in the order in which a run tries them.

    First comes the one that the folder's list of checkpoints calls the newest; then all others by their step,
    the newest first, whether the list has them or not: a list may be missing, or be older than the files.
    """
    steps = {}
    for index in folder.glob(f"{_NAME}-*.index"):
        number = index.name.removeprefix(f"{_NAME}-").removesuffix(".index")
        if number.isdecimal():
            steps[str(index.with_suffix(""))] = int(number)
    found = sorted(steps, key=steps.__getitem__, reverse=True)
    state = tf.train.get_checkpoint_state(str(folder))
    newest = str(folder / Path(state.model_checkpoint_path).name) if state else None
    return sorted(found, key=lambda path: path != newest)


class CheckpointStore:
    """Numbered checkpoints in a folder, of which the newest few stay.

    A checkpoint is written under a temporary name and the list of checkpoints last; an older one is removed
    only then. One that cannot be read, because a disk lost a part of it, is passed over for the one before.

    Args:
        folder: where they lie.
        state: variables by group and name, see `name_variables`.
        keep: how many stay.
    """

    def __init__(self, folder: Path, state: Mapping[str, Mapping[str, Any]], keep: int = 2) -> None:
        self._state = {group: dict(variables) for group, variables in state.items()}
        self._checkpoint = tf.train.Checkpoint(**self._state)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep, checkpoint_name=_NAME
        )
        self._folder = folder

    def save(self, step: int) -> None:
        """Writes a checkpoint of the variables as they are.

        Raises:
            OSError: it cannot be written; those before it stay.
        """
        try:
            self._manager.save(checkpoint_number=step)
        except tf.errors.OpError as error:
            reason = str(error.message).splitlines()[0]
            raise OSError(
                f"checkpoint {self._folder / _NAME}-{step}: cannot be written ({reason}); the ones before it "
                "are as they were, and with space to write to the same command goes on from there"
            ) from error

    def restore(self) -> bool:
        """Reads the newest checkpoint that is whole into the variables.

        Returns:
            Whether there was one.

        Raises:
            ValueError: there are some and none can be read, or the newest that can be belongs to another
                model.
        """
        unreadable: list[str] = []
        for path in find_checkpoints(self._folder):
            try:
                self._check_fits(path)
                self._checkpoint.restore(path).assert_existing_objects_matched()
            except (tf.errors.OpError, RuntimeError, IndexError) as error:
                unreadable.append(f"checkpoint {path}: cannot be read ({str(error).splitlines()[0]})")
                continue
            for reason in unreadable:
                logging.warning("%s; going on from %s, which is whole", reason, path)
            return True
        if unreadable:
            raise ValueError("; ".join(unreadable))
        return False

    def _check_fits(self, path: str) -> None:
        shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        groups = tuple(f"{group}/" for group in self._state)
        keys = [key for key in shapes if key.endswith(_VALUE_SUFFIX)]
        stored = {_readable(key): tuple(shapes[key]) for key in keys}
        # The count of saves that TensorFlow adds belongs to no group.
        stored = {name: shape for name, shape in stored.items() if "/" in name}
        own = {f"{g}/{name}": tuple(v.shape) for g, group in self._state.items() for name, v in group.items()}
        differences = _differences(stored, own)
        if differences:
            known = ", ".join(name.rstrip("/") for name in groups)
            raise ValueError(f"checkpoint {path} is of another model (compared: {known}): {differences}")


def _differences(stored: Mapping[str, tuple], own: Mapping[str, tuple]) -> str:
    shared = sorted(stored.keys() & own.keys())
    changed = [name for name in shared if stored[name] != own[name]]
    lists = {
        "other shapes": [f"{n} {list(stored[n])}, expected {list(own[n])}" for n in changed],
        "only in the checkpoint": [f"{n} {list(stored[n])}" for n in sorted(stored.keys() - own.keys())],
        "only in the model": [f"{n} {list(own[n])}" for n in sorted(own.keys() - stored.keys())],
    }
    return "; ".join(f"{title}: {_shorten(names)}" for title, names in lists.items() if names)


def _shorten(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _readable(key: str) -> str:
    return key.removesuffix(_VALUE_SUFFIX).replace(".S", "/").replace("..", ".")


def _stable_path(variable: Any) -> str:
    path = str(getattr(variable, "path", variable.name)).split(":")[0]
    return re.sub(r"_\d+(?=/|$)", "", path)
