"""A first step of training with settings of its own, as MS-CNN's branches are trained before its heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cascade_tf.experiment import overrides
from cascade_tf.parts import Part, expand

if TYPE_CHECKING:
    from cascade_tf.experiment.config import Experiment

FOLDER = "first_step"
"""Below the folder of a run, that of its first step, which is a run as well."""
VIEWS = (
    *("short_sides", "max_side", "flip", "photometric_distortion", "crop", "crop_size", "object_scales"),
    *("min_object_height", "min_object_side", "aspect_grouping", "workers"),
)
"""Settings of ``data`` that may differ in the first step; the others say which images there are."""
PREFIX = "first_step."


def first_experiment(experiment: Experiment) -> Experiment | None:
    """The experiment that is the first step of another one; None where there is no such step.

    It has the settings of the other one but for those that ``first_step`` changes, its number of updates
    among them.

    Raises:
        ValueError: ``first_step`` changes what is no setting, or to a value of another type.
    """
    if not experiment.first_step:
        return None
    try:
        return _changed(dataclasses.replace(experiment, first_step={}), experiment.first_step)
    except (ValueError, TypeError) as error:
        raise ValueError(f"first_step: {error}; first_step=none does without the step") from None


def change_first_step(experiment: Experiment, assignments: Iterable[str]) -> Experiment:
    """Returns the experiment with a first step that has further settings of its own.

    Args:
        experiment: with a first step or without one; then it gets one.
        assignments: texts ``first_step.a.b=value`` as ``apply_overrides`` takes them without the prefix, or
            ``first_step=none``, after which there is no such step.

    Raises:
        ValueError: see ``first_experiment`` and ``apply_overrides``.
    """
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        name = name.strip()
        if name == PREFIX.rstrip("."):
            if value.strip().lower() not in ("none", "null"):
                raise ValueError(
                    f"setting {name!r}: got {value!r}, expected none, or first_step.<setting>=value"
                )
            experiment = dataclasses.replace(experiment, first_step={})
            continue
        name = name.removeprefix(PREFIX)
        before = first_experiment(experiment) or experiment
        try:
            if "*" not in name:
                _check_name(name)
            after = overrides.apply_overrides(before, [assignment.strip().removeprefix(PREFIX)])
        except ValueError as error:
            raise ValueError(f"first_step: {error}") from None
        found = {one: value_of(after, one) for one in expand(name, overrides.setting_names(before))}
        experiment = dataclasses.replace(experiment, first_step={**experiment.first_step, **found})
    return experiment


def value_of(experiment: Experiment, name: str) -> Any:
    """The value of a setting by its dotted name."""
    group, _, rest = name.partition(".")
    values = getattr(experiment, group)
    return values.value(rest) if isinstance(values, Part) else getattr(values, rest)


def _changed(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    # A part that is put in comes before the settings inside it.
    for name in sorted(changes, key=lambda one: one.count(".")):
        _check_name(name)
        group, _, rest = name.partition(".")
        experiment = dataclasses.replace(
            experiment, **{group: _with(getattr(experiment, group), rest, name, changes[name])}
        )
    return experiment


def _check_name(name: str) -> None:
    group, _, rest = name.partition(".")
    if not rest or not (group in ("model", "train") or (group == "data" and rest in VIEWS)):
        views = ", ".join(f"data.{view}" for view in VIEWS)
        raise ValueError(f"got {name!r}, expected a setting of model or train, or one of {views}")


def _with(group: Any, rest: str, name: str, value: Any) -> Any:
    if isinstance(group, Part):
        return group.replace({rest: value})
    types = overrides.setting_types(group)
    if rest not in types:
        raise overrides.unknown_setting(name, [f"{name.partition('.')[0]}.{one}" for one in types])
    return dataclasses.replace(group, **{rest: overrides.convert(value, types[rest], name, spelled=False)})
