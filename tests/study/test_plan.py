"""What a study is made of, and which trainings it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_tf.study import Again, Claim, Row, Study, load_study, runs, study_of_configs
from cascade_tf.study.plan import run_of
from cascade_tf.study.progress import experiment_of

STUDIES = Path(__file__).resolve().parents[2] / "configs" / "studies"
ROWS = (Row("base", "demo/faster"), Row("three", "demo/cascade", ("train.steps=7",)))


def test_every_row_is_trained_with_every_seed():
    study = Study("x", ROWS, seeds=(3, 5), changes=("train.batch_size=2",))
    found = [(run.name, run.config, run.settings) for run in runs(study)]
    both = "train.batch_size=2"
    assert found == [
        ("base", "demo/faster", (both, "train.seed=3")),
        ("three", "demo/cascade", (both, "train.steps=7", "train.seed=3")),
        ("base", "demo/faster", (both, "train.seed=5")),
        ("three", "demo/cascade", (both, "train.steps=7", "train.seed=5")),
    ]


def test_rows_of_stages_share_their_runs():
    stages = tuple(Row(f"stage{i}", "demo/cascade", stage=i) for i in (1, 2, 3))
    study = Study("x", (*ROWS, *stages), seeds=(0,))
    assert [run.name for run in runs(study)] == ["base", "three", "stage1"]
    assert run_of(study, study.row("stage3"), 0).name == "stage1"


def test_a_row_that_is_measured_again_takes_no_training():
    again = Again("base", "analyze", ("--figures=others", "--boxes_of={run:three}"))
    study = Study("x", (*ROWS, Row("others", again=again)), seeds=(0,))
    assert [run.name for run in runs(study)] == ["base", "three"]
    assert again.rows == ("base", "three")
    workdirs = {"base": Path("runs/a"), "three": Path("runs/b")}
    assert again.filled(workdirs) == ("--figures=others", "--boxes_of=runs/b")


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.py")), ids=lambda file: file.stem)
def test_the_studies_that_come_along_can_be_run(file):
    study = load_study(file.stem)
    for run in runs(study):
        assert experiment_of(run).train.seed == run.seed


def test_configurations_alone_are_a_study_too():
    study = study_of_configs(["custom/faster", "custom/cascade"])
    assert study.baseline == "custom-faster"
    assert [row.config for row in study.rows] == ["custom/faster", "custom/cascade"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": ROWS[:1]}, r"got the rows \['base'\], expected two or more"),
        ({"rows": (*ROWS, ROWS[0])}, "each once"),
        ({"rows": (*ROWS, Row("../x", "demo/faster"))}, r"got the row '\.\./x', expected letters"),
        ({"seeds": ()}, r"got the seeds \(\), expected one or more"),
        ({"seeds": (1, 1)}, "each once"),
        (
            {"claims": (Claim("c", "s", "", (((1.0, "four", "AP"),),)),)},
            "claim 'c': got the row 'four', expected rows",
        ),
        ({"claims": (Claim("c", "s", "", ()),)}, "claim 'c': got no sum, or one of nothing"),
        ({"rows": (*ROWS, Row("none"))}, "row 'none': got neither, expected a config, or how it is measured"),
        ({"rows": (*ROWS, Row("two", "x", again=Again("base")))}, "row 'two': got both"),
        (
            {"rows": (*ROWS, Row("more", again=Again("four")))},
            "row 'more': got the runs of 'four', expected those of",
        ),
        (
            {"rows": (*ROWS, Row("more", again=Again("base", "train")))},
            "got the program 'train', expected one of",
        ),
        (
            {"rows": (*ROWS, Row("more", again=Again("base", "analyze", ("--boxes_of={run:x}",))))},
            "row 'more': got the runs of 'x'",
        ),
    ],
)
def test_what_is_no_study_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Study("x", **{"rows": ROWS, **arguments})


def test_a_file_defines_a_study(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from cascade_tf.study import Row, Study\n"
        "def study():\n    return Study('mine', (Row('a', 'x'), Row('b', 'y')), seeds=(1,))\n"
    )
    assert load_study(file).name == load_study(tmp_path / "mine").name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study = 3", "got int, expected a function study"),
        ("def study():\n    return 3", "got int, expected a function"),
        ("x = 1", "got nothing of that name"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_study(file)


def test_a_study_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="study 'nothing': got no such file"):
        load_study("nothing")


def test_rows_of_files_have_the_names_of_the_files(tmp_path):
    files = [tmp_path / name / f"{stem}.py" for name, stem in (("a", "one"), ("a", "two"), ("b", "two"))]
    found = study_of_configs(["custom/faster", *map(str, files)])
    assert [row.name for row in found.rows] == ["custom-faster", "one", "a-two", "b-two"]
    assert [row.config for row in found.rows] == ["custom/faster", *map(str, files)]
    (row, _) = study_of_configs(["./x.py", "y.py"]).rows
    assert (row.name, Path(row.config).is_absolute()) == ("x", True)


def test_only_evaluate_measures_a_stage_again():
    with pytest.raises(ValueError, match="got stage=2 with propose, expected evaluate"):
        Study("s", (Row("a", "x"), Row("b", again=Again("a", "propose"), stage=2)))
