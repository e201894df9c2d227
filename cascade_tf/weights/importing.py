"""From a checkpoint of another framework to a detector that is set up as the checkpoint needs it."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from cascade_tf.models import TwoStageDetector, cascade_rcnn_fpn
from cascade_tf.weights.checkpoint_file import CheckpointFile, read_checkpoint
from cascade_tf.weights.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from cascade_tf.weights.families import BACKBONE_FAMILIES, DETECTOR_FAMILIES, find_family
from cascade_tf.weights.family import Family, Source
from cascade_tf.weights.import_report import ImportReport, listed
from cascade_tf.weights.places import Place, backbone_places, places


class Imported(NamedTuple):
    """A detector from a checkpoint.

    Attributes:
        detector: with the checkpoint's weights.
        settings: the arguments of ``cascade_rcnn_fpn`` that made it.
        report: what became of every tensor and every variable.
    """

    detector: TwoStageDetector
    settings: dict[str, Any]
    report: ImportReport


def import_checkpoint(
    path: str | os.PathLike[str],
    source: str = "auto",
    *,
    class_names: Sequence[str] | None = None,
    category_ids: Sequence[int] | None = None,
    allow_partial: bool = False,
    **overrides: Any,
) -> Imported:
    """Builds the detector that a checkpoint of another framework holds, and loads its weights.

    The architecture is read off the tensors' names and shapes, and the conventions (colour order, mean and
    std, decoding, ensemble, training rules) are the family's.

    Args:
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        class_names: names of the classes; None takes the checkpoint's, else COCO's where it has 80. With
            another number of classes than the checkpoint's the layers that depend on it keep their initial
            values: the start of fine-tuning.
        category_ids: the data set's ids of the classes; None numbers them 1..K, and for COCO's names takes
            COCO's.
        allow_partial: whether to load what fits where the checkpoint and the detector differ, instead of
            failing.
        **overrides: arguments of ``cascade_rcnn_fpn`` that replace what the family says.

    Raises:
        FileNotFoundError: no such file.
        TypeError: an override that is no argument of ``cascade_rcnn_fpn``.
        ValueError: the file cannot be read, its family is unknown, or tensors and variables do not match;
            the message lists both sides. No variable has changed then.
    """
    _check_overrides(overrides)
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint, source, DETECTOR_FAMILIES)
    num_classes = family.num_classes(checkpoint)
    names = _class_names(family, checkpoint, num_classes) if class_names is None else tuple(class_names)
    if category_ids is None and names == COCO_CLASSES:
        category_ids = COCO_CATEGORY_IDS
    settings = family.settings(checkpoint) | overrides
    detector = cascade_rcnn_fpn(names, category_ids, **settings)
    kept = {}
    if len(names) != num_classes:
        reason = f"the checkpoint has {num_classes} classes, the detector {len(names)}"
        kept = {place.name: reason for place in places(detector).values() if place.class_dependent}
    plan = _Plan(checkpoint, family, detector, places(detector).values(), kept)
    return Imported(detector, settings, plan.carry_out(settings, allow_partial))


def load_backbone(
    backbone: keras.Model,
    path: str | os.PathLike[str],
    source: str = "auto",
    *,
    allow_partial: bool = False,
) -> ImportReport:
    """Loads weights trained on ImageNet into a backbone.

    Args:
        backbone: a ``ResNet``, alone or in a detector.
        path: the checkpoint.
        source: name of its family, or ``"auto"``.
        allow_partial: whether to load what fits where checkpoint and backbone differ, instead of failing.

    Returns:
        The report. Its ``settings`` say which pixels the weights expect: the detector's ``pixel_order``,
        ``pixel_mean`` and ``pixel_std`` should be these.

    Raises:
        FileNotFoundError: no such file.
        TypeError: the backbone is no ``ResNet``.
        ValueError: the file cannot be read, its family is unknown, the weights expect the stride in another
            convolution, or tensors and variables do not match. No variable has changed then.
    """
    found = backbone_places(backbone)
    checkpoint = read_checkpoint(path)
    family = find_family(checkpoint, source, BACKBONE_FAMILIES)
    settings = family.settings(checkpoint)
    wanted = settings.get("stride_in_1x1", backbone.stride_in_1x1)
    if wanted != backbone.stride_in_1x1 and not allow_partial:
        raise ValueError(
            f"checkpoint {checkpoint.path} ({family.name}): got a backbone with stride_in_1x1="
            f"{backbone.stride_in_1x1}, expected {wanted}, with which these weights were trained"
        )
    return _Plan(checkpoint, family, backbone, found.values(), {}).carry_out(settings, allow_partial)


def _check_overrides(overrides: dict[str, Any]) -> None:
    known = set(inspect.signature(cascade_rcnn_fpn).parameters)
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(
                f"import: got the unknown setting {name!r}, expected one of cascade_rcnn_fpn{hint}"
            )


def _class_names(family: Family, checkpoint: CheckpointFile, num_classes: int) -> tuple[str, ...]:
    names = family.class_names(checkpoint)
    if names is not None and len(names) == num_classes:
        return tuple(names)
    if num_classes == len(COCO_CLASSES):
        return COCO_CLASSES
    return tuple(f"class {number}" for number in range(1, num_classes + 1))


class _Plan:
    """Which tensor goes where; made and checked before the first variable changes."""

    def __init__(
        self,
        checkpoint: CheckpointFile,
        family: Family,
        model: keras.Model,
        found: Iterable[Place],
        kept: dict[str, str],
    ):
        self.checkpoint = checkpoint
        self.family = family
        self.sources: dict[str, tuple[Place, Source]] = {}
        self.missing = dict(kept)
        self.unused: dict[str, str] = {}
        self.absent: list[str] = []
        self.misshapen: list[str] = []
        used: set[str] = set()
        for place in found:
            source = family.source(place, model, checkpoint)
            used.update(source.names)
            self._add(place, source)
        self.unexplained = self._account_for(set(checkpoint.arrays) - used)

    def _add(self, place: Place, source: Source) -> None:
        present = [name for name in source.names if name in self.checkpoint.arrays]
        if place.name in self.missing:
            self.unused.update(dict.fromkeys(present, self.missing[place.name]))
            return
        lacking = [name for name in source.names if name not in self.checkpoint.arrays]
        problem = "" if lacking else self._misfit(place, source)
        if lacking:
            self.absent.append(f"{place.name} (from {listed(lacking)})")
            self.missing[place.name] = "not in the checkpoint"
        elif problem:
            self.misshapen.append(problem)
            self.missing[place.name] = "of another shape in the checkpoint"
        else:
            self.sources[place.name] = (place, source)
            return
        self.unused.update(dict.fromkeys(present, f"does not fit {place.name}"))

    def _misfit(self, place: Place, source: Source) -> str:
        given = ", ".join(f"{name} {self.checkpoint.arrays[name].shape}" for name in source.names)
        try:
            shape = self._value(source).shape
        except ValueError as error:
            return f"{given} for {place.name} {place.shape}: {error}"
        return "" if shape == place.shape else f"{given} gives {shape} for {place.name} {place.shape}"

    def _value(self, source: Source) -> np.ndarray:
        return source.convert(*(self.checkpoint.arrays[name] for name in source.names))

    def _account_for(self, names: set[str]) -> list[str]:
        unexplained = []
        for name in sorted(names):
            reason = self.family.ignored(name)
            if reason is None:
                unexplained.append(name)
            self.unused[name] = reason or "has no place in the model"
        return unexplained

    def carry_out(self, settings: dict[str, Any], allow_partial: bool) -> ImportReport:
        """Assigns one array at a time; fails before the first where that is not allowed."""
        problems = self._problems()
        if problems and not (allow_partial and self.sources):
            raise ValueError(
                f"checkpoint {self.checkpoint.path} ({self.family.name}) does not fit the model: "
                f"{'; '.join(problems)}"
            )
        for place, source in self.sources.values():
            place.variable.assign(np.ascontiguousarray(self._value(source), np.float32))
        loaded = {name: source.names for name, (_, source) in self.sources.items()}
        path = str(self.checkpoint.path)
        return ImportReport(self.family.name, path, loaded, self.unused, self.missing, settings)

    def _problems(self) -> list[str]:
        groups = (
            ("variables have no tensor", self.absent),
            ("tensors have no variable", self.unexplained),
            ("differ in shape", self.misshapen),
        )
        return [f"{len(names)} {what}: {listed(names)}" for what, names in groups if names]
