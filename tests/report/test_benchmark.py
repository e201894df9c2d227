"""What the page says of a benchmark's own numbers, beside COCO's."""

from __future__ import annotations

import json

import pytest

from cascade_tf.metrics import BenchmarkResult, Measurement
from cascade_tf.metrics.measurement import Grid
from cascade_tf.report.history import History
from tests.report.test_page import NAN, result, write


def measurement(reasonable: float, heavy: float, *, lower_is_better: bool = True) -> Measurement:
    numbers = {"MR/reasonable": reasonable, "MR/heavy": heavy}
    grid = Grid(("reasonable", "heavy"), (("IoU <= all", tuple(numbers)),))
    title = "CityPersons: log-average miss rate"
    benchmark = BenchmarkResult(
        "citypersons", title, numbers, "MR/reasonable", lower_is_better, tuple(numbers), grid
    )
    return Measurement(result(), benchmark)


def test_one_result(tmp_path):
    _, page = write(tmp_path, results={"detector": measurement(12.345, NAN)})
    assert "CityPersons: log-average miss rate" in page.texts
    assert page.texts[page.texts.index("citypersons · MR/reasonable") + 1] == "12.35"
    assert [row for row in page.rows if row[0] == "IoU <= all"] == [["IoU <= all", "12.35", "–"]]
    assert [row[0] for row in page.rows].count("detector") == 1  # COCO's table


@pytest.mark.parametrize(
    ("lower_is_better", "direction", "best"), [(True, "up", "30.00"), (False, "down", "40.00")]
)
def test_stages(tmp_path, lower_is_better, direction, best):
    results = {
        "stage 1": measurement(40.0, NAN, lower_is_better=lower_is_better),
        "detector": measurement(30.0, 50.0, lower_is_better=lower_is_better),
    }
    text, page = write(tmp_path, results=results)
    assert next(row for row in page.rows if row[0] == "stage 1") == ["stage 1", "40.00", "–"]
    assert f'<td class="best">{best}</td>' in text
    assert text.count('<td class="best">50.00</td>') == 1
    assert f'<small class="{direction}">−10.00 over stage 1</small>' in text


def test_the_way_of_the_numbers(tmp_path):
    lines = [
        {
            "step": step,
            "evaluation": {"AP": 0.5, "citypersons/MR/reasonable": rate, "citypersons/MR/heavy": None},
        }
        for step, rate in ((10, 40.0), (20, 30.0))
    ]
    _, page = write(tmp_path, history=lines, results={"detector": measurement(30.0, 50.0)})
    assert page.texts.count("CityPersons as training went on") == 1
    charts = [json.loads(tags["data-values"]) for _, tags in page.tags if "data-values" in tags]
    (values,) = (chart for chart in charts if chart["names"] == ["MR/reasonable"])
    assert values["y"] == [["40.00", "30.00"]]
    _, page = write(tmp_path, history=lines[:1], results={"detector": measurement(30.0, 50.0)})
    assert "CityPersons as training went on" not in page.texts


def test_classes_named_as_what_a_log_has_do_not_take_its_place():
    lines = [
        {"step": 10, "losses": {"rpn_box": 0.5}, "evaluation": {"voc2007/AP/step": 3.0, "voc2007/AP/AP": 4.0}}
    ]
    history = History(lines)
    assert history.last_step() == 10
    assert history.values("AP") == ([], [])
    assert history.values("voc2007/AP/step") == ([10], [3.0])
