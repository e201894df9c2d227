r"""Trains several configurations with several seeds and compares them.

A study is a file with study() (--study, a name in configs/studies or a path), or a list of configurations of
which the first is the baseline (--configs). Its runs lie below --workdir. What is trained is not trained
again, and what was interrupted goes on. After each run study.html, study.json and study.csv there have what
is known so far: means over the seeds with 95 % intervals, differences from the baseline paired by seed, the
paper's numbers beside them, and the claims that the study decides.

    python scripts/study.py --configs custom/faster,custom/cascade --dataset_dir MY_DATA \
        --workdir studies/mine --seeds 0,1,2 --set train.steps=2000
    python scripts/study.py --study paper --dataset_dir DRAWN --workdir studies/paper --jobs 2
    python scripts/study.py --study paper --dataset_dir DRAWN --workdir studies/paper --print_commands

With --print_commands nothing is trained: the runs that are left come out as commands, one a line, for GNU
parallel, a job array or any other machine that sees the folder. A later call of the same study collects what
has finished.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import program
from absl import logging

if TYPE_CHECKING:
    from cascade_tf.study import Run, Study, StudyResult

OPTIONS = program.Flags(workdir="studies/study")
OPTIONS.string("study", None, "A file with study(), or a name in configs/studies.", "STUDY")
OPTIONS.string("configs", None, "Configurations with commas between them; the first is the baseline.", "LIST")
OPTIONS.string("seeds", None, "Seeds with commas between them. Default: the study's own.", "LIST")
OPTIONS.string("backbone_weights", None, "As of train.py, for all runs.", "FILE")
OPTIONS.integer("jobs", 1, "Runs at the same time, which share the processor's cores.", lower=1)
OPTIONS.boolean("print_commands", False, "Prints the commands of the runs that are left, and trains nothing.")

TRAIN = Path(__file__).resolve().with_name("train.py")
# Between two looks at the logs of the runs.
SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(run_study, OPTIONS, __doc__, argv)


def run_study(arguments: Sequence[str]) -> int:
    """Trains what is left of the study, and writes its results."""
    from cascade_tf.study import runs

    study = chosen_study()
    folder = program.writable_folder(Path(OPTIONS.need("workdir")), "workdir")
    dataset = OPTIONS.need("dataset_dir")
    left = [run for run in runs(study) if not _state(run, folder).measured]
    if OPTIONS.values.print_commands:
        for run in left:
            print(shlex.join(command(run, folder, dataset)))
        return 0
    failed: dict[Run, str] = {}
    # The runs get to write their checkpoints.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        train_all(study, left, folder, dataset, failed)
    finally:
        result = write_results(study, folder, failed)
    print(_table(result))
    print(f"\nThe study lies in {folder / 'study.html'}.")
    for run, reason in failed.items():
        program.warn(f"{run.workdir(folder)}: {reason}")
    return 1 if failed else 0


def chosen_study() -> Study:
    """The study of the flags.

    Raises:
        ValueError: no study is named, or two are; or a seed is no whole number.
        FileNotFoundError: there is no such study.
    """
    from cascade_tf.study import load_study, study_of_configs

    named, configs = OPTIONS.values.study, OPTIONS.values.configs
    if bool(named) == bool(configs):
        raise ValueError("got both --study and --configs" if named else "got no --study and no --configs")
    study = load_study(named) if named else study_of_configs(configs.split(","))
    changes = (*study.changes, *OPTIONS.overrides)
    if not OPTIONS.values.seeds:
        return dataclasses.replace(study, changes=changes)
    try:
        seeds = tuple(int(text) for text in OPTIONS.values.seeds.split(","))
    except ValueError:
        raise ValueError(
            f"seeds: got {OPTIONS.values.seeds!r}, expected whole numbers, such as 0,1,2"
        ) from None
    return dataclasses.replace(study, seeds=seeds, changes=changes)


def command(run: Run, folder: Path, dataset: str) -> list[str]:
    """The command that trains a run, from any folder."""
    words = [sys.executable, str(TRAIN), f"--config={run.config}", f"--dataset_dir={Path(dataset).resolve()}"]
    words.append(f"--workdir={run.workdir(folder.resolve())}")
    if OPTIONS.values.backbone_weights:
        words.append(f"--backbone_weights={OPTIONS.values.backbone_weights}")
    return [*words, *(f"--set={text}" for text in run.settings)]


def train_all(study: Study, left: Sequence[Run], folder: Path, dataset: str, failed: dict[Run, str]) -> None:
    """Trains runs, some at the same time; what fails is noted, and the others go on.

    Args:
        study: what they are of.
        left: the runs.
        folder: of the study.
        dataset: folder of the data set.
        failed: gets the reasons of those that fail.
    """
    waiting, working = list(left), dict[subprocess.Popen, "Run"]()
    totals = {run: _state(run, folder) for run in left}
    whole = sum(state.total for state in totals.values())
    with program.progress_bar(whole, "training", "step", first="starting") as bar:
        try:
            while waiting or working:
                while waiting and len(working) < OPTIONS.values.jobs:
                    run = waiting.pop(0)
                    working[_start(run, folder, dataset)] = run
                time.sleep(SECONDS)
                for process in [process for process in working if process.poll() is not None]:
                    run = working.pop(process)
                    if process.returncode:
                        failed[run] = _reason(run, folder, process.returncode)
                        logging.error("%s seed %d failed: %s", run.name, run.seed, failed[run])
                    write_results(study, folder, failed)
                bar.reach(sum(_done(run, totals[run].total, failed, folder) for run in left))
        except KeyboardInterrupt:
            # Each writes a checkpoint before it ends.
            _stop(working)
            raise


def _done(run: Run, total: int, failed: dict[Run, str], folder: Path) -> int:
    return total if run in failed else min(_state(run, folder).done, total)


def _start(run: Run, folder: Path, dataset: str) -> subprocess.Popen:
    workdir = run.workdir(folder)
    workdir.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // OPTIONS.values.jobs))
    limits = {}
    if OPTIONS.values.jobs > 1:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        limits = dict.fromkeys(names, threads)
    with (workdir / "train.log").open("ab") as log:
        return subprocess.Popen(
            command(run, folder, dataset),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **limits},
            start_new_session=True,
        )


def _stop(working: Iterable[subprocess.Popen]) -> None:
    for process in working:
        process.send_signal(signal.SIGTERM)
    for process in working:
        process.wait()


def _reason(run: Run, folder: Path, status: int) -> str:
    log = run.workdir(folder) / "train.log"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if "error: " in line] or lines
    return errors[-1] if errors else f"ended with status {status}"


def _state(run: Run, folder: Path):
    from cascade_tf.study.progress import state_of

    return state_of(run, folder)


def write_results(study: Study, folder: Path, failed: dict[Run, str]) -> StudyResult:
    """Collects what has been measured, and writes the page and the tables.

    Args:
        study: the study.
        folder: of the study.
        failed: the reasons of runs that failed.
    """
    from cascade_tf.files import write_atomically
    from cascade_tf.study import summarize
    from cascade_tf.study.page import write_page
    from cascade_tf.study.plan import run_of
    from cascade_tf.study.progress import numbers_of
    from cascade_tf.study.text import to_csv

    measured, waiting = {}, []
    for row in study.rows:
        for seed in study.seeds:
            run = run_of(study, row, seed)
            state = _state(run, folder)
            if state.measured:
                measured[row.name, seed] = numbers_of(row, run.workdir(folder))
            else:
                why = failed.get(run, f"{state.done} of {state.total} steps")
                waiting.append(f"{row.name}, seed {seed}: {why}")
    result = summarize(study, measured)
    write_page(folder / "study.html", result, waiting=waiting)
    write_atomically(folder / "study.json", json.dumps(result.to_dict(), indent=1) + "\n")
    write_atomically(folder / "study.csv", to_csv(result))
    return result


def _table(result: StudyResult) -> str:
    from cascade_tf.study.text import to_table

    return to_table(result)


if __name__ == "__main__":
    sys.exit(main())
