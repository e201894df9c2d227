"""Figures about the stages of a detector, as charts and CSV."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from cascade_tf.analysis.stage_boxes import StageBoxes
from cascade_tf.report.analysis import (
    RunBoxes,
    classification_figure,
    detections_figure,
    localization_figures,
    offset_figures,
    overlap_figures,
    precision_figure,
    write_analysis,
)
from cascade_tf.report.side_by_side import Found, Scene
from tests.report.reading import Page


def stage(shift=0.0):
    before = np.array([0.51, 0.52, 0.9, 0.2], np.float32)
    after = np.array([0.6, 0.8, 0.7, 0.1], np.float32) + shift
    return StageBoxes(before, after, np.array([1.0, 3.0, 0.5, 9.0], np.float32), before, after)


def read(figure, folder, table=0):
    with figure.tables[table].write_csv(folder).open() as file:
        return list(csv.DictReader(file))


def test_regression_and_loss_over_iou(tmp_path):
    run = RunBoxes([stage(), stage(0.1), stage(0.15)], num_stages=2)
    own, along = localization_figures({"mine": run})
    rows = [row for row in read(own, tmp_path) if row["boxes"] != "0"]
    assert [(row["line"], row["mean"], row["boxes"]) for row in rows] == [
        ("regressor 1", "0.7", "2"),
        ("regressor 1", "0.7", "1"),
        ("regressor 2", "0.8", "2"),
        ("regressor 2", "0.8", "1"),
    ]
    assert {row["line"] for row in read(along, tmp_path)} == {"after 1", "after 2", "after 3"}
    rows = [row for row in read(classification_figure({"mine": run}), tmp_path) if row["boxes"] != "0"]
    assert [(float(row["iou"]), row["mean"], row["boxes"]) for row in rows[:3]] == [
        (pytest.approx(0.2125), "9", "1"),
        (pytest.approx(0.5125), "2", "2"),
        (pytest.approx(0.8875), "0.5", "1"),
    ]


def test_the_curves_of_several_runs_are_in_one_chart(tmp_path):
    runs = {
        "faster": RunBoxes([stage(), stage(0.05), stage(0.15)], num_stages=1),
        "cascade": RunBoxes([stage(), stage(0.1), stage(0.2), stage(0.25)], num_stages=4),
    }
    own, along = localization_figures(runs)
    loss = classification_figure(runs)
    for figure, names in (
        (own, ["faster: regressor 1", *(f"cascade: regressor {n}" for n in (1, 2, 3, 4))]),
        (along, [*(f"faster: after {n}" for n in (1, 2, 3)), *(f"cascade: after {n}" for n in (1, 2, 3, 4))]),
        (loss, [f"{run}: classifier {n + 1}" for run in runs for n in range(len(runs[run].outputs))]),
    ):
        rows = read(figure, tmp_path)
        assert list(dict.fromkeys(row["line"] for row in rows)) == names
        assert all(name in figure.drawing for name in names)
    values = {row["line"]: row["mean"] for row in read(along, tmp_path) if row["boxes"] == "2"}
    assert (values["faster: after 2"], values["cascade: after 3"]) == ("0.75", "0.9")
    # The seventh line is the second of its colour, and so it is dotted, as the diagonal is.
    assert along.drawing.count('class="line dashed"') == 2
    assert own.drawing.count('class="line dashed"') == 1


def test_histograms_say_the_shares_above_the_thresholds(tmp_path):
    overlaps = [np.array([0.05, 0.55, 0.65, 0.75]), np.array([0.65, 0.72])]
    first, second = overlap_figures("samples", "Training", overlaps, (0.5, 0.7))
    assert "75.0 % ≥ 0.5, 50.0 % ≥ 0.6, 25.0 % ≥ 0.7" in first.drawing
    assert "own u is 0.7: 50.0 %" in second.drawing
    assert [row["boxes"] for row in read(first, tmp_path)] == [*"1000011100"]
    shares = [tuple(row.values()) for row in read(first, tmp_path, table=1)]
    assert shares == [("0.5", "3", "0.75"), ("0.6", "2", "0.5"), ("0.7", "1", "0.25")]
    assert [table.name for table in first.tables] == ["samples_1", "samples_1_shares"]


def test_shares_above_a_stages_own_threshold_too(tmp_path):
    (figure,) = overlap_figures("samples", "Training", [np.array([0.7, 0.74, 0.8, 0.2])], (0.75,))
    assert [row["iou"] for row in read(figure, tmp_path, table=1)] == ["0.5", "0.6", "0.7", "0.75"]
    assert read(figure, tmp_path, table=1)[-1]["share"] == "0.25"


def test_offsets_have_their_moments_with_and_without_outliers(tmp_path):
    deltas = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.2], [0.9, -0.9, 0.0, 0.0]], np.float32)
    batches = [[(deltas[:2], np.array([0.6, 0.7]))], [(deltas[2:], np.array([0.4]))]]
    centres, sizes = offset_figures(batches, (0.5,))
    rows = read(centres, tmp_path)
    assert [(row["hypotheses"], row["offset"], row["count"]) for row in rows] == [
        ("all", "dx", "3"),
        ("all", "dy", "3"),
        ("without outliers", "dx", "2"),
        ("without outliers", "dy", "2"),
    ]
    assert [float(row["mean"]) for row in rows] == pytest.approx([1.3 / 3, -0.1, 0.2, 0.3], abs=1e-5)
    assert float(rows[2]["std"]) == pytest.approx(0.1, abs=1e-5)
    points = [tuple(row.values()) for row in read(centres, tmp_path, table=1)]
    assert points == [("0.1", "0.2", "0.6", "0"), ("0.3", "0.4", "0.7", "0"), ("0.9", "-0.9", "0.4", "1")]
    assert list(read(sizes, tmp_path, table=1)[0]) == ["dw", "dh", "iou", "outlier"]
    # What lies beyond the axes is not drawn, but counted.
    assert centres.drawing.count("h.1") == 2
    assert sizes.drawing.count("h.1") == 3


def test_of_many_offsets_some_are_points_and_all_have_part_in_the_moments(tmp_path):
    deltas = np.zeros((50_000, 4), np.float32)
    deltas[:, 0] = np.linspace(-0.5, 0.5, len(deltas))
    figure, _ = offset_figures([[(deltas, np.full(len(deltas), 0.6))]], (0.5,))
    assert read(figure, tmp_path)[0]["count"] == "50000"
    points = np.array([float(row["dx"]) for row in read(figure, tmp_path, table=1)])
    assert len(points) == 20_000
    assert points[[0, 10_000, -1]] == pytest.approx([-0.5, 0.0, 0.5], abs=1e-3)


def test_a_stage_without_hypotheses_has_no_moments(tmp_path):
    nothing = [[(np.zeros((0, 4), np.float32), np.zeros(0))]]
    figure, _ = offset_figures(nothing, (0.5,))
    assert figure.drawing == ""
    assert {row["mean"] for row in read(figure, tmp_path)} == {""}


def test_the_page_holds_every_figure(tmp_path):
    curves = {"after stage 1": {0.5: 0.9, 0.75: 0.4}, "after stage 2": {0.5: 0.8, 0.75: np.nan}}
    boxes = {"mine": RunBoxes([stage()], num_stages=1)}
    figures = [precision_figure("precision", "AP after each stage", curves), classification_figure(boxes)]
    page = Page(write_analysis(tmp_path / "analysis.html", "mine", figures).read_text())
    assert "Stages of mine" in page.texts
    assert "AP after each stage" in page.texts
    assert [tag for tag, _ in page.tags].count("figure") == 2
    rows = read(figures[0], tmp_path)
    assert [row["ap"] for row in rows] == ["0.9", "0.4", "0.8", ""]


def test_detections_have_the_iou_with_the_object_that_they_overlap_most(tmp_path):
    objects = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    pixels = np.zeros((16, 40, 3), np.uint8)
    one = Found(np.array([[0.0, 0.0, 10.0, 5.0]]), np.array([0.9]), ["disc"])
    other = Found(
        np.array([[21.0, 0.0, 30.0, 10.0], [0.0, 12.0, 4.0, 16.0]]), np.array([0.5, 0.7]), ["<i>", "disc"]
    )
    nothing = Found(np.zeros((0, 4)), np.zeros(0), [])
    figure = detections_figure(
        [
            Scene("a.png", pixels, objects, {"u50": one, "cascade": other}),
            Scene("b.png", pixels, np.zeros((0, 4)), {"u50": one, "cascade": nothing}),
        ]
    )
    rows = read(figure, tmp_path)
    assert [(row["picture"], row["detector"], row["class"], row["iou"]) for row in rows] == [
        ("a.png", "u50", "disc", "0.5"),
        ("a.png", "cascade", "<i>", "0.9"),
        ("a.png", "cascade", "disc", "0"),
        ("b.png", "u50", "disc", "0"),
    ]
    text = write_analysis(tmp_path / "page.html", "run", [figure]).read_text()
    page = Page(text)
    assert page.count("image") == 6
    assert page.count("rect", **{"class": "object"}) == 2 * 3
    # Of one detector the best score lies on top.
    labels = [shown for shown in page.texts if shown.startswith("0.")]
    assert labels == ["0.50", "0.90", "0.00", "0.00"]
    assert "<i>, score 0.50" in page.texts
