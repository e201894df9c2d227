"""An experiment: everything that decides what is trained and how, in one frozen value.

A file of ``configs/`` defines ``experiment()``. The resolved experiment, with the classes of its data set,
lies as ``experiment.json`` in the folder of the run, so that whoever reads the run needs no other setting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_tf import __version__
from cascade_tf.data.settings import DataConfig
from cascade_tf.experiment import first_step, overrides
from cascade_tf.experiment.evaluation_settings import EvaluationConfig
from cascade_tf.files import shared_folder, write_atomically
from cascade_tf.parts import Part, constructor_name, find_part, may_be_absent, takes_part, unknown_setting
from cascade_tf.training.settings import TrainConfig
from cascade_tf.wording import count_of

EXPERIMENT_FILE = "experiment.json"
# The key of experiment.json that names a part's constructor.
_PART = "part"
# Settings that may change when a run goes on: up to the step where it stopped, its weights are the same.
HARMLESS = {
    "name",
    "data.dataset_dir",
    "data.proposals",
    "data.val_proposals",
    "data.workers",
    "data.service",
    "data.skip_broken",
    "data.check_images",
    "train.steps",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.evaluate_every",
    "train.log_every",
    "train.picture_every",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, completely described.

    Attributes:
        name: what the run is called.
        model: a detector of `cascade_tf.models` as a part; the classes are missing until they are resolved.
        data: how the images are read.
        train: how the weights are learnt.
        evaluation: how the result is measured.
        backbone_weights: file or catalogue name of the backbone's weights at the start; None: random.
        weights: file or catalogue name of a detector's weights at the start; None: random.
        first_step: settings by their dotted names that are others in a first step of training, such as
            ``{"train.steps": 10_000, "model.learns": "proposals"}``. Its weights are those that the run
            itself begins with, with fresh momentum and its own schedule. Empty: there is no such step.
        class_names: K names of the data set's classes, resolved.
        category_ids: K ids of the same classes in the data set's files, resolved.
    """

    name: str
    model: Part
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    backbone_weights: str | None = None
    weights: str | None = None
    first_step: Mapping[str, Any] = dataclasses.field(default_factory=dict, metadata={"resolved": True})
    class_names: tuple[str, ...] = dataclasses.field(default=(), metadata={"resolved": True})
    category_ids: tuple[int, ...] = dataclasses.field(default=(), metadata={"resolved": True})

    def __post_init__(self) -> None:
        if not isinstance(self.model, Part):
            raise TypeError(
                f"model: got {self.model!r}, expected a part, such as a recipe of cascade_tf.models"
            )
        if len(self.class_names) != len(self.category_ids):
            got = f"{len(self.class_names)} class names and {len(self.category_ids)} category ids"
            raise ValueError(f"experiment {self.name!r}: got {got}, expected as many of each")
        first_step.first_experiment(self)


def with_classes(experiment: Experiment, names: Sequence[str], category_ids: Sequence[int]) -> Experiment:
    """Returns the experiment resolved to the classes of a data set.

    Raises:
        ValueError: the experiment is resolved already, to other classes.
    """
    new = tuple(names), tuple(int(i) for i in category_ids)
    old = experiment.class_names, experiment.category_ids
    if experiment.class_names and new != old:
        raise ValueError(
            f"the data set has {_describe_classes(*new)}, "
            f"expected those of the experiment: {_describe_classes(*old)}"
        )
    return dataclasses.replace(experiment, class_names=new[0], category_ids=new[1])


def build_detector(experiment: Experiment) -> Any:
    """Returns the experiment's detector with fresh variables.

    Raises:
        ValueError: the experiment has no classes yet, or the recipe refuses a setting.
    """
    if not experiment.class_names:
        raise ValueError(
            f"experiment {experiment.name!r} has no classes: resolve it with those of a data set"
        )
    return experiment.model(experiment.class_names, experiment.category_ids)


def load_config(path: str | os.PathLike) -> Experiment:
    """Returns the experiment that a configuration file defines.

    Args:
        path: a file, or a name inside ``configs/`` such as ``coco/cascade_rcnn_r50_fpn_1x``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not run, or its ``experiment()`` returns something else.
    """
    file = _find_config(path)
    try:
        function = runpy.run_path(str(file)).get("experiment")
        result = function() if callable(function) else None
    except Exception as error:
        raise ValueError(f"configuration {file}: {type(error).__name__}: {error}") from error
    if not isinstance(result, Experiment):
        got = "nothing of that name" if function is None else type(result).__name__
        raise ValueError(
            f"configuration {file}: got {got}, expected a function experiment() that returns Experiment"
        )
    return result


def settings(experiment: Experiment) -> dict[str, Any]:
    """Returns every resolved setting under its dotted name, defaults included.

    A part is there as its constructor's name, ``model.backbone`` for example, or None.
    """
    flat: dict[str, Any] = {"name": experiment.name, "model": constructor_name(experiment.model)}
    for name, value in experiment.model.walk("model."):
        flat[name] = constructor_name(value) if isinstance(value, Part) else value
    for group in ("data", "train", "evaluation"):
        values = vars(getattr(experiment, group))
        flat |= {f"{group}.{name}": value for name, value in values.items()}
    for name in ("backbone_weights", "weights", "class_names", "category_ids"):
        flat[name] = getattr(experiment, name)
    for name, value in experiment.first_step.items():
        path = first_step.PREFIX + name
        inside = value.walk(f"{path}.") if isinstance(value, Part) else ()
        for one, inner in ((path, value), *inside):
            flat[one] = constructor_name(inner) if isinstance(inner, Part) else inner
    return flat


def differences(old: Experiment, new: Experiment) -> list[str]:
    """Returns a line for each setting of two experiments that makes them learn different weights."""
    before, after = settings(old), settings(new)
    changed = [
        name for name in before | after if not _is_harmless(name) and before.get(name) != after.get(name)
    ]
    return [f"{name}: {before.get(name)!r}, now {after.get(name)!r}" for name in changed]


def _is_harmless(name: str) -> bool:
    inside = name.removeprefix(first_step.PREFIX)
    # The second step begins with the weights after the last update of the first.
    length = name == f"{first_step.PREFIX}train.steps"
    return inside.startswith("evaluation.") or (inside in HARMLESS and not length)


def to_json(experiment: Experiment) -> str:
    """Returns the resolved experiment as JSON text; `from_json` is its inverse up to explicit defaults.

    Raises:
        ValueError: the recipe or one of its settings cannot be written.
    """
    content: dict[str, Any] = {"version": __version__, "name": experiment.name}
    content["model"] = _part_as_json(experiment.model, "model")
    for group in ("data", "train", "evaluation"):
        values = vars(getattr(experiment, group))
        content[group] = {name: _plain(value, f"{group}.{name}") for name, value in values.items()}
    for name in ("backbone_weights", "weights", "class_names", "category_ids"):
        content[name] = _plain(getattr(experiment, name), name)
    content["first_step"] = {
        name: _part_as_json(value, name) if isinstance(value, Part) else _plain(value, name)
        for name, value in experiment.first_step.items()
    }
    return json.dumps(content, indent=2) + "\n"


def from_json(text: str) -> Experiment:
    """Returns the experiment that `to_json` wrote.

    Raises:
        ValueError: the text is no JSON, lacks a part, or has a setting that this version does not know.
    """
    content = _parse_object(text)
    content.pop("version", None)
    groups: dict[str, Any] = {"model": _part_from_json(_take(content, "model", dict), "model")}
    for group, config in (("data", DataConfig), ("train", TrainConfig), ("evaluation", EvaluationConfig)):
        groups[group] = config(**_typed(config(), _take(content, group, dict), f"{group}."))
    names = overrides.convert(_take(content, "class_names", list), tuple[str, ...], "class_names")
    ids = overrides.convert(_take(content, "category_ids", list), tuple[int, ...], "category_ids")
    # Files of older versions have none.
    changes = _take({"first_step": {}} | content, "first_step", dict)
    content.pop("first_step", None)
    blank = Experiment(name="", **groups, class_names=names, category_ids=ids)
    blank = dataclasses.replace(blank, first_step=_typed_changes(blank, changes))
    return dataclasses.replace(blank, **_typed(blank, content, ""))


def write_experiment(experiment: Experiment, workdir: str | os.PathLike) -> Path:
    """Writes ``experiment.json`` into the folder of a run, all of it or nothing, and returns its path."""
    return write_atomically(Path(workdir) / EXPERIMENT_FILE, to_json(experiment))


def read_experiment(workdir: str | os.PathLike) -> Experiment:
    """Returns the experiment of a run.

    Raises:
        FileNotFoundError: the folder holds no ``experiment.json``.
        ValueError: the file is broken.
    """
    file = Path(workdir) / EXPERIMENT_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"workdir {workdir}: got no {EXPERIMENT_FILE}, expected the folder of a training run"
        )
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from error


def _part_as_json(part: Part, path: str) -> dict[str, Any]:
    content: dict[str, Any] = {_PART: constructor_name(part)}
    for name, value in part.settings.items():
        inside = f"{path}.{name}"
        content[name] = _part_as_json(value, inside) if isinstance(value, Part) else _plain(value, inside)
    return content


def _part_from_json(content: dict[str, Any], path: str) -> Part:
    values = dict(content)
    if "recipe" in values and _PART not in values:
        raise ValueError(
            f"{path}: got the recipe {values['recipe']!r} with a flat list of settings, as older versions "
            "wrote it; expected a tree of parts: train again, or use the version that wrote it"
        )
    try:
        part = find_part(_take(values, _PART, str))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    inside: dict[str, Part | None] = {}
    for name in [name for name in values if takes_part(part.types.get(name))]:
        value, hint = values.pop(name), part.types[name]
        if not isinstance(value, dict) and not (value is None and may_be_absent(hint)):
            raise ValueError(f"{path}.{name}: got {value!r}, expected an object with the settings of a part")
        inside[name] = None if value is None else _part_from_json(value, f"{path}.{name}")
    return part.replace({**_typed(part, values, f"{path}."), **inside})


def _typed(tree: Any, values: dict[str, Any], prefix: str) -> dict[str, Any]:
    hints = overrides.setting_types(tree)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise unknown_setting(prefix + unknown[0], [prefix + name for name in hints])
    return {
        name: overrides.convert(value, hints[name], prefix + name, spelled=False)
        for name, value in values.items()
    }


def _typed_changes(experiment: Experiment, changes: dict[str, Any]) -> dict[str, Any]:
    """Values of ``first_step`` in the types of the settings."""
    typed: dict[str, Any] = {}
    for name in sorted(changes, key=lambda one: one.count(".")):
        value, path = changes[name], f"{first_step.PREFIX}{name}"
        changed = first_step.first_experiment(dataclasses.replace(experiment, first_step=typed)) or experiment
        hint = _type_of(changed, name, path)
        if takes_part(hint):
            typed[name] = None if value is None else _part_from_json(value, path)
        else:
            typed[name] = overrides.convert(value, hint, path, spelled=False)
    return typed


def _type_of(experiment: Experiment, name: str, path: str) -> Any:
    tree: Any = experiment
    *groups, last = name.split(".")
    for group in groups:
        tree = tree.settings.get(group) if isinstance(tree, Part) else getattr(tree, group, None)
    types = overrides.setting_types(tree) if tree is not None else {}
    if last not in types:
        raise unknown_setting(
            path, [f"{first_step.PREFIX}{one}" for one in overrides.setting_names(experiment)]
        )
    return types[last]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"setting {name!r}: got {value!r}, expected a number, a text or a sequence of them")


def _parse_object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"got no valid JSON ({error}), expected an experiment") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"got a JSON {type(content).__name__}, expected an object with the parts of an experiment"
        )
    return content


def _take(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.pop(name, None)
    if not isinstance(value, kind):
        raise ValueError(f"part {name!r} of the experiment: got {value!r}, expected a JSON {kind.__name__}")
    return value


def _find_config(path: str | os.PathLike) -> Path:
    name = Path(path) if Path(path).suffix == ".py" else Path(f"{path}.py")
    folders = [Path(), Path("configs"), shared_folder("configs")]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    known = sorted(str(f.relative_to(folders[-1]).with_suffix("")) for f in folders[-1].rglob("*.py"))
    listed = f"; known names are {', '.join(known)}" if known else ""
    raise FileNotFoundError(
        f"configuration {str(path)!r}: got no such file, expected a file or a name{listed}"
    )


def _describe_classes(names: Sequence[str], ids: Sequence[int]) -> str:
    shown = ", ".join(f"{name} ({i})" for name, i in list(zip(names, ids, strict=True))[:8])
    return f"{count_of(len(names), 'class', 'classes')}: {shown}{', ...' if len(names) > 8 else ''}"
