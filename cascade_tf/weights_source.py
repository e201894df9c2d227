"""What ``--weights`` takes: a name of the catalogue, another framework's checkpoint, or a converted file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from absl import logging

from cascade_tf import config
from cascade_tf.models import TwoStageDetector
from cascade_tf.weights.import_report import listed, log_other_names
from cascade_tf.weights.importing import Imported, describe_checkpoint, import_checkpoint, import_weights
from cascade_tf.weights.places import places
from cascade_tf.weights.recipe_arguments import recipe_of
from cascade_tf.weights.zoo import catalog
from cascade_tf.weights.zoo.pretrained import checkpoint_path
from cascade_tf.weights_file import is_weights_file, load_into, read_description


class WeightsSource(NamedTuple):
    """Weights that lie on this machine.

    Attributes:
        name: as the user gave it.
        path: the file.
        settings: by dotted names, what the catalogue knows and the file does not tell.
    """

    name: str
    path: Path
    settings: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_converted(self) -> bool:
        """Whether the file is one of ``scripts/convert_weights.py`` or of a training run."""
        return is_weights_file(self.path)


def find_weights(source: str | os.PathLike[str]) -> WeightsSource:
    """Finds weights by file or name; those of the catalogue are downloaded at the first use.

    Args:
        source: a file, or the name of a detector in the catalogue.

    Raises:
        FileNotFoundError: there is neither a file nor a detector of that name.
        OSError: the download fails; the message says what to put where.
        ValueError: the name is a folder's or a backbone's, or the downloaded file is not the published one.
    """
    name = str(source)
    path, settings = _find(name, "detector", "weights")
    return WeightsSource(name, path, settings)


def find_backbone_weights(source: str | os.PathLike[str]) -> Path:
    """Finds a backbone's weights by file or name; those of the catalogue are downloaded at the first use.

    Raises:
        FileNotFoundError: there is neither a file nor a backbone of that name.
        OSError: the download fails; the message says what to put where.
        ValueError: the name is a folder's or a detector's, or the downloaded file is not the published one.
    """
    return _find(str(source), "backbone", "backbone weights")[0]


def _find(name: str, kind: str, what: str) -> tuple[Path, Mapping[str, Any]]:
    """The file, and what the catalogue knows of it."""
    path = Path(name)
    if path.is_file():
        return path, MappingProxyType({})
    entry = catalog.CATALOG.get(name)
    if entry is not None and entry.kind == kind:
        return checkpoint_path(name), entry.settings
    if entry is not None:
        flag = "--backbone_weights" if entry.kind == "backbone" else "--weights"
        raise ValueError(
            f"{what} {name!r}: got a {entry.kind} of the catalogue, expected a {kind}; see {flag}"
        )
    if path.is_dir():
        raise ValueError(f"{what} {name!r}: got a folder, expected a file or a {kind} of the catalogue")
    names = catalog.resembling(name, kind)
    hint = f"; did you mean {' or '.join(names)}?" if names else ""
    raise FileNotFoundError(f"{what} {name!r}: got no such file or {kind} of the catalogue{hint}")


def describe_weights(
    source: WeightsSource, changes: Mapping[str, Any] = MappingProxyType({})
) -> config.Experiment:
    """The resolved experiment whose detector the weights belong to.

    Args:
        source: the weights.
        changes: settings by dotted names that replace the description's.

    Raises:
        ValueError: the file cannot be read or understood.
    """
    if source.is_converted:
        experiment = _converted(source)
        return dataclasses.replace(experiment, model=experiment.model.replace(changes))
    described = describe_checkpoint(source.path, **{**source.settings, **changes})
    return _experiment(source, described.settings, described.class_names, described.category_ids)


def load_weights(
    source: WeightsSource, changes: Mapping[str, Any] = MappingProxyType({})
) -> tuple[TwoStageDetector, config.Experiment]:
    """Builds the detector that the weights belong to, with the weights.

    Args:
        source: the weights.
        changes: settings by dotted names that replace the description's, such as ``score_threshold``.

    Returns:
        The detector, and the resolved experiment that describes it.

    Raises:
        ValueError: the file cannot be read, or the weights do not fit the changed network.
    """
    if source.is_converted:
        experiment = describe_weights(source, changes)
        detector = config.build_detector(experiment)
        load_into(detector, source.path, f"experiment {experiment.name!r}")
        return detector, experiment
    imported = import_checkpoint(source.path, **{**source.settings, **changes})
    logging.info("%s", imported.report.to_text())
    return imported.detector, experiment_of(source, imported)


def experiment_of(source: WeightsSource, imported: Imported) -> config.Experiment:
    """The resolved experiment that builds an imported detector."""
    detector = imported.detector
    return _experiment(source, imported.settings, detector.class_names, detector.category_ids)


def start_from(detector: TwoStageDetector, source: WeightsSource, allow_partial: bool = False) -> str:
    """Loads the weights into a detector that will be trained further.

    Where the number of classes differs, the layers that depend on it keep their initial values.

    Args:
        detector: of the weights' architecture.
        source: the weights.
        allow_partial: whether to load what fits where the two differ otherwise.

    Returns:
        What was loaded and what was not, in lines.

    Raises:
        ValueError: the file cannot be read, or does not fit.
    """
    if not source.is_converted:
        report = import_weights(detector, source.path, allow_partial=allow_partial, **source.settings)
        return report.to_text()
    old, _ = load_weights(source)
    return _copy(old, detector, source, allow_partial)


def _copy(old: TwoStageDetector, new: TwoStageDetector, source: WeightsSource, allow_partial: bool) -> str:
    theirs, ours = places(old), places(new)
    afresh = {n for n, place in ours.items() if place.class_dependent and old.num_classes != new.num_classes}
    fitting = {n for n in theirs.keys() & ours.keys() if theirs[n].shape == ours[n].shape} - afresh
    if not (old.has_masks and new.has_masks):
        # A box detector that becomes one of instances, or the reverse.
        afresh |= {name for name in ours if name.startswith("mask")}
        theirs = {name: place for name, place in theirs.items() if not name.startswith("mask")}
    strange = sorted((theirs.keys() | ours.keys()) - fitting - afresh)
    if strange and not allow_partial:
        raise ValueError(f"weights {source.name}: do not fit the detector in {listed(strange)}")
    for name in fitting:
        ours[name].variable.assign(theirs[name].variable)
    if old.num_classes == new.num_classes and old.class_names != new.class_names:
        log_other_names(source.name, old.class_names, new.class_names)
    lines = [f"{source.name}: loaded {len(fitting)} variables"]
    if afresh:
        lines.append(
            f"  {len(afresh)} variables left at their initial values (the weights have {_described(old)}, "
            f"the detector {_described(new)}): {listed(sorted(afresh))}"
        )
    if strange:
        lines.append(f"  {len(strange)} variables differ otherwise: {listed(strange)}")
    return "\n".join(lines)


def _described(detector: TwoStageDetector) -> str:
    return f"{detector.num_classes} classes{'' if detector.has_masks else ' without masks'}"


def _converted(source: WeightsSource) -> config.Experiment:
    experiment = read_description(source.path)
    folder = source.path.parent
    if experiment is None and (folder / config.EXPERIMENT_FILE).is_file():
        # The weights of a training run lie beside its experiment.
        experiment = config.read_experiment(folder)
    if experiment is None:
        raise ValueError(
            f"weights {source.path}: got a file without a description of its detector, expected one of "
            f"scripts/convert_weights.py, or one of a training run beside its {config.EXPERIMENT_FILE}"
        )
    return experiment


def _experiment(
    source: WeightsSource, settings: Mapping[str, Any], names: tuple[str, ...], ids: tuple[int, ...]
) -> config.Experiment:
    return config.Experiment(name=source.name, model=recipe_of(settings), class_names=names, category_ids=ids)
