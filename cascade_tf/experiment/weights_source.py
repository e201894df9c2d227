"""What ``--weights`` takes: a name of the catalogue, another framework's checkpoint, or a detector of ours.

Those of ours are the folder of a training run, its weights, a ``.keras`` file, and a converted file.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from absl import logging

from cascade_tf.experiment import config, keras_file
from cascade_tf.experiment.keras_file import is_keras_file
from cascade_tf.experiment.weights_file import (
    WEIGHTS_FILES,
    find_run_weights,
    is_weights_file,
    load_into,
    read_description,
)
from cascade_tf.models import TwoStageDetector, cascade_mask_rcnn_fpn
from cascade_tf.parts import Part
from cascade_tf.weights.import_report import listed
from cascade_tf.weights.importing import (
    Imported,
    base_recipe,
    describe_checkpoint,
    import_checkpoint,
    import_weights,
    numbered_classes,
)
from cascade_tf.weights.places import places
from cascade_tf.weights.zoo import catalog
from cascade_tf.weights.zoo.pretrained import checkpoint_path
from cascade_tf.wording import count_of


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
    def is_ours(self) -> bool:
        """Whether the file is one of ``scripts/convert_weights.py``, of a training run or of ``save``."""
        return is_weights_file(self.path) or is_keras_file(self.path)


def find_weights(source: str | os.PathLike[str]) -> WeightsSource:
    """Finds weights by file or name; those of the catalogue are downloaded at the first use.

    Args:
        source: a file, the folder of a training run (its best weights are taken, else its last), or the name
            of a detector in the catalogue.

    Raises:
        FileNotFoundError: there is neither a file nor a detector of that name, or the run has no weights yet.
        OSError: the download fails; the message says what to put where.
        ValueError: the name is another folder's or a backbone's, or the downloaded file is not the published
            one.
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
    if kind == "detector" and path.is_dir():
        return _weights_in(path), MappingProxyType({})
    if path.is_dir() and (path / config.EXPERIMENT_FILE).is_file():
        raise ValueError(f"{what} {name!r}: got a run's folder, expected a {kind}; see --weights")
    if path.is_dir():
        raise ValueError(f"{what} {name!r}: got a folder, expected a file or a {kind} of the catalogue")
    names = catalog.resembling(name, kind)
    hint = f"; did you mean {' or '.join(names)}?" if names else ""
    raise FileNotFoundError(f"{what} {name!r}: got no such file or {kind} of the catalogue{hint}")


def _weights_in(folder: Path) -> Path:
    """The weights of a run."""
    if (folder / config.EXPERIMENT_FILE).is_file():
        weights = find_run_weights(folder)
        if weights is None:
            raise FileNotFoundError(
                f"weights {str(folder)!r}: got a run without weights, expected {' or '.join(WEIGHTS_FILES)}: "
                "they appear with its first evaluation and at its end"
            )
        return weights
    if any(folder.glob("saved_model.pb")) or any(folder.glob("*/saved_model.pb")):
        raise ValueError(
            f"weights {str(folder)!r}: got a SavedModel, which cannot be changed any more, expected the run "
            "that it was exported from; predict.py takes it as --model"
        )
    raise ValueError(
        f"weights {str(folder)!r}: got a folder without {config.EXPERIMENT_FILE}, expected the folder of a "
        "training run, a file or a detector of the catalogue"
    )


def adjustable_model(name: str | os.PathLike[str], framework: str = "auto") -> Part:
    """The model whose settings can be changed as weights are loaded.

    Args:
        name: see `find_weights`. Nothing is downloaded: the catalogue's detectors all have standard pyramids,
            and a mistake is better found before a download than after it.
        framework: of the file, where it is not one of ours; ``"auto"`` goes by its names.

    Raises:
        ValueError: the file cannot be read or understood.
    """
    if not Path(name).exists():
        return cascade_mask_rcnn_fpn
    source = find_weights(name)
    return _ours(source, _saved(source)).model if source.is_ours else base_recipe(source.path, framework)


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
    if source.is_ours:
        return _changed(_ours(source, _saved(source)), changes)
    described = describe_checkpoint(source.path, **{**source.settings, **changes})
    return _experiment(source, described.recipe, described.class_names, described.category_ids)


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
    if source.is_ours:
        saved = _saved(source)
        experiment = _changed(_ours(source, saved), changes)
        detector = config.build_detector(experiment)
        if saved is not None:
            _copy_all(saved, detector, source)
        else:
            load_into(detector, source.path, f"experiment {experiment.name!r}")
        return detector, experiment
    imported = import_checkpoint(source.path, **{**source.settings, **changes})
    logging.info("%s", imported.report.to_text())
    return imported.detector, experiment_of(source, imported)


def experiment_of(source: WeightsSource, imported: Imported) -> config.Experiment:
    """The resolved experiment that builds an imported detector."""
    detector = imported.detector
    return _experiment(source, imported.recipe, detector.class_names, detector.category_ids)


def start_from(detector: TwoStageDetector, source: WeightsSource, allow_partial: bool = False) -> str:
    """Loads the weights into a detector that will be trained further.

    Where the classes differ, the layers that depend on them keep their initial values. A zoo's checkpoint
    does not say what its classes are called: there, and where names are mere numbers, another number of
    classes makes the difference.

    Args:
        detector: of the weights' architecture.
        source: the weights.
        allow_partial: whether to load what fits where the two differ otherwise.

    Returns:
        What was loaded and what was not, in lines.

    Raises:
        ValueError: the file cannot be read, or does not fit.
    """
    if not source.is_ours:
        report = import_weights(detector, source.path, allow_partial=allow_partial, **source.settings)
        return report.to_text()
    old, _ = load_weights(source)
    return _copy(old, detector, source, allow_partial)


def _copy_all(old: TwoStageDetector, new: TwoStageDetector, source: WeightsSource) -> None:
    """Copies the weights between two detectors of one recipe."""
    shapes, wanted = ([tuple(v.shape) for v in detector.weights] for detector in (old, new))
    if shapes != wanted:
        raise ValueError(f"weights {source.path}: do not fit the detector that the changed settings make")
    new.set_weights(old.get_weights())


def _other_classes(old: TwoStageDetector, new: TwoStageDetector) -> bool:
    known = old.class_names != numbered_classes(old.num_classes)
    return old.num_classes != new.num_classes or (known and old.class_names != new.class_names)


def _copy(old: TwoStageDetector, new: TwoStageDetector, source: WeightsSource, allow_partial: bool) -> str:
    theirs, ours = places(old), places(new)
    other = _other_classes(old, new)
    afresh = {name for name, place in ours.items() if place.class_dependent and other}
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
    names = ", ".join(detector.class_names[:3]) + (", ..." if detector.num_classes > 3 else "")
    classes = count_of(detector.num_classes, "class", "classes")
    return f"{classes} ({names}){'' if detector.has_masks else ' without masks'}"


def _saved(source: WeightsSource) -> TwoStageDetector | None:
    """The detector in a ``.keras`` file."""
    return keras_file.load_keras_file(source.path) if is_keras_file(source.path) else None


def _changed(experiment: config.Experiment, changes: Mapping[str, Any]) -> config.Experiment:
    return dataclasses.replace(experiment, model=experiment.model.replace(changes))


def _ours(source: WeightsSource, saved: TwoStageDetector | None) -> config.Experiment:
    if saved is not None:
        return keras_file.experiment_of(saved, source.path)
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
    source: WeightsSource, recipe: Part, names: tuple[str, ...], ids: tuple[int, ...]
) -> config.Experiment:
    return config.Experiment(name=source.name, model=recipe, class_names=names, category_ids=ids)
