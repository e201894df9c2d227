"""Which tensor goes where: made and checked before the first variable changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.files.checkpoint_file import CheckpointFile
from cascade_tf.weights.import_report import ImportReport, listed, loaded_twice
from cascade_tf.weights.places import Place

# Assigning a whole array takes three copies of it for a moment. Those of the fully connected layers behind
# the pooling are so large that it would show.
_LARGE_BYTES = 16 * 2**20
_BLOCK_BYTES = 4 * 2**20


class ImportPlan:
    """The places of a model, each with its tensors, and what stays without a counterpart.

    Args:
        checkpoint: as read.
        family: that it belongs to.
        model: the detector or backbone.
        places: of the model.
        kept: canonical name of a place that keeps its initial value -> why.
        unwanted: tensor that is left out -> why.
        more: places besides, each with its source.
    """

    def __init__(
        self,
        checkpoint: CheckpointFile,
        family: Family,
        model: keras.Model,
        places: Iterable[Place],
        kept: Mapping[str, str] | None = None,
        unwanted: Mapping[str, str] | None = None,
        more: Iterable[tuple[Place, Source]] = (),
    ):
        self.checkpoint = checkpoint
        self.family = family
        self.missing = dict(kept or {})
        self.unused = dict(unwanted or {})
        self._sources: dict[str, tuple[Place, Source]] = {}
        self._absent: list[str] = []
        self._misfits: list[str] = []
        self._unexplained: list[str] = []
        self._shared: set[str] = set()
        claimed: set[str] = set()
        own = ((place, family.source(place, model, checkpoint)) for place in places)
        for place, source in itertools.chain(own, more):
            claimed.update(source.names)
            self._shared.update(source.shared)
            self._add(place, source)
        self._account_for_others(claimed)

    def carry_out(
        self,
        settings: Mapping[str, Any],
        allow_partial: bool = False,
        assumed: Mapping[str, Any] | None = None,
    ) -> ImportReport:
        """Assigns the values, one at a time.

        Args:
            settings: for the report.
            allow_partial: whether to load what fits where tensors and variables differ, and one tensor into
                several variables.
            assumed: for the report, see there.

        Raises:
            ValueError: they differ, or nothing fits at all; no variable has changed then.
        """
        loaded = {name: source.names for name, (_, source) in self._sources.items()}
        problems = self._problems(loaded)
        if problems and not (allow_partial and self._sources):
            raise ValueError(
                f"checkpoint {self.checkpoint.path} ({self.family.name}) does not fit the model: "
                f"{'; '.join(problems)}"
            )
        self._warn_of_values()
        for place, source in self._sources.values():
            _assign(place, self._value(source))
        return ImportReport(
            source=self.family.name,
            path=str(self.checkpoint.path),
            loaded=loaded,
            unused=self.unused,
            missing=self.missing,
            settings=dict(settings),
            assumed=dict(assumed or {}),
        )

    def _warn_of_values(self) -> None:
        names = {name for _, source in self._sources.values() for name in source.names}
        wrong = [name for name in sorted(names) if not np.isfinite(self.checkpoint.arrays[name]).all()]
        if wrong:
            logging.warning(
                "checkpoint %s: %d tensors hold values that are not finite: %s",
                self.checkpoint.path,
                len(wrong),
                listed(wrong),
            )

    def _add(self, place: Place, source: Source) -> None:
        absent = [name for name in source.names if name not in self.checkpoint.arrays]
        if place.name in self.missing:
            reason = self.missing[place.name]
        elif absent:
            reason = "not in the checkpoint"
            self._absent.append(f"{place.name} (from {listed(absent)})")
        elif misfit := self._misfit(place, source):
            reason = "of another shape in the checkpoint"
            self._misfits.append(misfit)
        else:
            self._sources[place.name] = (place, source)
            return
        self.missing[place.name] = reason
        present = (name for name in source.names if name in self.checkpoint.arrays)
        self.unused.update(dict.fromkeys(present, f"its variables are left out ({reason})"))

    def _misfit(self, place: Place, source: Source) -> str:
        """What is wrong with the tensors of a place; empty if nothing."""
        tensors = {name: self.checkpoint.arrays[name] for name in source.names}
        given = ", ".join(f"{name} {array.shape}" for name, array in tensors.items())
        wrong = [str(array.dtype) for array in tensors.values() if array.dtype.kind != "f"]
        if wrong:
            return f"{given} of type {wrong[0]} for {place.name}"
        try:
            shape = _merged(self._value(source).shape, len(place.shape))
        # What conversions raise on arrays of fewer axes.
        except (ValueError, LookupError, TypeError) as error:
            return f"{given} for {place.name} {place.shape} ({error})"
        return "" if shape == place.shape else f"{given} gives {shape} for {place.name} {place.shape}"

    def _value(self, source: Source) -> np.ndarray:
        return source.convert(*(self.checkpoint.arrays[name] for name in source.names))

    def _account_for_others(self, claimed: set[str]) -> None:
        for name in sorted(set(self.checkpoint.arrays) - claimed - self.unused.keys()):
            reason = self.family.ignored(name)
            if reason is None:
                self._unexplained.append(name)
            self.unused[name] = reason or "has no place in the model"

    def _problems(self, loaded: Mapping[str, tuple[str, ...]]) -> list[str]:
        copies = [
            f"{tensor} (for {listed(names)})"
            for tensor, names in loaded_twice(loaded).items()
            if tensor not in self._shared
        ]
        groups = (
            ("variables without a tensor", self._absent),
            ("tensors without a variable", self._unexplained),
            ("tensors that do not fit", self._misfits),
            ("tensors wanted by several variables", copies),
        )
        return [f"{len(names)} {what}: {listed(names)}" for what, names in groups if names]


def _merged(shape: tuple[int, ...], num_axes: int) -> tuple[int, ...]:
    """The shape with so many leading axes merged that ``num_axes`` are left."""
    if len(shape) <= num_axes:
        return shape
    first = len(shape) - num_axes + 1
    return (math.prod(shape[:first]), *shape[first:])


def _assign(place: Place, value: np.ndarray) -> None:
    if value.nbytes < _LARGE_BYTES:
        place.variable.assign(np.ascontiguousarray(value, np.float32).reshape(place.shape))
    else:
        place.variable.assign(_from_blocks(value, place.shape))


def _from_blocks(value: np.ndarray, shape: tuple[int, ...]) -> tf.Tensor:
    """The array as a tensor of the shape, copied block by block into its place.

    Assigning blocks to the variable itself would make every later reading of it a copy.
    """
    rows = shape[0] // len(value)
    step = max(1, _BLOCK_BYTES * len(value) // value.nbytes)
    with tf.device("CPU:0"):
        tensor = tf.raw_ops.Empty(shape=shape, dtype=tf.float32)
        for start in range(0, len(value), step):
            block = np.ascontiguousarray(value[start : start + step], np.float32).reshape(-1, *shape[1:])
            numbers = tf.range(start * rows, start * rows + len(block))
            tensor = tf.raw_ops.InplaceUpdate(x=tensor, i=numbers, v=block)
    return tensor
