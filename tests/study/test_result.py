"""Means, paired differences and verdicts, against numbers worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from cascade_tf.study import Again, Claim, Row, Study, Verdict, more_than, summarize
from cascade_tf.study.markdown import to_markdown
from cascade_tf.study.page import write_page
from cascade_tf.study.text import to_csv, to_table

T_2 = 4.302652729911275  # Student's t at 0.975 with two degrees of freedom.
BASE, OTHER = (0.40, 0.42, 0.44), (0.43, 0.44, 0.48)


def study(*claims: Claim, **settings) -> Study:
    rows = (Row("base", "x"), Row("other", "y", paper={"AP": 42.8}, source="Table 1"), Row("last", "z"))
    return Study("s", rows, **{"seeds": (0, 1, 2), "numbers": ("AP", "AP90"), "claims": claims, **settings})


def measured(**more):
    found = {("base", seed): {"AP": value} for seed, value in enumerate(BASE)}
    found |= {("other", seed): {"AP": value, "AP90": 0.1} for seed, value in enumerate(OTHER)}
    return found | more


def claim(*sums) -> Claim:
    return Claim("c", "It is so.", "Section 4", sums)


LESS = more_than("other", "base", "AP")
MORE = more_than("base", "other", "AP")


def test_means_have_the_interval_of_student():
    result = summarize(study(), measured())
    found = result.means["base"]["AP"]
    assert found.mean == pytest.approx(0.42)
    assert found.margin == pytest.approx(T_2 * 0.02 / math.sqrt(3))
    assert result.seeds == {"base": [0, 1, 2], "other": [0, 1, 2], "last": []}
    assert result.means["last"] == {}


def test_differences_are_paired_by_seed():
    result = summarize(study(), measured())
    found = result.differences["other"]["AP"]
    assert found.differences == pytest.approx([0.03, 0.02, 0.04])
    assert found.mean == pytest.approx(0.03)
    assert found.margin == pytest.approx(T_2 * 0.01 / math.sqrt(3))
    assert "base" not in result.differences
    # The baseline has no AP90.
    assert "AP90" not in result.differences["other"]


def test_seeds_without_a_partner_do_not_count():
    found = measured()
    del found["base", 1]
    result = summarize(study(), found)
    assert result.differences["other"]["AP"].differences == pytest.approx([0.03, 0.04])


@pytest.mark.parametrize(
    ("sums", "verdict"),
    [
        ((LESS,), Verdict.SHOWN),
        ((MORE,), Verdict.CONTRADICTED),
        (((*LESS, (-0.3, "other", "AP90")),), Verdict.NOT_SHOWN),
        ((((1.0, "last", "AP"),),), Verdict.UNDECIDED),
        ((((1.0, "base", "AP90"),),), Verdict.UNDECIDED),
        # All sums have to be above zero, and one below is enough to the contrary.
        ((LESS, ((1.0, "base", "AP"),)), Verdict.SHOWN),
        ((LESS, MORE), Verdict.CONTRADICTED),
        ((LESS, ((1.0, "last", "AP"),)), Verdict.UNDECIDED),
        ((MORE, ((1.0, "last", "AP"),)), Verdict.CONTRADICTED),
    ],
)
def test_a_claim_is_decided_by_the_intervals_of_its_sums(sums, verdict):
    (decided,) = summarize(study(claim(*sums)), measured()).claims
    assert decided.verdict is verdict


def test_one_run_decides_nothing():
    (decided,) = summarize(study(claim(LESS), seeds=(0,)), measured()).claims
    assert decided.verdict is Verdict.UNDECIDED
    assert decided.found[0].mean == pytest.approx(0.03)


def test_tables_are_in_percent():
    result = summarize(study(claim(LESS)), measured())
    text = to_table(result)
    assert "42.0 ±5.0" in text
    assert "+3.0 ±2.5" in text
    assert "42.8" in text
    assert "shown" in text
    rows = list(csv.DictReader(io.StringIO(to_csv(result))))
    (row,) = [row for row in rows if (row["row"], row["number"]) == ("other", "AP")]
    assert (row["mean"], row["difference"], row["difference_margin"]) == ("45.000", "3.000", "2.484")
    assert row["paper"] == "42.8"


def test_json_has_the_numbers_of_every_run():
    content = json.loads(json.dumps(summarize(study(), measured()).to_dict()))
    assert content["rows"]["other"]["numbers"]["AP"]["values"] == list(OTHER)
    assert content["baseline"] == "base"


def test_less_of_a_miss_rate_is_better(tmp_path):
    number = "citypersons/MR75/reasonable"
    rates = {("base", seed): {number: 0.9 - 0.01 * seed} for seed in (0, 1, 2)}
    rates |= {("other", seed): {number: 0.8 - 0.011 * seed} for seed in (0, 1, 2)}
    result = summarize(study(numbers=(number,)), rates)
    text = write_page(tmp_path / "study.html", result).read_text()
    assert '<td class="up">−10.1 <small>' in text
    assert f"{number} ↓</th>" in text
    assert f"{number} ↓" in to_table(result)


def test_the_page_says_what_is_there_and_what_is_not(tmp_path):
    result = summarize(study(claim(LESS)), measured())
    text = write_page(tmp_path / "study.html", result, waiting=["last, seed 0: 3 of 9 steps"]).read_text()
    assert "6 of 9 results are there" in text
    assert '<td class="up">+3.0 <small>±2.5</small></td>' in text
    assert "paper 42.8" in text
    assert '<td class="up">shown</td>' in text
    assert "other AP − base AP: +3.0 <small>±2.5</small> <small>3 runs</small>" in text
    # The page ends with the claims.
    assert text.index("<h2>Claims</h2>") == text.rindex("<h2>")
    assert "last, seed 0: 3 of 9 steps" in text


def test_a_row_is_compared_with_the_one_that_it_names():
    rows = (Row("base", "x"), Row("other", "y"), Row("last", "z", versus="other"))
    found = measured() | {("last", seed): {"AP": 0.5} for seed in (1, 2)}
    result = summarize(Study("s", rows, seeds=(0, 1, 2), numbers=("AP",)), found)
    assert result.differences["last"]["AP"].differences == pytest.approx([0.06, 0.02])
    assert result.differences["other"]["AP"].differences == pytest.approx([0.03, 0.02, 0.04])
    assert "last   other" in to_table(result)
    assert result.to_dict()["rows"]["last"]["versus"] == "other"
    with pytest.raises(ValueError, match="got versus='last', expected one of base"):
        Study("s", (Row("base", "x"), Row("last", "z", versus="last")))


def test_markdown_has_the_paper_s_differences_and_masks_by_themselves():
    rows = (
        Row("base", "x", paper={"AP": 34.9}),
        Row("other", "y", paper={"AP": 38.9}, source="Table 1"),
        Row("masks", "z"),
    )
    found = measured() | {("masks", 0): {"mask_AP": 0.2}}
    numbers = ("AP", "AP90", "mask_AP")
    wanted = (claim(LESS),)
    text = to_markdown(summarize(Study("s", rows, seeds=(0, 1, 2), numbers=numbers, claims=wanted), found))
    lines = text.splitlines()
    assert lines[0] == "# Study: s"
    margin = 100 * T_2 * 0.01 / math.sqrt(3)
    assert f"| `other` | `base` | +3.0 ± {margin:.1f} (+4.0) |  |" in lines
    assert "| `masks` |  | 1 | 20.0 |" in lines
    said = "| *c*: It is so. | Section 4 | shown | other AP − base AP | 3 |"
    assert f"{said} +3.0 ± {margin:.1f} |" in lines
    boxes, masks = text.split("## Results, masks")
    assert "`masks`" not in boxes
    assert "`other`" not in masks.split("## Claims")[0]


def test_rows_may_have_numbers_of_their_own(tmp_path):
    again = Again("other", "propose", ("--stage=2",))
    recall = Row("recall", again=again, numbers=("AR100",), paper={"AR100": 55.3}, source="Table 8")
    rows = (Row("base", "x"), Row("other", "y"), recall)
    found = measured() | {("recall", 0): {"AR100": 0.5, "AP": 0.1}}
    result = summarize(Study("s", rows, seeds=(0, 1, 2), numbers=("AP",)), found)
    assert result.means["recall"].keys() == {"AR100"}
    text = to_markdown(result)
    assert "| `recall` | Table 8 | 1 | AR100 | 50.0 (55.3) |" in text.splitlines()
    assert "`recall`" not in text.split("## Other numbers")[0]
    page = write_page(tmp_path / "study.html", result).read_text()
    assert "runs of other: propose --stage=2 · Table 8" in page
    assert "<td>AR100</td><td>50.0<br><small>paper 55.3</small></td>" in page
    assert "AR100" in to_table(result)
    assert ("recall", "AR100", "50.000") in {
        (row["row"], row["number"], row["mean"]) for row in csv.DictReader(io.StringIO(to_csv(result)))
    }
    content = result.to_dict()["rows"]["recall"]
    assert (content["runs_of"], content["program"], content["flags"]) == ("other", "propose", ["--stage=2"])


def test_a_chart_has_the_rows_of_one_source_beside_the_baseline(tmp_path):
    numbers = ("AP50", "AP90")
    rows = [Row(f"row{n}", "x", source=f"Table {n // 8}", changes=(f"a={n}",)) for n in range(16)]
    found = {(row.name, 0): {"AP50": 0.5, "AP90": 0.1} for row in rows}
    result = summarize(Study("s", tuple(rows), seeds=(0,), numbers=numbers), found)
    text = write_page(tmp_path / "study.html", result).read_text()
    assert "AP over IoU, Table 0" in text
    assert "AP over IoU, Table 1" in text
