"""Each kind of error on a picture of its own, and all of them as TIDE's own toolbox counts them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.metrics import evaluate_coco, evaluate_errors
from cascade_tf.metrics.error_costs import KINDS, REPAIRS
from tests.metrics import coco_cases

TIDE = json.loads((Path(__file__).parent / "tide_case.json").read_text(encoding="utf-8"))
SQUARE, DISC = 3, 7
BOX = [100.0, 100.0, 100.0, 100.0]
# IoU with BOX: 0.6, 1/3, 1/19 and 0.
CLOSE, NEAR, FAR, AWAY = ([100.0 + shift, 100.0, 100.0, 100.0] for shift in (25.0, 50.0, 90.0, 300.0))


def kinds_of(objects, detections) -> dict[str, int]:
    """Numbers of errors that there are; objects and detections are all in one image."""
    truth = [
        coco_cases.truth(10, category, box, i, **fields)
        for i, (category, box, fields) in enumerate(objects, start=1)
    ]
    found = [coco_cases.detection(10, *detection) for detection in detections]
    counts = evaluate_errors(coco_cases.dataset(truth), found).counts
    return {kind: int(numbers.sum()) for kind, numbers in counts.items() if numbers.any()}


@pytest.mark.parametrize(
    ("detections", "errors"),
    [
        ([(SQUARE, CLOSE, 0.9)], {}),
        ([(SQUARE, NEAR, 0.9)], {"localization": 1}),
        ([(DISC, CLOSE, 0.9)], {"class": 1}),
        ([(DISC, NEAR, 0.9)], {"both": 1, "missed": 1}),
        ([(SQUARE, FAR, 0.9)], {"background": 1, "missed": 1}),
        ([(SQUARE, AWAY, 0.9)], {"background": 1, "missed": 1}),
        ([(SQUARE, BOX, 0.9), (SQUARE, CLOSE, 0.8)], {"duplicate": 1}),
        # The better score finds the object, be its box the worse one.
        ([(SQUARE, CLOSE, 0.9), (SQUARE, BOX, 0.8)], {"duplicate": 1}),
        ([(SQUARE, BOX, 0.9), (DISC, BOX, 0.8)], {"class": 1}),
        ([(SQUARE, NEAR, 0.9), (DISC, BOX, 0.8)], {"localization": 1, "class": 1}),
        ([], {"missed": 1}),
    ],
)
def test_kind_of_one_detection(detections, errors):
    assert kinds_of([(SQUARE, BOX, {})], detections) == errors


def test_place_comes_before_class():
    beside = [(SQUARE, NEAR, {}), (DISC, BOX, {})]
    assert kinds_of(beside, [(SQUARE, BOX, 0.9)]) == {"localization": 1, "missed": 1}


def test_overlaps_at_the_two_thresholds():
    half = [100.0, 100.0, 100.0, 50.0]  # IoU 0.5
    tenth = [100.0, 100.0, 100.0, 10.0]  # IoU 0.1
    assert kinds_of([(SQUARE, BOX, {})], [(SQUARE, half, 0.9)]) == {}
    assert kinds_of([(SQUARE, BOX, {})], [(SQUARE, tenth, 0.9)]) == {"localization": 1}
    assert kinds_of([(SQUARE, BOX, {})], [(DISC, half, 0.9)]) == {"class": 1}
    assert kinds_of([(SQUARE, BOX, {})], [(DISC, tenth, 0.9)]) == {"background": 1, "missed": 1}


@pytest.mark.parametrize("field", ["iscrowd", "ignore"])
def test_objects_that_do_not_count(field):
    neutral = [(SQUARE, BOX, {field: 1})]
    assert kinds_of(neutral, [(SQUARE, BOX, 0.9)]) == {}
    # They are nobody's object.
    assert kinds_of(neutral, [(DISC, BOX, 0.9)]) == {"background": 1}
    assert kinds_of([*neutral, (SQUARE, AWAY, {})], [(SQUARE, BOX, 0.9)]) == {"missed": 1}


@pytest.mark.parametrize(("name", "iou_type"), [("boxes", "bbox"), ("masks", "segm")])
def test_equals_the_toolbox(name, iou_type):
    case = TIDE[name]
    result = evaluate_errors(case["annotations"], case["detections"], iou_type=iou_type)
    assert 100 * result.average_precision == pytest.approx(case["AP"], abs=1e-9)
    for repair, cost in result.costs().items():
        assert 100 * cost == pytest.approx(case["costs"][repair], abs=1e-9), repair
    assert {kind: counts.sum() for kind, counts in result.counts.items()} == case["counts"]
    of_class = dict(zip(result.classes, 100 * result.average_precisions[""], strict=True))
    assert np.isnan(of_class.pop("star"))
    assert of_class == pytest.approx(case["per_class_AP"], abs=1e-9)
    assert min(case["counts"].values()) > 0


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_starts_from_the_ap_of_coco(seed, masks):
    """With crowds, ignored objects, and scores that are equal."""
    content, detections = coco_cases.random_case(seed, masks=masks)
    for annotation in content["annotations"][::7]:
        annotation["ignore"] = 1
    iou_type = "segm" if masks else "bbox"
    expected = evaluate_coco(content, detections, iou_type=iou_type)
    result = evaluate_errors(content, detections, iou_type=iou_type)
    assert result.average_precision == pytest.approx(expected.summary["AP50"], abs=1e-12)
    of_classes = [numbers["AP50"] for numbers in expected.per_class.values()]
    np.testing.assert_allclose(result.average_precisions[""], of_classes, atol=1e-12)
    assert all(np.nanmin(costs) > -1e-12 for costs in result.class_costs().values())
    # Without false positives the precision is 1 up to the highest recall.
    reached = np.nanmean(result.average_precisions["false positives"])
    assert reached > result.average_precision
    for iou, precision in result.curves.items():
        assert np.nanmean(precision) == pytest.approx(expected.iou_curve[iou], abs=1e-12)


def test_best_of_several_claims_is_mended():
    """Two detections almost found the square; only the better one becomes right."""
    truth = [coco_cases.truth(10, SQUARE, BOX, 1)]
    found = [coco_cases.detection(10, SQUARE, NEAR, 0.6), coco_cases.detection(10, DISC, BOX, 0.5)]
    result = evaluate_errors(coco_cases.dataset(truth), found)
    costs = result.costs()
    assert result.average_precision == 0
    assert costs["localization"] == 1
    assert costs["class"] == 0
    found[0]["score"] = 0.4
    costs = evaluate_errors(coco_cases.dataset(truth), found).costs()
    # The class error moves to the squares and is the first of them, before the one in the wrong place.
    assert costs["class"] == 1
    assert costs["localization"] == 0


def test_nothing_found():
    truth = [coco_cases.truth(10, SQUARE, BOX, 1), coco_cases.truth(10, DISC, AWAY, 2)]
    costs = evaluate_errors(coco_cases.dataset(truth), []).costs()
    assert costs == dict.fromkeys(REPAIRS, 0.0) | {"missed": 1.0, "false negatives": 1.0}


@pytest.mark.parametrize("categories", [[], coco_cases.CATEGORIES[:1], coco_cases.CATEGORIES])
@pytest.mark.parametrize("num_images", [0, 2])
def test_nothing_to_find(categories, num_images):
    content = coco_cases.dataset([], num_images) | {"categories": categories}
    found = [coco_cases.detection(10, SQUARE, BOX, 0.9)] if categories and num_images else []
    result = evaluate_errors(content, found)
    assert np.isnan(result.average_precision)
    assert all(np.isnan(cost) for cost in result.costs().values())
    assert sum(counts.sum() for counts in result.counts.values()) == len(found)
    assert list(result.counts) == list(KINDS)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("change", [{"foreground": 0.1}, {"background": 0.0}, {"foreground": 1.1}])
def test_thresholds_out_of_order(change):
    from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects
    from cascade_tf.metrics.error_kinds import judge

    objects = CocoObjects(*np.zeros((5, 0)))
    with pytest.raises(ValueError, match="0 < background < foreground <= 1"):
        judge(objects, CocoDetections(*np.zeros((4, 0))), lambda rows, members: rows, **change)
