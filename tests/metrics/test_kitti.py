"""KITTI's protocol: by hand, against slow loops, and recorded figures of the official program."""

from __future__ import annotations

import json
import math
import tarfile

import numpy as np
import pytest

from cascade_tf.formats.kitti import KittiDetections, KittiObjects, read_frames
from cascade_tf.metrics.kitti import CLASSES, LEVELS, POINTS, RULES, evaluate_kitti, precision_curve
from tests.metrics.kitti_loop import curve
from tests.metrics.oracles import oracle

BOX = (0.0, 0.0, 100.0, 50.0)
LOW = (0.0, 0.0, 100.0, 39.0)
FAR = (500.0, 100.0, 600.0, 150.0)


def frame(labels, detections):
    """One frame from rows of (type, box, truncated, occluded) and (type, box, score)."""
    kinds, boxes, truncated, occluded = zip(*labels, strict=True) if labels else ((),) * 4
    types, places, scores = zip(*detections, strict=True) if detections else ((),) * 3
    return (
        KittiObjects(
            np.array(kinds, str),
            np.array(boxes, float).reshape(-1, 4),
            np.array(truncated, float),
            np.array(occluded, float),
        ),
        KittiDetections(
            np.array(types, str), np.array(places, float).reshape(-1, 4), np.array(scores, float)
        ),
    )


def label(box=BOX, kind="Car", truncated=0.0, occluded=0):
    return kind, box, truncated, occluded


def found(box=BOX, score=0.9, kind="Car"):
    return kind, box, score


def first(labels, detections, name="car", level="easy", rule=2017):
    """Precision at the first step of recall: all that a single object has."""
    return precision_curve([frame(labels, detections)], name, level, rule=rule)[0]


def test_names_of_the_numbers():
    numbers = evaluate_kitti([frame([label()], [found()])])
    assert list(numbers) == [
        f"{name}/{average}/{level}"
        for name in ("car", "pedestrian", "cyclist")
        for average in ("AP11", "AP40")
        for level in ("easy", "moderate", "hard")
    ]
    # One threshold, at recall 0, which AP40 leaves out.
    assert numbers["car/AP11/easy"] == pytest.approx(100 / 11)
    assert numbers["car/AP40/easy"] == 0
    assert math.isnan(numbers["cyclist/AP11/hard"])


def test_all_forty_steps_and_a_false_one_at_every_other():
    places = [(0.0, 60.0 * i, 100.0, 60.0 * i + 50) for i in range(40)]
    frames = [frame([label(box)], [found(box, 1 - i / 100)]) for i, box in enumerate(places)]
    assert evaluate_kitti(frames)["car/AP40/easy"] == pytest.approx(100 * 39 / 40)
    # The last threshold lets everything pass: 40 of 60 are right, and 20 of 30 at the middle.
    frames += [frame([], [found(FAR, 1 - i / 50)]) for i in range(20)]
    precisions = precision_curve(frames, "car", "easy")
    assert precisions[39] == pytest.approx(40 / 60)
    assert precisions[40] == 0


def test_objects_beyond_the_level_are_neither_missed_nor_found():
    seen = [label(FAR), label(BOX, occluded=1)]
    assert first(seen, [found(FAR), found(BOX)]) == 1
    assert precision_curve([frame(seen, [found(FAR), found(BOX)])], "car", "moderate")[:3].tolist() == [
        1,
        1,
        0,
    ]
    for other in (label(LOW), label(truncated=0.16), label(kind="Van")):
        assert first([label(FAR), other], [found(FAR), found(other[1])]) == 1
        assert first([label(FAR), other], [found(FAR)]) == 1


@pytest.mark.parametrize(
    "limit", [label((0.0, 0.0, 100.0, 40.0)), label(truncated=0.15), label(occluded=0)], ids=str
)
def test_an_object_just_within_the_level_counts(limit):
    assert precision_curve([frame([limit], [])], "car", "easy").tolist() == [0] * POINTS


def test_an_overlap_of_exactly_the_threshold_is_too_little():
    # 70 of 100 pixels across.
    assert first([label()], [found((0.0, 0.0, 70.0, 50.0))]) == 0
    assert first([label()], [found((0.0, 0.0, 70.1, 50.0))]) == 1
    assert first([label(kind="Cyclist")], [found((0.0, 0.0, 50.0, 50.0), kind="Cyclist")], "cyclist") == 0


def test_a_similar_class_may_be_found_and_another_not():
    sitting = [label(FAR, "Pedestrian"), label(BOX, "Person_sitting")]
    detections = [found(FAR, kind="Pedestrian"), found(BOX, kind="Pedestrian")]
    assert first(sitting, detections, "pedestrian") == 1
    assert first([label(FAR), label(kind="Truck")], [found(FAR), found()]) == 0.5


def test_names_may_be_in_any_case():
    assert first([label(kind="CAR")], [found(kind="cAr")]) == 1


def test_regions_that_nobody_cares_for():
    region = label((400.0, 0.0, 800.0, 300.0), "DontCare", -1, -1)
    detections = [found(), found(FAR), found((350.0, 0.0, 450.0, 50.0))]
    # The third lies in the region by half.
    assert first([label(), region], detections) == 0.5
    assert first([label()], detections) == pytest.approx(1 / 3)


def test_the_first_pass_goes_by_score_the_second_by_overlap():
    near = (0.0, 0.0, 100.0, 60.0)
    detections = [found(BOX, 0.5), found(near, 0.9), found(FAR, 0.7)]
    # By score: the threshold is 0.9. There the better one is left out, and the false one too.
    assert first([label()], detections) == 1
    # Both are there: the other one is false.
    assert first([label()], [found(BOX, 0.9), found(near, 0.9)]) == 0.5


def test_the_order_of_the_labels_decides():
    between = (0.0, 5.0, 100.0, 55.0)
    shifted = (0.0, 10.0, 100.0, 60.0)
    hard = label(shifted, occluded=2)
    # One detection for two objects: if the ignored one comes first, the other is missed.
    assert first([label(), hard], [found(between)]) == 1
    assert first([hard, label()], [found(between)]) == 0


def test_low_detections_are_errors_until_2016():
    low = found((500.0, 0.0, 600.0, 39.9))
    assert first([label()], [found(), low], rule=2016) == 0.5
    assert first([label()], [found(), low], rule=2017) == 1
    at_the_limit = found((500.0, 0.0, 600.0, 40.0))
    assert first([label()], [found(), at_the_limit], rule=2017) == 0.5


def test_a_low_detection_of_any_class_takes_an_object():
    tall = label((0.0, 0.0, 100.0, 41.0))
    low = found((0.0, 0.0, 100.0, 39.0), 0.9, "Pedestrian")
    car = found((0.0, 0.0, 100.0, 41.0), 0.8)
    # In the first pass the object takes the low one for its score: there is no score to measure at.
    assert first([tall], [low, car], rule=2017) == 0
    assert first([tall], [low, car], rule=2016) == 1
    # In the second pass one that counts goes before it.
    assert first([tall], [found(low[1], 0.7, "Pedestrian"), car], rule=2017) == 1


def test_frames_without_labels_or_detections():
    empty = frame([], [])
    assert all(math.isnan(value) for value in evaluate_kitti([empty]).values())
    assert all(math.isnan(value) for value in evaluate_kitti([]).values())
    assert first([label()], []) == 0
    assert precision_curve([empty, frame([label()], [found()]), empty], "car", "easy")[0] == 1


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="rule must be 2016 or 2017, got 2018"):
        evaluate_kitti([], rule=2018)


def drawn(generator):
    """Rows of a frame: objects that stand close together, and detections of all classes near them."""
    kinds = ["Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Truck", "DontCare"]
    labels, detections = [], []
    for _ in range(generator.integers(0, 9)):
        x, y = generator.integers(0, 150, 2).astype(float)
        height = float(generator.integers(20, 90))
        box = (x, y, x + 1.5 * height, y + height)
        kind = kinds[generator.integers(len(kinds))]
        truncated, occluded = (
            float(generator.choice([0, 0, 0.15, 0.3, 0.6])),
            int(generator.choice([0, 0, 1, 2, 3])),
        )
        labels.append((kind, box, truncated, occluded))
        for _ in range(generator.integers(0, 4)):
            near = tuple(float(side) for side in np.array(box) + generator.integers(-2, 3, 4))
            other = kind if generator.random() < 0.7 else kinds[generator.integers(5)]
            # Few values: scores are often equal.
            detections.append((other, near, float(generator.integers(1, 30)) / 30))
    return labels, detections


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_loop(rule):
    generator = np.random.default_rng(7)
    rows = [drawn(generator) for _ in range(150)]
    frames = [frame(*each) for each in rows]
    values = []
    for name in CLASSES:
        for level in LEVELS:
            expected = curve(rows, name, level, rule)
            assert precision_curve(frames, name, level, rule=rule).tolist() == pytest.approx(expected, abs=0)
            values.append(np.mean(expected))
    assert 0.03 < min(values) < max(values) < 0.9


@pytest.mark.parametrize(("rule", "name"), [(2016, "old"), (2017, "new")])
def test_figures_of_the_official_program(rule, name, tmp_path):
    folder = oracle("kitti")
    with tarfile.open(folder / "kittibox_val.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    frames = read_frames(tmp_path / "val_gt", tmp_path / "val_pred")
    assert len(frames) == 481
    curves = np.loadtxt(folder / f"expected_{name}" / "stats_car_detection.txt")
    recorded = json.loads((folder / "expected.json").read_text())[name]["car"]
    numbers = evaluate_kitti(frames.values(), rule=rule)
    for level, printed in zip(LEVELS, curves, strict=True):
        precisions = precision_curve(frames.values(), "car", level, rule=rule)
        assert [f"{value:.6f}" for value in precisions] == [f"{value:.6f}" for value in printed]
        # The figures were computed from precisions of six digits.
        for average, expected in recorded[level].items():
            assert numbers[f"car/{average}/{level}"] == pytest.approx(expected, abs=1e-4)
