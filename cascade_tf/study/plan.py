"""What a study compares: rows of a table, each a configuration with changes, and the seeds of all of them."""

from __future__ import annotations

import dataclasses
import os
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cascade_tf.files import shared_folder

NUMBERS = ("AP", "AP50", "AP60", "AP70", "AP75", "AP80", "AP90")
"""Columns of a study that names none."""
SEEDS = (0, 1, 2, 3, 4)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


PROGRAMS = ("evaluate", "analyze", "propose")
_OTHER_RUN = re.compile(r"\{run:([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Again:
    """How the runs of another row are measured once more, with other settings or by another program.

    Attributes:
        row: whose runs they are.
        program: ``"evaluate"``, ``"analyze"`` or ``"propose"``, by `numbers_again`.
        flags: of the program; ``{run:NAME}`` in one stands for the folder of the row NAME's run with the same
            seed.
        line: of a figure of ``analyze``, whose AP are the row's numbers: ``"truth/proposals and objects"``.
    """

    row: str
    program: str = "evaluate"
    flags: tuple[str, ...] = ()
    line: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """All rows whose runs it takes."""
        return (self.row, *(name for flag in self.flags for name in _OTHER_RUN.findall(flag)))

    def filled(self, workdirs: Mapping[str, Path]) -> tuple[str, ...]:
        """The flags with the folders of the runs in them."""
        return tuple(_OTHER_RUN.sub(lambda match: str(workdirs[match[1]]), flag) for flag in self.flags)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the study's table.

    Attributes:
        name: of letters, digits and ``._-``, since a folder bears it.
        config: a configuration file, or a name in ``configs/``; empty where the row has no runs of its own.
        changes: settings as ``--set`` takes them.
        stage: of a cascade, whose detections are measured instead of the detector's own. Rows that differ in
            it alone share their runs. Measured again, it takes the program ``evaluate``.
        paper: what the paper's table has, in percent, by the numbers' names.
        source: where in the paper, such as ``"Table 1"``.
        again: how it is measured where it has no runs of its own.
        versus: the row that it is compared with; empty for the study's baseline.
        numbers: what it has in place of the study's columns, such as ``("AR100",)`` of proposals.
    """

    name: str
    config: str = ""
    changes: tuple[str, ...] = ()
    stage: int | None = None
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    source: str = ""
    again: Again | None = None
    versus: str = ""
    numbers: tuple[str, ...] = ()


Sum = tuple[tuple[float, str, str], ...]
"""(weight, row, number) of each summand."""


def more_than(row: str, other: str, number: str) -> Sum:
    """A row's number less another row's."""
    return ((1.0, row, number), (-1.0, other, number))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence that is true where weighted sums of numbers are above zero, all of them.

    Attributes:
        name: short, for tables.
        sentence: what is claimed.
        source: where the paper says so.
        sums: one or more; of a comparison of two rows ``more_than`` is the sum.
    """

    name: str
    sentence: str
    source: str
    sums: tuple[Sum, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that it is about, each once."""
        return tuple(dict.fromkeys(row for terms in self.sums for _, row, _ in terms))


@dataclasses.dataclass(frozen=True)
class Study:
    """Rows that are compared with the first of them, the baseline, or with the row that they name.

    Attributes:
        name: what the study is called.
        rows: two or more.
        seeds: of ``train.seed``; runs of one seed are paired, as they see the same images in the same order.
        numbers: columns, names of ``metrics.jsonl``'s evaluations such as ``"AP75"`` or ``"mask_AP"``.
        changes: settings of all rows.
        claims: what is decided from the numbers.

    Raises:
        ValueError: rows or seeds that come twice, a name that no folder can bear, fewer than two rows, no
            seed, a claim about no row of the study, a row that is neither trained nor measured on one that
            is, or one that is compared with itself or with no row of the study.
    """

    name: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = SEEDS
    numbers: tuple[str, ...] = NUMBERS
    changes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"study {self.name!r}: got the rows {names}, expected two or more, each once")
        wrong = [name for name in names if not _NAME.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"study {self.name!r}: got the row {wrong[0]!r}, expected letters, digits, . _ -"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"study {self.name!r}: got the seeds {self.seeds}, expected one or more, each once"
            )
        for row in self.rows:
            self._check_row(row)
        for claim in self.claims:
            unknown = [row for row in claim.rows if row not in names]
            if unknown or not (claim.sums and all(claim.sums)):
                got = f"the row {unknown[0]!r}" if unknown else "no sum, or one of nothing"
                raise ValueError(f"claim {claim.name!r}: got {got}, expected rows among {', '.join(names)}")

    def _check_row(self, row: Row) -> None:
        others = [one.name for one in self.rows if one.name != row.name]
        if row.versus and row.versus not in others:
            raise ValueError(
                f"row {row.name!r}: got versus={row.versus!r}, expected one of {', '.join(others)}"
            )
        if bool(row.config) == (row.again is not None):
            got = "both" if row.config else "neither"
            raise ValueError(f"row {row.name!r}: got {got}, expected a config, or how it is measured again")
        if row.again is None:
            return
        if row.stage is not None and row.again.program != "evaluate":
            raise ValueError(
                f"row {row.name!r}: got stage={row.stage} with {row.again.program}, expected evaluate"
            )
        if row.again.program not in PROGRAMS:
            known = ", ".join(PROGRAMS)
            raise ValueError(
                f"row {row.name!r}: got the program {row.again.program!r}, expected one of {known}"
            )
        trained = [one.name for one in self.rows if one.config]
        unknown = [name for name in row.again.rows if name not in trained]
        if unknown:
            known = ", ".join(trained)
            raise ValueError(f"row {row.name!r}: got the runs of {unknown[0]!r}, expected those of {known}")

    @property
    def baseline(self) -> str:
        """Name of the row that the others are compared with."""
        return self.rows[0].name

    def versus(self, row: Row) -> str:
        """Name of the row that a row is compared with; empty for the baseline."""
        return row.versus or (self.baseline if row.name != self.baseline else "")

    def row(self, name: str) -> Row:
        """The row of a name."""
        return next(row for row in self.rows if row.name == name)


class Run(NamedTuple):
    """One training of a study.

    Attributes:
        name: of the first row that it is for.
        config: see ``Row``.
        changes: of the study and of the row.
        seed: of ``train.seed``.
    """

    name: str
    config: str
    changes: tuple[str, ...]
    seed: int

    def workdir(self, folder: Path) -> Path:
        """The run's folder in that of the study."""
        return folder / "runs" / self.name / f"seed{self.seed}"

    @property
    def settings(self) -> tuple[str, ...]:
        """Everything that ``--set`` has to say."""
        return (*self.changes, f"train.seed={self.seed}")


def runs(study: Study) -> list[Run]:
    """The trainings of a study, all rows with the first seed before any with the second."""
    trained = [row for row in study.rows if row.config]
    return list(dict.fromkeys(run_of(study, row, seed) for seed in study.seeds for row in trained))


def run_of(study: Study, row: Row, seed: int) -> Run:
    """The training that a row's numbers of a seed come from."""
    same = next(one for one in study.rows if (one.config, one.changes) == (row.config, row.changes))
    return Run(same.name, row.config, (*study.changes, *row.changes), seed)


def load_study(path: str | os.PathLike[str]) -> Study:
    """Returns the study that a file's function ``study()`` describes.

    Args:
        path: a file, or a name in ``configs/studies``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not run, or returns something else.
    """
    file = _find_study(path)
    try:
        function = runpy.run_path(str(file)).get("study")
        result = function() if callable(function) else None
    except Exception as error:
        raise ValueError(f"study {file}: {type(error).__name__}: {error}") from error
    if not isinstance(result, Study):
        of_wrong_type = result if callable(function) else function
        got = "nothing of that name" if function is None else type(of_wrong_type).__name__
        raise ValueError(f"study {file}: got {got}, expected a function study() that returns a Study")
    return result


def study_of_configs(configs: Sequence[str]) -> Study:
    """A study of configurations as they are, the first being the baseline.

    Args:
        configs: files, or names in ``configs/``. A name is that of its row, with dashes for slashes; of a
            file it is the file's own, with its folder's where two files have the same.
    """
    files = [config if Path(config).suffix == ".py" else "" for config in configs]
    stems = [Path(file).stem for file in files if file]
    rows = []
    for config, file in zip(configs, files, strict=True):
        name = config.replace("/", "-")
        if file:
            path = Path(file).resolve()
            name = path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}-{path.stem}"
            config = str(path)
        rows.append(Row(name, config))
    return Study(", ".join(row.name for row in rows), tuple(rows))


def _find_study(path: str | os.PathLike[str]) -> Path:
    name = Path(path) if Path(path).suffix == ".py" else Path(f"{path}.py")
    folder = shared_folder("configs") / "studies"
    for found in (name, folder / name):
        if found.is_file():
            return found
    known = sorted(file.stem for file in folder.glob("*.py"))
    listed = f" or one of {', '.join(known)}" if known else ""
    raise FileNotFoundError(f"study {str(path)!r}: got no such file, expected a file{listed}")
