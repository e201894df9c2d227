"""docs/paper.md answers every equation, figure, row and claim of the paper, and what it names is there."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from cascade_tf.study import load_study
from tests.paper.files import CONFIGS, ORACLES, ROWS

CLAIMS = json.loads((CONFIGS / "paper" / "claims.json").read_text())["claims"]
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
    listed = re.search(r"rows? ([a-z]\w*(?:, \w+)*(?: and \w+)?)", answer)
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
