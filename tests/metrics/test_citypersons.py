"""CityPersons' miss rate: recorded numbers of the official evaluation, and each rule by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from cascade_tf.formats.citypersons import Pedestrians, read_detections, read_ground_truth
from cascade_tf.metrics import evaluate_citypersons
from cascade_tf.metrics.citypersons import log_average_miss_rate
from tests.metrics.oracles import oracle

# Its names for the subsets.
RECORDED_NAMES = {
    "Reasonable": "reasonable",
    "Reasonable_small": "reasonable_small",
    "Reasonable_occ=heavy": "heavy",
    "All": "all",
    "bare": "bare",
    "partial": "partial",
    "heavy_csp": "heavy_csp",
}
# The official evaluation (cvgroup-njust/CityPersons 839c22fb) with iouThrs = [0.75] on the same files.
AT_75 = {
    "csp_normal_val_dt": ("41.7550618102", "48.5954652280", "80.8818112878", "66.9414268440"),
    "csp_snow_val_dt": ("52.2266855159", "56.0543771200", "85.7044433247", "73.5324684633"),
}
BOX = (0.0, 0.0, 40.0, 100.0)


def people(boxes, heights=None, visibility=None, ignored=None):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    count = len(boxes)
    return Pedestrians(
        boxes,
        boxes[:, 3] if heights is None else np.array(heights, np.float64),
        np.ones(count) if visibility is None else np.array(visibility, np.float64),
        np.zeros(count, bool) if ignored is None else np.array(ignored, bool),
    )


def found(boxes, scores):
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64)


def log_average(*, objects, rates):
    """Log-average from (number of the nine rates, objects missed there)."""
    assert sum(count for count, _ in rates) == 9
    return 100 * math.exp(sum(count * math.log(missed / objects) for count, missed in rates) / 9)


@pytest.mark.parametrize("name", ["csp_normal_val_dt", "csp_snow_val_dt"])
def test_recorded_numbers_of_a_detector(name):
    truth = read_ground_truth(oracle("citypersons") / "val_gt.json")
    numbers = evaluate_citypersons(
        list(truth.values()), read_detections(oracle("citypersons_real") / f"{name}.json", truth)
    )
    text = (oracle("citypersons_real") / "expected.txt").read_text()
    words = next(line for line in text.splitlines() if line.startswith(name)).split()[1:]
    recorded = dict(zip(words[::2], words[1::2], strict=True))
    assert {key: f"{numbers['MR/' + RECORDED_NAMES[key]]:.10f}" for key in recorded} == recorded


def test_recorded_numbers_of_drawn_detections():
    truth = read_ground_truth(oracle("citypersons") / "val_gt.json")
    detections = read_detections(oracle("citypersons") / "synthetic_val_dt.json", truth)
    numbers = evaluate_citypersons(list(truth.values()), detections)
    text = (oracle("citypersons") / "synthetic_val_dt_result.txt").read_text()
    recorded = dict(re.findall(r"@ (\S+) .* = ([\d.]+)%", text))
    assert len(recorded) == 4
    assert {key: f"{numbers['MR/' + RECORDED_NAMES[key]]:.2f}" for key in recorded} == recorded


@pytest.mark.parametrize(("name", "recorded"), AT_75.items())
def test_recorded_numbers_at_an_iou_of_75(name, recorded):
    truth = read_ground_truth(oracle("citypersons") / "val_gt.json")
    detections = read_detections(oracle("citypersons_real") / f"{name}.json", truth)
    numbers = evaluate_citypersons(list(truth.values()), detections, iou=0.75)
    official = ("reasonable", "reasonable_small", "heavy", "all")
    assert tuple(f"{numbers['MR/' + key]:.10f}" for key in official) == recorded


def test_all_found_and_nothing_found():
    truth = [people([BOX]), people([BOX])]
    numbers = evaluate_citypersons(truth, [found([BOX], [0.5]), found([BOX], [0.1])])
    assert numbers["MR/reasonable"] == 0.0
    nothing = found([], [])
    assert evaluate_citypersons(truth, [nothing, nothing])["MR/reasonable"] == 100.0


def test_nobody_to_find():
    numbers = evaluate_citypersons([people([])], [found([BOX], [0.5])])
    assert len(numbers) == 8
    assert all(math.isnan(value) for value in numbers.values())
    assert all(math.isnan(value) for value in evaluate_citypersons([], []).values())


def test_miss_rates_are_read_at_nine_rates_of_false_positives():
    # Two images: one false positive is a rate of 0.5, which is above the seven lowest rates.
    truth = [people([BOX, (100, 0, 40, 100)]), people([BOX])]
    detections = [found([BOX, (300, 0, 40, 100)], [0.9, 0.8]), found([BOX], [0.7])]
    numbers = evaluate_citypersons(truth, detections)
    assert numbers["MR/reasonable"] == pytest.approx(log_average(objects=3, rates=[(7, 2), (2, 1)]))


def test_a_rate_that_is_just_reached_is_allowed():
    hits = np.array([True, False, True, False, True])
    # False positives at rates of exactly 0.01 and 0.02.
    rates = [(2, 2), (7, 1)]
    assert 100 * log_average_miss_rate(hits, 4, 100) == pytest.approx(log_average(objects=4, rates=rates))


def test_nothing_is_found_before_the_first_false_positive():
    truth, detections = [people([BOX, (100, 0, 40, 100)])], [found([(300, 0, 40, 100), BOX], [0.9, 0.8])]
    numbers = evaluate_citypersons(truth, detections)
    assert numbers["MR/reasonable"] == pytest.approx(log_average(objects=2, rates=[(8, 2), (1, 1)]))


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_an_overlap_of_just_the_threshold_is_enough(iou):
    truth = [people([(0, 0, 100, 100)])]
    for width, missed in ((100 * iou, 0.0), (100 * iou - 0.01, 100.0)):
        numbers = evaluate_citypersons(truth, [found([(0, 0, width, 100)], [0.5])], iou=iou)
        assert numbers["MR/reasonable"] == missed


@pytest.mark.parametrize(
    ("height", "visible", "subsets"),
    [
        (50, 0.65, {"reasonable", "reasonable_small", "small_paper", "heavy", "all", "partial", "heavy_csp"}),
        (49.9, 0.65, {"small_paper", "all"}),
        (75, 0.9, {"reasonable", "reasonable_small", "small_paper", "all", "bare", "partial"}),
        (80, 1.0, {"reasonable", "small_paper", "all", "bare"}),
        (80.1, 0.64, {"heavy", "all", "heavy_csp"}),
        (30, 1.0, {"small_paper", "all"}),
        (20, 0.2, {"all"}),
        (300, 0.2, {"heavy", "all", "heavy_csp"}),
        (300, 0.1, {"heavy_csp"}),
        (19.9, 1.0, set()),
    ],
)
def test_subsets(height, visible, subsets):
    numbers = evaluate_citypersons([people([(0, 0, 40, height)], visibility=[visible])], [found([], [])])
    assert {key.removeprefix("MR/") for key, value in numbers.items() if value == 100.0} == subsets
    assert sum(not math.isnan(value) for value in numbers.values()) == len(subsets)


def test_the_height_is_that_of_the_annotation():
    numbers = evaluate_citypersons([people([BOX], heights=[40])], [found([], [])])
    assert math.isnan(numbers["MR/reasonable"])
    assert numbers["MR/small_paper"] == 100.0


@pytest.mark.parametrize(
    ("height", "reasonable", "small"),
    [
        (39.99, False, False),
        (40, True, True),  # 50 / 1.25
        (93.7, True, True),
        (93.75, True, False),  # 75 * 1.25
    ],
)
def test_detections_beside_the_range_of_heights_do_not_count(height, reasonable, small):
    # One is found, after what may be a false positive; the other is not.
    truth = [people([(0, 0, 40, 60), (400, 0, 40, 60)])]
    numbers = evaluate_citypersons(truth, [found([(0, 0, 40, 60), (200, 0, 40, height)], [0.1, 0.9])])
    late = log_average(objects=2, rates=[(8, 2), (1, 1)])
    assert numbers["MR/reasonable"] == pytest.approx(late if reasonable else 50.0)
    assert numbers["MR/reasonable_small"] == pytest.approx(late if small else 50.0)


def test_ignored_regions_take_any_number_of_detections():
    region = (200, 0, 400, 400)
    truth = [people([BOX, (700, 0, 40, 100), region], ignored=[False, False, True])]
    # Inside of the region: a small part of its area, but all of their own.
    inside = [(210 + 50 * i, 10, 40, 100) for i in range(3)]
    numbers = evaluate_citypersons(truth, [found([*inside, BOX], [0.9, 0.8, 0.7, 0.6])])
    assert numbers["MR/reasonable"] == pytest.approx(50.0)


def test_a_pedestrian_comes_before_a_region_that_covers_it():
    truth = [people([(0, 0, 400, 400), BOX], ignored=[True, False])]
    assert evaluate_citypersons(truth, [found([BOX], [0.5])])["MR/reasonable"] == 0.0


def test_a_second_detection_of_a_pedestrian_is_false():
    truth = [people([BOX, (100, 0, 40, 100)])]
    numbers = evaluate_citypersons(truth, [found([BOX, BOX, (100, 0, 40, 100)], [0.9, 0.8, 0.7])])
    # The last rate allows the false positive, and all are found there.
    assert numbers["MR/reasonable"] == 0.0
    numbers = evaluate_citypersons(truth, [found([BOX, BOX], [0.9, 0.8])])
    assert numbers["MR/reasonable"] == pytest.approx(50.0)


def test_of_equal_scores_the_first_in_the_file_is_better():
    truth = [people([BOX, (100, 0, 40, 100)])]
    right, wrong = BOX, (300, 0, 40, 100)
    first = evaluate_citypersons(truth, [found([right, wrong], [0.5, 0.5])])
    last = evaluate_citypersons(truth, [found([wrong, right], [0.5, 0.5])])
    assert first["MR/reasonable"] == pytest.approx(50.0)
    assert last["MR/reasonable"] == pytest.approx(log_average(objects=2, rates=[(8, 2), (1, 1)]))


def test_the_thousand_best_detections_of_an_image_count():
    truth = [people([BOX, (100, 0, 40, 100)])]
    # Too low to be false positives, but among the thousand.
    others = [(300, 0, 5, 5)] * 999
    scores = np.linspace(1, 0.5, 999)
    numbers = evaluate_citypersons(truth, [found([*others, BOX, (100, 0, 40, 100)], [*scores, 0.4, 0.3])])
    assert numbers["MR/reasonable"] == pytest.approx(50.0)
