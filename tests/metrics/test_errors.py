"""The confusion matrix, the worst images, and how all of it is written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from cascade_tf.metrics import evaluate_errors
from cascade_tf.metrics.error_costs import KINDS
from cascade_tf.metrics.error_kinds import Verdict
from cascade_tf.metrics.worst_images import STATES
from tests.metrics import coco_cases

SQUARE, DISC, STAR = 3, 7, 12


def box(x: float, y: float = 0.0, width: float = 100.0) -> list[float]:
    return [x, y, width, 100.0]


def one_of_each() -> tuple[dict, list[dict]]:
    """Image 10: right, a duplicate, a wrong class, one that is not seen. Image 11: false, missed, a crowd."""
    objects = [
        coco_cases.truth(10, SQUARE, box(0), 1),
        coco_cases.truth(10, DISC, box(200), 2),
        coco_cases.truth(10, STAR, box(400), 3),
        coco_cases.truth(11, DISC, box(0), 4),
        coco_cases.truth(11, DISC, box(200), 5, iscrowd=1),
    ]
    found = [
        coco_cases.detection(10, SQUARE, box(10), 0.9),
        coco_cases.detection(10, SQUARE, box(5), 0.8),
        coco_cases.detection(10, SQUARE, box(210), 0.7),
        coco_cases.detection(10, STAR, box(400), 0.4),
        coco_cases.detection(11, STAR, box(450), 0.95),
        coco_cases.detection(11, DISC, box(210, width=50.0), 0.9),
    ]
    return coco_cases.dataset(objects), found


def test_confusion_matrix():
    matrix = evaluate_errors(*one_of_each()).confusion
    np.testing.assert_array_equal(
        matrix,
        [
            [1, 0, 0, 0],
            [1, 0, 0, 1],
            [0, 0, 0, 1],
            [1, 0, 1, 0],
        ],
    )


def test_own_class_comes_first():
    """A square almost where a disc is: both are found, though the better one of the two fits both objects."""
    objects = [coco_cases.truth(10, SQUARE, box(0), 1), coco_cases.truth(10, DISC, box(10), 2)]
    found = [coco_cases.detection(10, DISC, box(2), 0.9), coco_cases.detection(10, SQUARE, box(8), 0.8)]
    matrix = evaluate_errors(coco_cases.dataset(objects), found).confusion
    assert matrix[0, 0] == matrix[1, 1] == 1
    assert matrix.sum() == 2


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_each_object_and_each_detection_is_in_the_matrix_once(seed, threshold):
    content, detections = coco_cases.random_case(seed, num_images=30)
    content["annotations"] = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    result = evaluate_errors(content, detections, score_threshold=threshold)
    seen = [entry for entry in detections if entry["score"] >= threshold]
    ids = [category["id"] for category in content["categories"]]
    for k, category in enumerate(ids):
        objects = [entry for entry in content["annotations"] if entry["category_id"] == category]
        assert result.confusion[k].sum() == len(objects)
        assert result.confusion[:, k].sum() == sum(entry["category_id"] == category for entry in seen)
    assert result.confusion[-1, -1] == 0
    # The diagonal is what the protocol calls right: without false positives AP is the recall that is reached.
    found = np.diag(result.confusion)[:2] / result.objects[:2]
    right = evaluate_errors(content, seen).average_precisions["false positives"][:2]
    assert list(np.floor(100 * found + 1e-9) + 1) == pytest.approx(101 * right)


def test_worst_images():
    content, detections = one_of_each()
    result = evaluate_errors(content, detections)
    worst, other = result.images
    # One missed and a false one of 0.95; a duplicate, a wrong class, and one star not found at this score.
    assert (worst.image_id, other.image_id) == (10, 11)
    assert worst.weight == pytest.approx(0.8 + 0.7 + 1)
    assert other.weight == pytest.approx(0.95 + 1)
    assert worst.errors() == {"class": 1, "duplicate": 1, "missed": 1}
    assert other.errors() == {"background": 1, "missed": 1}
    assert [STATES[state] for state in worst.states] == ["found", "nearly found", "missed"]
    assert [STATES[state] for state in other.states] == ["missed", "does not count"]
    assert [Verdict(v).name for v in worst.verdicts] == ["RIGHT", "DUPLICATE", "CLASS"]
    assert [Verdict(v).name for v in other.verdicts] == ["BACKGROUND", "NEUTRAL"]
    np.testing.assert_array_equal(worst.boxes[0], [10, 0, 110, 100])
    np.testing.assert_array_equal(worst.object_boxes[1], [200, 0, 300, 100])
    assert len(evaluate_errors(content, detections, num_images=1).images) == 1


def test_perfect_images_are_not_among_the_worst():
    content, _ = one_of_each()
    perfect = [
        coco_cases.detection(entry["image_id"], entry["category_id"], entry["bbox"], 0.9)
        for entry in content["annotations"]
    ]
    result = evaluate_errors(content, perfect)
    assert result.images == ()
    assert result.average_precision == 1
    assert all(cost == 0 for cost in result.costs().values())


def test_images_can_be_selected():
    content, detections = one_of_each()
    result = evaluate_errors(content, detections, image_ids=[11])
    assert [image.image_id for image in result.images] == [11]
    assert result.objects.tolist() == [0, 1, 0]


def test_table_and_files(tmp_path):
    result = evaluate_errors(*one_of_each())
    lines = result.to_table().splitlines()
    assert [line.split()[0] for line in lines[2:8]] == list(KINDS)
    cost, errors, seen = lines[2 + KINDS.index("missed")].split()[1:]
    assert (errors, seen) == ("1", "2")
    assert float(cost) == pytest.approx(100 * result.costs()["missed"], abs=0.05)
    content = json.loads(result.to_json(tmp_path / "errors.json").read_text())
    assert content["kinds"]["class"]["errors"] == 1
    assert content["per_class"]["disc"]["costs"]["class"] == pytest.approx(0.5 - 0, abs=0.01)
    assert content["confusion"]["counts"][1] == [1, 0, 0, 1]
    assert len(content["precision_at_recall"]["0.75"]["star"]) == 101
    assert [image["image_id"] for image in content["worst_images"]] == [10, 11]
    with open(result.confusion_csv(tmp_path / "confusion.csv"), newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["object", "square", "disc", "star", "missed"]
    assert rows[2] == ["disc", "1", "0", "0", "1"]
    assert rows[4] == ["background", "1", "0", "1", "0"]
