"""docs/paper.md answers every equation, figure, row and claim of the paper, and what it names is there."""

from __future__ import annotations

import importlib
import itertools
import json
import re

import pytest

from cascade_tf.experiment.config import load_config
from cascade_tf.experiment.overrides import apply_overrides
from cascade_tf.study import load_study
from tests.paper.files import CONFIGS, ORACLES, ROWS, SETTINGS, resolve, resolved, text_of
from tests.paper.test_settings import same

SAID = json.loads((CONFIGS / "paper" / "claims.json").read_text())
CLAIMS = SAID["claims"]
IDS = [row["id"] for table in ROWS["tables"] for row in table["rows"]]
KINDS = {"study", "figure", "configuration", "data", "metric", "cited", "contradiction"}


@pytest.fixture
def page(monkeypatch):
    scripts = CONFIGS.parent / "scripts"
    monkeypatch.syspath_prepend(str(scripts))
    return importlib.import_module("document_paper")


def test_the_page_is_up_to_date(page, capsys):
    assert page.main(["document_paper.py", "--check"]) == 0
    assert capsys.readouterr().out == "The page is up to date.\n"


def test_a_stale_page_is_noticed(page, tmp_path, monkeypatch):
    stale = tmp_path / "paper.md"
    stale.write_text(page.PAGE.read_text().replace("| 34.9 |", "| 35.9 |"))
    monkeypatch.setattr(page, "PAGE", stale)
    assert page.main(["document_paper.py", "--check"]) == 1
    assert page.main(["document_paper.py"]) == 0
    assert page.main(["document_paper.py", "--check"]) == 0


def test_a_page_without_marks_is_refused(page):
    with pytest.raises(ValueError, match="got no marks"):
        page.with_text("# A page", "rows", "")


def test_every_equation_and_figure_has_a_line(page):
    text = page.PAGE.read_text()
    equations, figures = (
        text.split(f"## {title}")[1].split("\n## ")[0] for title in ("Equations", "Figures")
    )
    named = [
        cell for line in re.findall(r"^\| ([\d, ]+) \|", equations, re.MULTILINE) for cell in line.split(", ")
    ]
    assert named == [str(number) for number in range(1, 15)]
    assert {int(number) for number in re.findall(r"^\| (\d)\b", figures, re.MULTILINE)} == set(range(1, 10))


def test_ids_are_there_once():
    assert len(set(IDS)) == len(IDS)
    assert len({claim["id"] for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_what_answers_a_claim_is_there(claim, page):
    assert claim["by"] in KINDS
    assert claim["claim"]
    assert claim["place"]
    answer = claim["answer"]
    for row in re.findall(r"\bT\d+/[\w-]+", answer):
        assert row in IDS
    study = load_study("paper")
    named = re.search(r"claims? (\*\w+\*)", answer)
    if named:
        assert named[1].strip("*") in {one.name for one in study.claims}
    listed = re.search(r"rows? (?!of\b)([a-z]\w*(?:, \w+)*(?: and \w+)?)", answer)
    if claim["by"] == "study" and listed:
        for row in re.split(r", | and ", listed[1]):
            assert row in {one.name for one in study.rows}
    if claim["by"] == "study":
        assert named or listed


def test_every_figure_that_is_named_is_drawn(page):
    analyze = importlib.import_module("analyze")
    text = page.PAGE.read_text()
    named = {name for names in re.findall(r"--figures ([\w,]+)", text) for name in names.split(",")}
    assert named == set(analyze.FIGURES)


def rows_of_answer(answer):
    """The rows that an answer names, one by one or as those of whole tables."""
    rows = set(re.findall(r"\bT\d+/[\w-]+", answer))
    for first, word, last in re.findall(r"the rows of Tables? (\d+)(?: (to|and) (\d+))?", answer):
        numbers = range(int(first), int(last) + 1) if word == "to" else map(int, filter(None, (first, last)))
        rows |= {row["id"] for n in numbers for row in ROWS["tables"][n - 1]["rows"]}
    return rows


def test_equal_rows_of_the_ablations_have_one_configuration():
    rows = [row for table in ROWS["tables"][:4] for row in table["rows"] if "measured" not in row]
    equal = [(a, b) for a, b in itertools.combinations(rows, 2) if a["values"] == b["values"]]
    # Three baselines, and four times the cascade.
    assert len(equal) == 3 + 6
    assert all(a["configuration"] == b["configuration"] for a, b in equal)


def section(place):
    """The text of a section of docs/ by its page and anchor."""
    name, anchor = place.split("#")
    text = (CONFIGS.parent / "docs" / name).read_text()
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0]
        if re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") == anchor:
            return part
    raise AssertionError(place)


MEASURED = [(claim["id"], one) for claim in CLAIMS for one in claim.get("ours", ())] + [
    (f"table {table['table']}", one) for table in ROWS["tables"] for one in table["ours"]
]


@pytest.mark.parametrize(("item", "one"), MEASURED, ids=[f"{item}-{one['of']}" for item, one in MEASURED])
def test_a_number_of_ours_stands_in_the_section_that_is_linked(item, one):
    text = section(ROWS["measured_in"][one["of"]])
    # A threshold of IoU is none.
    says = re.sub(r"\b(?:IoU|at) 0\.\d+", "", one.get("says", ""))
    found = re.findall(r"(?<![\w.~])\d+(?:\.\d+)?(?![\w.~])", says)
    assert bool(found) == bool(one.get("says"))
    assert [n for n in found if not re.search(rf"(?<![\d.]){re.escape(n)}(?![\d])", text)] == []


def test_every_table_and_every_claim_of_the_study_says_what_is_ours():
    assert all(table["ours"] for table in ROWS["tables"])
    assert all("ours" in claim for claim in CLAIMS if claim["by"] == "study")


def test_rows_of_released_nets_say_what_follows_the_text(page):
    lines = [line for line in page.rows() if "mscnn" in line]
    assert len(lines) == 10
    for line in lines:
        name = re.search(r"\[`([\w/]+)`\]", line)[1]
        flags = re.findall(r"--set (\S+)", line.replace("`", " "))
        assert flags
        assert all(f"--set {flag}" in text_of(name) for flag in flags)


@pytest.mark.parametrize("said", SAID["unnumbered"], ids=lambda said: said["place"])
def test_what_is_said_without_a_number_has_configurations_and_rows(said):
    assert set(said["rows"]) <= {row.name for row in load_study("paper").rows}
    for name in said["configurations"]:
        assert "without a number" in text_of(name)
        assert f"(Sec. {said['place']})" in " ".join(text_of(name).split())
    # The flags make the first of the configurations of what it changes.
    (variant,) = (one for one in SETTINGS["variants"] if one["configuration"] == said["configurations"][0])
    changed = resolve(apply_overrides(load_config(variant["of"]), said["flags"]))
    expected = resolved(variant["configuration"])
    assert all(same(changed[key], expected[key]) for key in expected if key != "name")


@pytest.mark.skipif(
    not (ORACLES / "paper_tables.json").is_file(), reason="CASCADE_TF_ORACLES names no folder with paper/"
)
def test_every_id_of_the_paper_is_answered():
    content = json.loads((ORACLES / "paper_tables.json").read_text())
    rows = [row["id"] for table in content["tables"] for row in table["rows"]]
    assert sorted(rows) == sorted([*IDS, *ROWS["cited"]["ids"]])
    own = [row["id"] for table in content["tables"] for row in table["rows"] if row["own"]]
    assert own == IDS
    assert [claim["id"] for claim in content["claims"]] == [claim["id"] for claim in CLAIMS]


def named_in(check):
    """The rows that a check of the paper's second reading compares."""
    single = [check[key].partition(":")[0] for key in ("a", "b", "row") if key in check]
    if check["op"] in ("max", "range"):
        number = int(check["table"].removeprefix("T"))
        single += [row["id"] for row in ROWS["tables"][number - 1]["rows"]]
    return {*single, *check.get("rows", ()), *check.get("others", ())} - {*ROWS["cited"]["ids"]}


@pytest.mark.skipif(
    not (ORACLES / "paper_tables.json").is_file(), reason="CASCADE_TF_ORACLES names no folder with paper/"
)
def test_answers_name_the_rows_that_a_claim_compares():
    answers = {claim["id"]: rows_of_answer(claim["answer"]) for claim in CLAIMS}
    claims = json.loads((ORACLES / "paper_tables.json").read_text())["claims"]
    compared = {
        claim["id"]: set().union(*map(named_in, claim["checks"])) for claim in claims if "checks" in claim
    }
    assert len(compared) > 30
    assert {name: rows - answers[name] for name, rows in compared.items() if rows - answers[name]} == {}
    # And no other ones, where an answer names them one by one.
    others = {name: answers[name] - rows for name, rows in compared.items()}
    whole = {claim["id"] for claim in CLAIMS if "the rows of" in claim["answer"]}
    assert {name: rows for name, rows in others.items() if rows and name not in whole} == {}
