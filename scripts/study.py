r"""Trains several configurations with several seeds and compares them.

A study is a file with study() (--study, a name in configs/studies or a path), or a list of configurations of
which the first is the baseline (--configs). Its runs lie below --workdir. What is trained is not trained
again, and what was interrupted goes on. After each run study.html, .md, .json and .csv there have what
is known so far: means over the seeds with 95 % intervals, differences from the baseline paired by seed, the
paper's numbers beside them, and the claims that the study decides.

    python scripts/study.py --configs custom/faster,custom/cascade --dataset_dir MY_DATA \
        --workdir studies/mine --seeds 0,1,2 --set train.steps=2000
    python scripts/study.py --study paper --dataset_dir DRAWN --workdir studies/paper --jobs 2
    python scripts/study.py --study paper --dataset_dir DRAWN --workdir studies/paper --print_commands

With --print_commands nothing is trained: the runs that are left come out as commands, one a line, for GNU
parallel, a job array or any other machine that sees the folder; what has finished is collected. When all
trainings have, a second call prints the measurements that are made on them.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import program
from absl import logging

if TYPE_CHECKING:
    from cascade_tf.study import Again, Row, Run, Study, StudyResult
    from cascade_tf.study.progress import RunState

OPTIONS = program.Flags(workdir="studies/study")
OPTIONS.string("study", None, "A file with study(), or a name in configs/studies.", "STUDY")
OPTIONS.string("configs", None, "Configurations with commas between them; the first is the baseline.", "LIST")
OPTIONS.string("seeds", None, "Seeds with commas between them. Default: the study's own.", "LIST")
OPTIONS.string("backbone_weights", None, "As of train.py, for all runs.", "FILE")
OPTIONS.integer("jobs", 1, "Runs at the same time, which share the processor's cores.", lower=1)
OPTIONS.boolean("print_commands", False, "Prints the commands of the runs that are left, and trains nothing.")

# In the folder of a measurement: what it is made by.
COMMAND = "command.json"
# Between two looks at the runs.
SECONDS = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(run_study, OPTIONS, __doc__, argv)


def run_study(arguments: Sequence[str]) -> int:
    """Trains what is left of the study, and writes its results."""
    study = chosen_study()
    folder = program.writable_folder(Path(OPTIONS.need("workdir")), "workdir").resolve()
    dataset = Path(OPTIONS.need("dataset_dir")).resolve()
    work = Work(study, folder, dataset)
    if OPTIONS.values.print_commands:
        work.write_results()
        # What is measured on runs comes when they are there.
        for command in (work.trainings() or work.measurements()).values():
            print(shlex.join(command.words))
        return 0
    # The runs get to write their checkpoints.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work.train()
        work.measure()
    finally:
        signal.signal(signal.SIGTERM, before)
        result = work.write_results()
    print(_table(result))
    print(f"\nThe study lies in {folder / 'study.html'}.")
    for place, reason in work.failed.items():
        program.warn(f"{place}: {reason}")
    return 1 if work.failed else 0


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
    study = load_study(named) if named else study_of_configs([name.strip() for name in configs.split(",")])
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


class Work:
    """The runs and measurements of a study, and what has come of them.

    Args:
        study: the study.
        folder: of the study, absolute.
        dataset: folder of the data set, absolute.

    Attributes:
        failed: folder of a run or measurement -> why it failed.
    """

    def __init__(self, study: Study, folder: Path, dataset: Path) -> None:
        self.study = study
        self.folder = folder
        self.dataset = dataset
        self.failed: dict[Path, str] = {}

    def trainings(self) -> dict[Run, program.Command]:
        """The runs that are not finished, with their commands."""
        from cascade_tf.study import runs

        left = [run for run in runs(self.study) if not self.state(run).measured]
        return {
            run: program.Command(self._words(run), run.workdir(self.folder) / "train.log") for run in left
        }

    def measurements(self) -> dict[Path, program.Command]:
        """The folders of what can be measured on finished runs and is not yet, with the commands."""
        found = {}
        for row in self.study.rows:
            for seed in self.study.seeds:
                if row.again is None or not all(self._finished(name, seed) for name in row.again.rows):
                    continue
                words, place = self._words_again(row, seed), self._place(row, seed)
                if not _is_there(place, words, row.again):
                    found[place] = program.Command(words, place / "log.txt")
                    _begin(place, words, row.again)
        return found

    def train(self) -> None:
        """Trains what is left; what fails is noted, and the others go on."""
        left = self.trainings()
        totals = {run: self.state(run).total for run in left}
        run_of = {command: run for run, command in left.items()}

        def done(run: Run) -> int:
            place = run.workdir(self.folder)
            return totals[run] if place in self.failed else min(self.state(run).done, totals[run])

        def ended(command: program.Command, status: int) -> None:
            self._note(run_of[command].workdir(self.folder), command, status)
            self.write_results()

        with program.progress_bar(sum(totals.values()), "training", "step", first="starting") as bar:
            program.run_commands(
                list(left.values()),
                jobs=OPTIONS.values.jobs,
                on_end=ended,
                every=SECONDS,
                meanwhile=lambda: bar.reach(sum(map(done, left))),
            )

    def measure(self) -> None:
        """Measures finished runs again; what fails is noted, and the others go on."""
        left = self.measurements()
        place_of = {command: place for place, command in left.items()}
        with program.progress_bar(len(left), "measuring", "result") as bar:

            def ended(command: program.Command, status: int) -> None:
                self._note(place_of[command], command, status)
                self.write_results()
                bar.update(1)

            program.run_commands(list(left.values()), jobs=OPTIONS.values.jobs, on_end=ended, every=SECONDS)

    def write_results(self) -> StudyResult:
        """Collects what has been measured, and writes the page and the tables."""
        from cascade_tf.files import write_atomically
        from cascade_tf.study import summarize
        from cascade_tf.study.markdown import to_markdown
        from cascade_tf.study.page import write_page
        from cascade_tf.study.text import to_csv

        measured, waiting = {}, []
        for row in self.study.rows:
            for seed in self.study.seeds:
                numbers, why = self._numbers(row, seed)
                if numbers is None:
                    waiting.append(f"{row.name}, seed {seed}: {why}")
                else:
                    measured[row.name, seed] = numbers
        result = summarize(self.study, measured)
        write_page(self.folder / "study.html", result, waiting=waiting)
        write_atomically(self.folder / "study.json", json.dumps(result.to_dict(), indent=1) + "\n")
        write_atomically(self.folder / "study.csv", to_csv(result))
        write_atomically(self.folder / "study.md", to_markdown(result))
        return result

    def state(self, run: Run) -> RunState:
        """How far a run is."""
        from cascade_tf.study.progress import state_of

        return state_of(run, self.folder)

    def _numbers(self, row: Row, seed: int) -> tuple[dict[str, float] | None, str]:
        """The numbers of a row with a seed; without them, why there are none yet."""
        from cascade_tf.study.numbers import numbers_again, numbers_of
        from cascade_tf.study.plan import run_of

        if row.again is not None:
            place = self._place(row, seed)
            if _is_there(place, self._words_again(row, seed), row.again):
                return numbers_again(row.again, place, row.stage), ""
            return None, self.failed.get(place, f"not measured on {row.again.row} yet")
        run = run_of(self.study, row, seed)
        state, place = self.state(run), run.workdir(self.folder)
        if state.measured:
            return numbers_of(row, place), ""
        return None, self.failed.get(place, f"{state.done} of {state.total} steps")

    def _words(self, run: Run) -> tuple[str, ...]:
        weights = OPTIONS.values.backbone_weights
        weights = str(Path(weights).resolve()) if weights and Path(weights).exists() else weights
        return (
            *(sys.executable, str(program.SCRIPTS / "train.py")),
            f"--config={run.config}",
            f"--dataset_dir={self.dataset}",
            f"--workdir={run.workdir(self.folder)}",
            *([f"--backbone_weights={weights}"] if weights else []),
            *(f"--set={text}" for text in run.settings),
        )

    def _words_again(self, row: Row, seed: int) -> tuple[str, ...]:
        from cascade_tf.study.numbers import PROPOSALS

        again, place = row.again, self._place(row, seed)
        assert again is not None
        workdirs = {name: self._workdir(name, seed) for name in again.rows}
        return (
            *(sys.executable, str(program.SCRIPTS / f"{again.program}.py")),
            f"--workdir={workdirs[again.row]}",
            f"--dataset_dir={self.dataset}",
            f"--output={place / PROPOSALS if again.program == 'propose' else place}",
            *again.filled(workdirs),
        )

    def _place(self, row: Row, seed: int) -> Path:
        return self.folder / "again" / row.name / f"seed{seed}"

    def _workdir(self, name: str, seed: int) -> Path:
        from cascade_tf.study.plan import run_of

        return run_of(self.study, self.study.row(name), seed).workdir(self.folder)

    def _finished(self, name: str, seed: int) -> bool:
        from cascade_tf.study.plan import run_of

        return self.state(run_of(self.study, self.study.row(name), seed)).measured

    def _note(self, place: Path, command: program.Command, status: int) -> None:
        if status:
            self.failed[place] = command.reason(status)
            logging.error("%s failed: %s", place, self.failed[place])


def _is_there(place: Path, words: tuple[str, ...], again: Again) -> bool:
    """Whether a measurement is finished and was made with this program and these flags."""
    from cascade_tf.study.numbers import RESULTS

    try:
        made_by = json.loads((place / COMMAND).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return made_by == _without_machine(words) and (place / RESULTS[again.program]).is_file()


def _begin(place: Path, words: tuple[str, ...], again: Again) -> None:
    """Leaves the command in the folder of a measurement, and no result of another one."""
    from cascade_tf.files import write_atomically
    from cascade_tf.study.numbers import RESULTS

    place.mkdir(parents=True, exist_ok=True)
    (place / RESULTS[again.program]).unlink(missing_ok=True)
    write_atomically(place / COMMAND, json.dumps(_without_machine(words)) + "\n")


def _without_machine(words: tuple[str, ...]) -> list[str]:
    """A command without what is another one on another machine."""
    own = ("--dataset_dir=", "--workdir=", "--output=", "--boxes_of=")
    return [Path(words[1]).name, *(word for word in words[2:] if not word.startswith(own))]


def _table(result: StudyResult) -> str:
    from cascade_tf.study.text import to_table

    return to_table(result)


if __name__ == "__main__":
    sys.exit(main())
