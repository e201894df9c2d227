"""The page of a run: well-formed, self-contained, with the right numbers in the right places."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cascade_tf.metrics import CocoResult
from cascade_tf.metrics.results import CLASS_KEYS, IOU_THRESHOLDS, SUMMARY_KEYS
from cascade_tf.report import write_report
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.history import History, smooth_lines
from tests.report.reading import Page

NAN = float("nan")


def result(ap: float = 0.5, slope: float = 0.0, classes: int = 2) -> CocoResult:
    curve = {iou: ap + slope * (iou - 0.5) for iou in IOU_THRESHOLDS}
    at_iou = {f"AP{round(100 * iou)}": value for iou, value in curve.items()}
    summary = {key: at_iou.get(key, ap) for key in SUMMARY_KEYS} | {"APl": NAN}
    numbers = dict.fromkeys(CLASS_KEYS, ap) | {"objects": 1234}
    return CocoResult(summary, {f"class {i}": numbers for i in range(classes)}, curve)


def log(steps: int = 50) -> list[dict]:
    lines = []
    for step in range(10, 10 * steps + 1, 10):
        losses = {"rpn_objectness": 0.25, "rpn_box": 0.125}
        metrics = {}
        for stage in (1, 2, 3):
            losses |= {f"stage{stage}_class": 1.0 / stage, f"stage{stage}_box": 0.5}
            metrics |= {
                f"stage{stage}_iou_before": 0.5 + 0.1 * stage,
                f"stage{stage}_iou_after": 0.6 + 0.1 * stage,
            }
            metrics[f"stage{stage}_positives"] = 40.0 - 10 * stage
        lines.append(
            {"step": step, "losses": losses, "metrics": metrics, "lr": 0.02, "images_per_second": 5.0}
        )
    return lines


def picture(height=48, width=64):
    return np.tile(np.arange(width, dtype=np.uint8)[None, :, None] * 3, (height, 1, 3))


def write(tmp_path, **parts) -> tuple[str, Page]:
    text = write_report(tmp_path / "report.html", title="A run", **parts).read_text(encoding="utf-8")
    return text, Page(text)


def everything() -> dict:
    return {
        "summary": "All of it.",
        "settings": {"model": {"heads.ious": (0.5, 0.6, 0.7), "backbone.norm": None}, "steps": 500},
        "history": log(),
        "results": {"stage 1": result(0.5), "stages 1~2": result(0.5, 0.1), "stages 1~3": result(0.5, 0.2)},
        "pictures": [("first", picture()), ("second", picture())],
        "timings": {"train": 3725.4, "draw": 65.0, "evaluate": 4.21, "export": "2 s, 4,000 nodes"},
        "files": {"weights": "run/best.weights.h5"},
    }


def test_a_whole_page(tmp_path):
    text, page = write(tmp_path, **everything())
    assert text.startswith("<!doctype html>")
    assert [s for s in page.texts if s in ("Average precision", "Pictures", "Training", "This run")] == [
        "Average precision", "Pictures", "Training", "This run",
    ]  # fmt: skip
    for heading in (
        "AP over IoU", "Gain over stage 1", "Total loss", "Loss of each part", "Classes (stages 1~3)",
        "Mean IoU of the samples, before and after regression", "Positive samples per image and stage",
        "Learning rate", "Images per second",
    ):  # fmt: skip
        assert page.texts.count(heading) == 1
    assert page.count("img") == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_nothing_is_fetched(tmp_path):
    text, page = write(tmp_path, **everything())
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert "href" not in attributes
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?:|@import|url\(", text)


def test_drawings_are_well_formed(tmp_path):
    text, _ = write(tmp_path, **everything())
    drawings = re.findall(r'<div class="plot"[^>]*>(<svg.*?</svg>)</div>', text)
    assert len(drawings) == 8
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert all("nan" not in value for node in root.iter() for value in node.attrib.values())


def test_table_of_results(tmp_path):
    _, page = write(tmp_path, **everything())
    header, *rows = page.rows[:4]
    assert header[:3] == ["", "AP", "AP50"]
    assert [row[0] for row in rows] == ["stage 1", "stages 1~2", "stages 1~3"]
    ap90 = header.index("AP90")
    assert [row[ap90] for row in rows] == ["50.0", "54.0", "58.0"]
    assert [row[header.index("APl")] for row in rows] == ["–"] * 3
    cells = [attributes.get("class") for tag, attributes in page.tags if tag == "td"][: 3 * len(header) - 3]
    best = [cells[row * (len(header) - 1) + ap90 - 1] for row in range(3)]
    assert best == [None, None, "best"]


def test_headline_counts_the_gain_from_the_first_row(tmp_path):
    _, page = write(tmp_path, results={"a": result(0.5, 0.4), "b": result(0.6, -0.2)})
    tiles = "|".join(page.texts)
    assert "AP50 · IoU 0.50|60.0|+10.0 over a" in tiles
    assert "AP90 · IoU 0.90|52.0|−14.0 over a" in tiles
    assert (page.count("small", **{"class": "up"}), page.count("small", **{"class": "down"})) == (2, 2)


def test_one_result_has_no_gain_and_no_best(tmp_path):
    text, page = write(tmp_path, results={"only": result()})
    assert "Gain over" not in text
    assert page.count("td", **{"class": "best"}) == 0
    assert "AP over IoU" in page.texts


def with_masks(boxes: CocoResult, masks: CocoResult) -> CocoResult:
    return dataclasses.replace(boxes, mask=masks)


def test_masks_beside_boxes(tmp_path):
    results = {
        "stage 1": with_masks(result(0.5), result(0.4)),
        "stage 2": with_masks(result(0.5, 0.1), result(0.4, 0.2)),
    }
    _, page = write(tmp_path, results=results)
    header, *rows = page.rows[:7]
    assert [row[0] for row in rows] == ["Boxes", "stage 1", "stage 2", "Masks", "stage 1", "stage 2"]
    assert [row[header.index("AP90")] for row in rows if len(row) > 1] == ["50.0", "54.0", "40.0", "48.0"]
    for heading in ("Boxes: AP over IoU", "Masks: AP over IoU", "Masks: Gain over stage 1"):
        assert page.texts.count(heading) == 1
    tiles = "|".join(page.texts)
    assert "box AP90 · IoU 0.90|54.0|+4.0 over stage 1" in tiles
    assert "mask AP90 · IoU 0.90|48.0|+8.0 over stage 1" in tiles
    assert page.count("div", style="--n:4") == 1
    assert page.texts.count("How precision holds up as masks must fit more closely.") == 1


def test_classes_with_masks(tmp_path):
    both = with_masks(result(0.5), result(0.3))
    both.mask.per_class["class 1"] = dict.fromkeys(CLASS_KEYS, 0.25) | {"objects": 1234}
    _, page = write(tmp_path, results={"x": both})
    header, first, second = page.rows[-3:]
    assert header[2:] == [*(k := ["AP", "AP50", "AP75", "AP90", "AR100"]), *(f"mask {key}" for key in k)]
    assert first == ["class 0", "1,234", *["50.0"] * 5, *["30.0"] * 5]
    assert second == ["class 1", "1,234", *["50.0"] * 5, *["25.0"] * 5]


def test_boxes_alone_are_not_named(tmp_path):
    text, _ = write(tmp_path, **everything())
    assert not re.search(r"[Mm]asks?\b", text.partition("<body>")[2])


def test_says_why_masks_are_not_measured(tmp_path):
    without = dataclasses.replace(result(), no_mask="the ground truth has no <masks>")
    text, page = write(tmp_path, results={"a": without, "b": without})
    assert text.count("Masks are not measured: the ground truth has no &lt;masks&gt;.") == 1
    assert page.rows[1][0] == "a"


def test_masks_in_the_log(tmp_path):
    lines = log(4)
    for line in lines:
        line["losses"]["stage3_mask"] = 0.75
    lines += [
        {"step": step, "evaluation": {"AP": ap, "mask_AP": ap / 2, "mask_AP50": ap}}
        for step, ap in ((20, 0.25), (40, 0.375))
    ]
    _, page = write(tmp_path, history=lines)
    assert page.texts.count("Classification plus boxes plus masks.") == 1
    charts = [json.loads(tags["data-values"]) for _, tags in page.tags if "data-values" in tags]
    (values,) = (chart for chart in charts if chart["names"][:1] == ["AP"])
    assert values["names"] == ["AP", "mask AP", "mask AP50"]
    assert values["y"] == [["25.0", "37.5"], ["12.5", "18.8"], ["25.0", "37.5"]]
    losses = {name: values for name, _, values in History(lines).losses()}
    assert losses["stage 3"] == pytest.approx([0.5 + 1 / 3 + 0.75] * 4)


def test_classes_best_first_and_folded_when_many(tmp_path):
    few = result(0.5)
    few.per_class["rare"] = dict.fromkeys(CLASS_KEYS, NAN) | {"objects": 0}
    few.per_class["easy"] = dict.fromkeys(CLASS_KEYS, 0.9) | {"objects": 3}
    _, page = write(tmp_path, results={"x": few})
    assert [row[0] for row in page.rows[-4:]] == ["easy", "class 0", "class 1", "rare"]
    assert page.rows[-3][1:3] == ["1,234", "50.0"]
    assert page.rows[-1][1:] == ["0", "–", "–", "–", "–", "–"]
    _, page = write(tmp_path, results={"x": result(classes=80)})
    assert "All 80 classes" in page.texts


def test_pictures_survive(tmp_path):
    big = np.zeros((700, 2560, 3), np.uint8)
    _, page = write(tmp_path, pictures=[("small", picture()), ("big", big)])
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    small, large = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))) for source in sources
    )
    assert np.abs(small.astype(int) - picture()).max() <= 8
    assert large.shape == (350, 1280, 3)


@pytest.mark.parametrize("part", [None, *everything()])
def test_any_part_may_be_missing(tmp_path, part):
    parts = {} if part is None else {name: value for name, value in everything().items() if name != part}
    text, page = write(tmp_path, **parts)
    assert page.texts[0] == "A run"
    assert "None" not in text.replace("model.backbone.norm</dt><dd>None", "")


@pytest.mark.parametrize("part", list(everything()))
def test_any_part_may_stand_alone(tmp_path, part):
    _, page = write(tmp_path, **{part: everything()[part]})
    assert len(page.texts) > 3


def test_texts_are_escaped(tmp_path):
    evil = '</script><script>alert("x")</script>&\'<b>'
    numbers = result()
    numbers.per_class[evil] = dict.fromkeys(CLASS_KEYS, 0.1)
    path = write_report(
        tmp_path / "report.html",
        title=evil,
        summary=evil,
        settings={evil: {evil: evil}},
        history=[{"step": 1, evil: 2.0, "losses": {"stage1_class": 1.0}}],
        results={evil: numbers, evil + "2": numbers},
        pictures=[(evil, picture())],
        timings={evil: evil},
        files={evil: evil},
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert page.count("script") == 1
    assert page.count("b") == 5
    assert page.texts.count(evil) >= 8


def test_settings_times_and_files(tmp_path):
    _, page = write(tmp_path, **everything())
    names = [
        page.texts[page.texts.index(name) + 1]
        for name in ("model.heads.ious", "model.backbone.norm", "steps")
    ]
    assert names[:2] == ["0.5, 0.6, 0.7", "None"]
    values = {
        name: page.texts[page.texts.index(name) + 1] for name in ("train", "draw", "evaluate", "export")
    }
    assert values == {
        "train": "1 h 02 min", "draw": "1 min 05 s", "evaluate": "4.2 s", "export": "2 s, 4,000 nodes",
    }  # fmt: skip
    assert page.texts[page.texts.index("weights") + 1] == "run/best.weights.h5"


def test_a_wrong_picture_leaves_the_old_page(tmp_path):
    text, _ = write(tmp_path)
    with pytest.raises(ValueError, match=r"a picture must be uint8 \[H, W, 3\], got float64 \[4, 4, 3\]"):
        write(tmp_path, pictures=[("x", np.zeros((4, 4, 3)))])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == text


def test_history_nested_flat_and_out_of_order():
    nested = log(3)
    flat = [
        {"step": line["step"], "lr": line["lr"]}
        | {f"losses/{key}": value for key, value in line["losses"].items()}
        | {f"train/metrics/{key}": value for key, value in line["metrics"].items()}
        for line in nested
    ]
    for lines in (nested, flat[::-1]):
        history = History(lines)
        assert history.stages == [1, 2, 3]
        assert history.last_step() == 30
        assert history.values("stage2_iou_after") == ([10, 20, 30], [0.8] * 3)
        losses = {name: values for name, _, values in history.losses()}
        assert list(losses) == ["total", "RPN", "stage 1", "stage 2", "stage 3"]
        assert losses["RPN"] == [0.375] * 3
        assert losses["stage 2"] == [1.0] * 3
        assert losses["total"] == pytest.approx([0.375 + 1.5 + 1.0 + 0.5 + 1 / 3] * 3)


def test_evaluations_in_the_log(tmp_path):
    lines = log(4) + [
        {"step": step, "evaluation": {"AP": ap, "AP50": 2 * ap, "APl": None}}
        for step, ap in ((20, 0.25), (40, 0.375))
    ]
    text, page = write(tmp_path, history=lines)
    assert page.texts.count("Precision as training went on") == 1
    (values,) = (
        values
        for tag, attributes in page.tags
        if tag == "div"
        and (values := json.loads(attributes.get("data-values", "{}"))).get("names", [""])[0] == "AP"
    )
    assert values["label"] == ["step 20", "step 40"]
    assert values["y"][:2] == [["25.0", "37.5"], ["50.0", "75.0"]]
    text, _ = write(tmp_path, history=lines[:-1])
    assert "Precision as training went on" not in text


def test_history_prefers_the_logged_total_and_skips_what_is_no_number():
    lines = [
        {"step": 5, "total_loss": 7.0, "stage1_class": 1.0, "note": "x", "ok": True},
        {"event": "evaluation"},
    ]
    history = History(lines)
    assert [(name, values) for name, _, values in history.losses()] == [("total", [7.0]), ("stage 1", [1.0])]
    assert history.values("ok") == ([], [])
    assert History([]).last_step() == 0
    assert History([{"AP": 1.0}]).losses() == []


def test_running_means_neither_lag_nor_lean():
    x = np.arange(200.0)
    _, strong = smooth_lines("a", x, 3 * x, 0)
    np.testing.assert_allclose(strong.y[20:-20], 3 * x[20:-20], atol=1e-9)
    _, strong = smooth_lines("a", x, [NAN if i == 50 else 2.0 for i in range(200)], 0)
    np.testing.assert_allclose(strong.y, 2.0)
    _, strong = smooth_lines("a", [1.0], [NAN], 0)
    assert math.isnan(strong.y[0])


def test_long_logs_are_thinned():
    faint, strong = smooth_lines("a", np.arange(90000.0), np.ones(90000), 0)
    assert len(strong.x) <= 240
    assert strong.x[-1] > 89000
    assert faint.faint
    assert faint.name == ""


def plotted(chart: str) -> tuple[ElementTree.Element, dict]:
    root = ElementTree.fromstring(chart)
    return root, json.loads(root.find("div").attrib["data-values"])


def test_points_of_a_chart():
    chart = line_chart(
        "T", [Series("a", [0, 5, 10], [0.0, 50.0, 100.0], markers=True)], x_label="step", digits=1
    )
    root, values = plotted(chart)
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter("circle")]
    (x0, y0), (x1, y1), (x2, y2) = dots
    assert (x1, y1) == ((x0 + x2) / 2, (y0 + y2) / 2)
    assert x0 < x2
    assert y0 > y2
    assert values["x"] == [x0, x1, x2]
    assert values["label"] == ["step 0", "step 5", "step 10"]
    assert values["y"] == [["0.0", "50.0", "100.0"]]
    ticks = [text.text for text in root.iter("text")]
    assert {"0", "20", "40", "60", "80", "100", "step"} <= set(ticks)


def test_a_line_is_broken_where_it_is_not_finite():
    chart = line_chart("T", [Series("a", [0, 1, 2, 3], [1.0, NAN, 2.0, float("inf")])], x_label="x")
    root, values = plotted(chart)
    (path,) = root.iter("path")
    assert (path.attrib["d"].count("M"), path.attrib["d"].count("L")) == (2, 0)
    assert values["y"] == [["1.00", "2.00"]]


@pytest.mark.parametrize("y", [[0.0, 0.0], [5.0, 5.0], [-3.0, -3.0], [1e-9, 2e-9], [1e6, 3e6], [-1.0, 1.0]])
@pytest.mark.parametrize("from_zero", [True, False])
def test_axes_of_any_range(y, from_zero):
    root, _ = plotted(
        line_chart("T", [Series("a", [7, 9], y, markers=True)], x_label="x", from_zero=from_zero)
    )
    for dot in root.iter("circle"):
        assert 12 <= float(dot.attrib["cy"]) <= 256
    labels = [text.text for text in root.iter("text") if text.attrib.get("text-anchor") == "end"]
    assert 2 <= len(labels) <= 9
    assert len(set(labels)) == len(labels)


def test_nothing_to_plot():
    assert line_chart("T", [], x_label="x") == ""
    assert line_chart("T", [Series("a", [], [])], x_label="x") == ""
    assert line_chart("T", [Series("a", [1, 2], [NAN, NAN])], x_label="x") == ""
