"""PASCAL VOC's protocols: by hand, and the published figures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cascade_tf.formats.voc import CLASSES, VocDetections, VocObjects, read_objects, read_results
from cascade_tf.metrics.voc import evaluate_voc
from tests.metrics.oracles import FOLDER, oracle

BOX = (10.0, 10.0, 30.0, 30.0)
ELSEWHERE = (200.0, 200.0, 220.0, 220.0)
# Sums of a few terms in another order.
EXACT = 1e-12


def truth(*rows):
    """Objects from (image, box, difficult), all of them cats."""
    images, boxes, difficult = zip(*rows, strict=True) if rows else ((), (), ())
    return VocObjects(
        np.array(images, str),
        np.full(len(rows), "cat"),
        np.array(boxes, float).reshape(-1, 4),
        np.array(difficult, bool),
    )


def found(*rows):
    """Detections from (image, box, score), all of them cats."""
    images, boxes, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return VocDetections(
        np.array(images, str),
        np.full(len(rows), "cat"),
        np.array(boxes, float).reshape(-1, 4),
        np.array(scores, float),
    )


def ap(objects, detections, edition=2010, iou=0.5):
    return evaluate_voc(objects, detections, edition=edition, iou=iou)["AP/cat"]


def moved(box, shift):
    return (box[0] + shift, box[1], box[2] + shift, box[3])


def test_one_of_two_found_behind_a_false_one():
    objects = truth(("a", BOX, 0), ("b", BOX, 0))
    detections = found(("a", ELSEWHERE, 0.9), ("b", BOX, 0.8))
    assert ap(objects, detections) == pytest.approx(100 * 0.5 * 0.5)
    # Recalls 0, .1, ..., .5 have the precision 1/2.
    assert ap(objects, detections, 2007) == pytest.approx(100 * 6 * 0.5 / 11)


def test_best_precision_at_a_recall_or_above():
    objects = truth(*((name, BOX, 0) for name in "abcd"))
    detections = found(("a", ELSEWHERE, 0.9), *((name, BOX, 0.8 - i / 10) for i, name in enumerate("abcd")))
    # Precisions 0, 1/2, 2/3, 3/4, 4/5: the last is the best of all before it.
    assert ap(objects, detections) == pytest.approx(80)
    assert ap(objects, detections, 2007) == pytest.approx(80)


def test_recall_of_three_tenths_does_not_reach_the_level():
    objects = truth(*((str(i), BOX, 0) for i in range(10)))
    three = found(*((str(i), BOX, 0.9) for i in range(3)))
    assert ap(objects, three, 2007) == pytest.approx(100 * 3 / 11)
    two = found(*((str(i), BOX, 0.9) for i in range(2)))
    assert ap(objects, two, 2007) == pytest.approx(100 * 3 / 11)
    assert ap(objects, three) == pytest.approx(30)


def test_a_second_detection_of_an_object_is_false_even_if_another_is_near():
    objects = truth(("a", BOX, 0), ("a", moved(BOX, 2), 0))
    # Both overlap the first object most.
    detections = found(("a", BOX, 0.9), ("a", moved(BOX, 0.5), 0.8))
    assert ap(objects, detections) == pytest.approx(50)


def test_difficult_objects_count_for_nothing():
    objects = truth(("a", BOX, 1), ("b", BOX, 0))
    # Twice the difficult one: neither is an error.
    detections = found(("a", BOX, 0.9), ("a", BOX, 0.8), ("b", BOX, 0.7))
    assert ap(objects, detections) == pytest.approx(100)
    assert math.isnan(ap(truth(("a", BOX, 1)), detections))


@pytest.mark.parametrize(("width", "expected"), [(10.0, 0), (10.001, 100)])
def test_an_overlap_of_exactly_the_threshold_is_too_little(width, expected):
    detections = found(("a", (10.0, 10.0, 10.0 + width, 30.0), 0.9))
    assert ap(truth(("a", BOX, 0)), detections) == pytest.approx(expected)


@pytest.mark.parametrize("edition", [2007, 2010])
def test_of_equal_scores_the_first_comes_first(edition):
    objects = truth(("a", BOX, 0))
    right, wrong = ("a", BOX, 0.5), ("a", ELSEWHERE, 0.5)
    assert ap(objects, found(right, wrong), edition) == pytest.approx(100)
    assert ap(objects, found(wrong, right), edition) == pytest.approx(50)


def test_images_without_detections_or_objects():
    objects = truth(("a", BOX, 0))
    assert ap(objects, found()) == 0
    assert ap(objects, found(("b", BOX, 0.9), ("a", BOX, 0.8))) == pytest.approx(50)
    nothing = evaluate_voc(truth(), found(), edition=2007)
    assert list(nothing) == ["mAP", *(f"AP/{name}" for name in CLASSES)]
    assert all(math.isnan(value) for value in nothing.values())


def test_the_mean_is_of_classes_with_objects():
    objects = truth(("a", BOX, 0), ("b", BOX, 0))
    objects.classes[:] = ["dog", "cow"]
    detections = found(("a", BOX, 0.9), ("b", BOX, 0.9))
    detections.classes[:] = ["dog", "cat"]
    numbers = evaluate_voc(objects, detections, edition=2010)
    assert (numbers["AP/dog"], numbers["AP/cow"], numbers["mAP"]) == pytest.approx((100, 0, 50))
    assert math.isnan(numbers["AP/cat"])


def test_other_editions_are_refused():
    with pytest.raises(ValueError, match="edition must be 2007 or 2010, got 2012"):
        evaluate_voc(truth(), found(), edition=2012)


@pytest.mark.parametrize(
    ("edition", "iou", "published"),
    [(2007, 0.5, 88.64), (2010, 0.5, 89.58), (2007, 0.75, 49.24), (2010, 0.75, 50.97)],
)
def test_published_figures_of_ten_images(edition, iou, published):
    folder = oracle("voc") / "toy_cats"
    split, detections = read_results(folder / "dets")
    _, objects = read_objects(folder / "VOCdevkit", split)
    assert round(evaluate_voc(objects, detections, edition=edition, iou=iou)["AP/cat"], 2) == published


@pytest.mark.parametrize(("edition", "name"), [(2007, "iou0.50_voc07_11pt"), (2010, "iou0.50_area")])
def test_recorded_figures_of_a_hundred_images(edition, name):
    folder = oracle("voc") / "real100"
    devkit = FOLDER.parent / "data" / "voc_sample" / "VOCdevkit"
    if not devkit.is_dir():
        pytest.skip(f"no {devkit}")
    split, detections = read_results(folder / "dets_real")
    images, objects = read_objects(devkit, split)
    assert (len(images), len(objects.boxes), int(objects.difficult.sum())) == (100, 273, 38)
    numbers = evaluate_voc(objects, detections, edition=edition)
    recorded = json.loads((folder / "expected.json").read_text())["real"][name]
    expected = {"mAP": recorded["mAP"], **{f"AP/{c}": v for c, v in recorded["per_class"].items()}}
    assert {key: value / 100 for key, value in numbers.items()} == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize(
    ("edition", "iou", "recorded", "digits"),
    [(2007, 0.3, 26.84, 2), (2010, 0.3, 24.57, 2), (2007, 0.5, 3.0303, 4), (2010, 0.5, 2.2222, 4)],
)
def test_recorded_figures_of_seven_images(edition, iou, recorded, digits):
    """A sample whose boxes are x, y, width and height of pixels that are points."""
    folder = oracle("voc_toy") / "sample_2"

    def rows(kind):
        return [
            (path.stem, *map(float, line.split()[1:]))
            for path in sorted((folder / kind).glob("*.txt"))
            for line in path.read_text().splitlines()
        ]

    def corners(x, y, width, height):
        return (x, y, x + width + 1, y + height + 1)

    objects = truth(*((image, corners(*box), 0) for image, *box in rows("groundtruths")))
    detections = found(*((image, corners(*box), score) for image, score, *box in rows("detections")))
    assert (len(objects.boxes), len(detections.boxes)) == (15, 24)
    assert round(ap(objects, detections, edition, iou), digits) == recorded
