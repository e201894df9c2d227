"""The page about a data set: well-formed, self-contained, with the right numbers in the right places."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cascade_tf.report.bars import Layer, bar_chart
from cascade_tf.report.data_page import SplitFigures, write_data_page
from cascade_tf.report.size_chart import Cloud, size_chart
from tests.report.reading import Page


def split(name: str, best=(0.3, 0.6, 0.8, 0.9), classes=(("<cat>", 3, 2), ("dog", 1, 1))) -> SplitFigures:
    sides = np.array([(8, 8), (20, 20), (60, 70), (128, 128)], float)
    return SplitFigures(
        name=name,
        facts={"images": "2", "objects": "4"},
        images=2,
        objects=4,
        counts=np.array([4, 0]),
        classes=classes,
        image_sizes=np.array([(100, 200), (100, 200)]),
        sides=sides,
        best=None if best is None else np.array(best),
    )


def write(tmp_path, splits, **parts) -> tuple[str, Page]:
    given = {
        "title": "My <data>",
        "anchors": np.array([(32.0, 32.0), (64.0, 32.0)]),
        "scale": "As they are.",
        "remarks": {"Broken": [], "Warnings": ["a <b>"]},
        "pictures": {"Chosen": [("first", np.zeros((20, 30, 3), np.uint8))]},
        **parts,
    }
    text = write_data_page(tmp_path / "data.html", splits=splits, **given).read_text(encoding="utf-8")
    return text, Page(text)


def test_a_whole_page(tmp_path):
    text, page = write(tmp_path, [split("train"), split("val", best=(0.1, 0.2, 0.3, 0.4))])
    for heading in ("Warnings", "Figures", "Pictures", "Boxes", "Classes", "Sizes of the pictures"):
        assert page.texts.count(heading) == 1
    assert "Broken" not in page.texts
    assert "My <data>" in page.texts
    assert "a <b>" in page.texts
    # 3 of 8 boxes reach 0.5, 2 of 8 reach 0.7.
    assert "37.5 %" in page.texts
    assert "25.0 %" in page.texts
    assert ["<cat>", "6", "3", "2", "3", "2"] in page.rows
    assert ["dog", "2", "1", "1", "1", "1"] in page.rows
    assert ["200 × 100", "4"] in page.rows
    assert not re.search(r"https?:|@import|url\(", text)
    for drawing in re.findall(r'<svg class="drawing".*?</svg>', text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_bars_say_how_well_anchors_fit(tmp_path):
    text, _ = write(tmp_path, [split("train")])
    tips = re.findall(r"<title>(.*?)</title>", text, re.DOTALL)
    assert "8: 1\nanchor of IoU ≥ 0.7: 0\n0.5 to 0.7: 0\nbelow 0.5: 1" in tips
    assert "16: 1\nanchor of IoU ≥ 0.7: 0\n0.5 to 0.7: 1\nbelow 0.5: 0" in tips
    assert "128: 1\nanchor of IoU ≥ 0.7: 1\n0.5 to 0.7: 0\nbelow 0.5: 0" in tips


def test_without_anchors(tmp_path):
    _, page = write(tmp_path, [split("train", best=None)], anchors=np.zeros((0, 2)))
    assert "Boxes by size" in page.texts
    assert "boxes with an anchor" not in page.texts
    assert "anchors" not in page.texts


def test_without_anything(tmp_path):
    nothing = split("test", classes=())._replace(
        counts=np.zeros(0, int),
        image_sizes=np.zeros((0, 2), int),
        sides=np.zeros((0, 2)),
        best=np.zeros(0),
    )
    _, page = write(tmp_path, [nothing], remarks={}, pictures={})
    for heading in ("Pictures", "Boxes", "Classes", "Sizes of the pictures"):
        assert heading not in page.texts


def test_many_lines_and_classes_are_folded(tmp_path):
    classes = [(f"class {i}", i, 1) for i in range(40)]
    _, page = write(
        tmp_path, [split("train", classes=classes)], remarks={"Broken": [f"line {i}" for i in range(999)]}
    )
    assert page.count("details") == 2
    assert "987 more" in page.texts
    assert "799 more" in page.texts
    assert "line 199" in page.texts
    assert "line 200" not in page.texts


def test_heights_of_bars():
    text = bar_chart(
        "Bars", ["a", "b"], [Layer("one", [30, 0]), Layer("two", [10, 20], 3)], x_label="x", y_label="y"
    )
    heights = [float(value) for value in re.findall(r'<rect[^>]* height="([\d.]+)"', text)]
    # 244 units for 40.
    assert heights == pytest.approx([183, 61, 0, 122], abs=0.1)
    marks = re.findall(r'text-anchor="end">([^<]+)<', text)
    assert marks == ["0", "10", "20", "30", "40"]


@pytest.mark.parametrize(("value", "last"), [(1, "1"), (3, "3"), (7, "8"), (99, "100"), (123_456, "150k")])
def test_marks_are_round(value, last):
    text = bar_chart("Bars", ["a"], [Layer("one", [value])], x_label="x", y_label="y")
    assert re.findall(r'text-anchor="end">([^<]+)<', text)[-1] == last


def test_no_bars():
    assert bar_chart("Bars", ["a"], [Layer("one", [0])], x_label="x", y_label="y") == ""


def test_points_of_boxes_and_anchors():
    text = size_chart("Sizes", [Cloud("train", np.array([(2.0, 32.0)]))], np.array([(32.0, 2.0)]))
    # Both axes go from 2 to 32: the box lies in one corner of 454 x 380 units, the anchor in the other.
    assert 'd="M52.0 12.0h.1"' in text
    assert '<rect class="anchor" x="501.0" y="387.0"' in text


def test_of_many_boxes_some_are_shown():
    text = size_chart("Sizes", [Cloud("train", np.full((100_000, 2), 8.0))], np.zeros((0, 2)))
    assert 1000 <= text.count("h.1") <= 2000


def test_no_boxes_to_show():
    assert size_chart("Sizes", [Cloud("train", np.zeros((0, 2)))], np.array([(32.0, 2.0)])) == ""
    assert size_chart("Sizes", [], np.zeros((0, 2))) == ""
