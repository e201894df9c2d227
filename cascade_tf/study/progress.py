"""How far the runs of a study are, from what they leave in their folders."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from cascade_tf.experiment.config import Experiment, differences, load_config, read_experiment, with_classes
from cascade_tf.experiment.first_step import FOLDER, change_first_step, first_experiment
from cascade_tf.experiment.overrides import apply_overrides
from cascade_tf.study.plan import Run
from cascade_tf.training.run_log import read_metrics


class RunState(NamedTuple):
    """How far a run is.

    Attributes:
        done: updates so far, those of a first step included.
        total: all that there are.
        measured: whether its last evaluation is there: such a run is not run again.
        seconds: between the first and the last line of its logs.
    """

    done: int
    total: int
    measured: bool
    seconds: float


# A study that is under way asks for each of its runs every few seconds.
@functools.cache
def experiment_of(run: Run) -> Experiment:
    """The experiment that a run trains, without the classes of its data set.

    Raises:
        FileNotFoundError: there is no such configuration.
        ValueError: a change is of no setting, or has a wrong value.
    """
    of_first = [text for text in run.settings if text.strip().startswith("first_step")]
    others = [text for text in run.settings if text not in of_first]
    return change_first_step(apply_overrides(load_config(run.config), others), of_first)


def state_of(run: Run, folder: Path) -> RunState:
    """How far a run of a study is.

    Args:
        run: the run.
        folder: of the study.

    Raises:
        ValueError: its folder holds a run with other settings, or one of its files is broken.
    """
    expected, workdir = experiment_of(run), run.workdir(folder)
    first = first_experiment(expected)
    total = expected.train.steps + (first.train.steps if first else 0)
    if not (workdir / "experiment.json").is_file():
        return RunState(0, total, False, 0.0)
    _check_settings(workdir, expected)
    lines = read_metrics(workdir)
    before = read_metrics(workdir / FOLDER) if first else []
    done = max((line["step"] for line in lines), default=0)
    done_before = max((line["step"] for line in before), default=0)
    if lines and first:
        done_before = first.train.steps
    measured = any("evaluation" in line and line["step"] == expected.train.steps for line in lines)
    seconds = sum(part[-1]["time"] - part[0]["time"] for part in (before, lines) if part)
    return RunState(done + done_before, total, measured, seconds)


def _check_settings(workdir: Path, expected: Experiment) -> None:
    found = read_experiment(workdir)
    if found.class_names:
        expected = with_classes(expected, found.class_names, found.category_ids)
    # Where a run starts from is no matter of its configuration, but of the command.
    starts = ("backbone_weights", "weights")
    changed = [line for line in differences(found, expected) if line.partition(":")[0] not in starts]
    if changed:
        raise ValueError(
            f"{workdir} holds a run with other settings ({'; '.join(changed)}), expected those of the study "
            "or another --workdir"
        )
