"""WIDER FACE's average precision: recorded numbers, a slow reading of the rules, and by hand."""

from __future__ import annotations

import json
import math
import tarfile

import numpy as np
import pytest

from cascade_tf.formats.widerface import SETTINGS, Faces, read_detections, read_ground_truth
from cascade_tf.metrics import evaluate_widerface
from tests.metrics.oracles import oracle

FACE = (0, 0, 10, 10)
ELSEWHERE = (50, 50, 60, 60)


def faces(boxes, **counted):
    """Faces of an image; each setting has the numbers of those that it asks for, all by default."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    everyone = range(len(boxes))
    chosen = {setting: counted.get(setting, everyone) for setting in SETTINGS}
    return Faces(boxes, {s: np.isin(np.arange(len(boxes)), list(numbers)) for s, numbers in chosen.items()})


def found(boxes, scores):
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Ground truth, detections and recorded numbers."""
    pytest.importorskip("scipy")
    folder = oracle("widerface")
    target = tmp_path_factory.mktemp("widerface")
    for archive in (folder / "detections").glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    truth = read_ground_truth(folder / "ground_truth")
    detections = list(read_detections(target / "widerface_txt", truth))
    return truth, detections, json.loads((folder / "expected.json").read_text())["retinaface_mobilenet025"]


@pytest.mark.parametrize("iou", ["0.50", "0.75"])
def test_recorded_numbers_of_a_detector(recorded, iou):
    truth, detections, numbers = recorded
    assert sum(len(scores) for _, scores in detections) == 297333
    measured = evaluate_widerface(list(truth.values()), detections, iou=float(iou))
    expected = [100 * value for value in numbers[iou]]
    np.testing.assert_allclose([measured[f"AP/{s}"] for s in SETTINGS], expected, rtol=1e-13)


def test_ground_truth_of_the_benchmark(recorded):
    truth = list(recorded[0].values())
    assert len(truth) == 3226
    assert sum(len(image.boxes) for image in truth) == 39708
    counts = {s: [int(image.counted[s].sum()) for image in truth] for s in SETTINGS}
    assert [sum(counts[s]) for s in SETTINGS] == [7211, 13319, 31958]
    assert [counts[s].count(0) for s in SETTINGS] == [622, 207, 7]


def slowly(truth, detections, iou):
    """The rules one by one: every image, every threshold, every detection."""
    pooled = np.concatenate([scores for _, scores in detections])
    low, high = pooled.min(), pooled.max()
    numbers = {}
    for setting in SETTINGS:
        curve = []
        for step in range(1, 1001):
            threshold, kept, hits = 1 - step / 1000, 0, 0
            for image, (boxes, scores) in zip(truth, detections, strict=True):
                taken = set()
                for box, score in sorted(zip(boxes, scores, strict=True), key=lambda pair: -pair[1]):
                    if (score - low) / (high - low) < threshold or len(image.boxes) == 0:
                        continue
                    overlaps = [inclusive_iou(box, face) for face in image.boxes]
                    best = int(np.argmax(overlaps))
                    if overlaps[best] >= iou and not image.counted[setting][best]:
                        continue
                    kept += 1
                    if overlaps[best] >= iou and best not in taken:
                        taken.add(best)
                        hits += 1
            curve.append((hits, kept))
        total = sum(int(image.counted[setting].sum()) for image in truth)
        area, before = 0.0, 0
        for i, (hits, _) in enumerate(curve):
            best = max((h / k for h, k in curve[i:] if k), default=0.0)
            area += (hits - before) / total * best
            before = hits
        numbers[f"AP/{setting}"] = 100 * area
    return numbers


def inclusive_iou(box, face):
    width = min(box[2], face[2]) - max(box[0], face[0]) + 1
    height = min(box[3], face[3]) - max(box[1], face[1]) + 1
    both = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, face)]
    return both / (sum(areas) - both)


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_equals_the_slow_reading(iou):
    generator = np.random.default_rng(4)
    truth, detections = [], []
    for _ in range(3):
        corners = generator.integers(0, 60, (4, 2))
        boxes = np.concatenate([corners, corners + generator.integers(0, 20, (4, 2))], axis=1)
        asked = {
            s: np.flatnonzero(generator.uniform(size=4) < 0.3 * i) for i, s in enumerate(SETTINGS, start=1)
        }
        truth.append(faces(boxes, **asked))
        moved = np.repeat(boxes, 2, axis=0) + generator.integers(-2, 3, (8, 4))
        detections.append(found(moved, generator.integers(0, 12, 8)))
    truth.append(faces([]))
    detections.append(found([FACE], [12]))
    expected = slowly(truth, detections, iou)
    measured = evaluate_widerface(truth, detections, iou=iou)
    assert measured == pytest.approx(expected)
    assert all(0 < value < 100 for value in expected.values())


def test_by_hand():
    truth = [faces([FACE, (20, 0, 30, 10)])]
    # Right, wrong, right: precision 1 until half of the faces are found, then 2 of 3.
    detections = [found([FACE, ELSEWHERE, (20, 0, 30, 10)], [0.9, 0.5, 0.1])]
    numbers = evaluate_widerface(truth, detections)
    assert numbers["AP/hard"] == pytest.approx(100 * (0.5 * 1 + 0.5 * 2 / 3))


def test_a_face_that_is_not_asked_for_makes_a_detection_neutral():
    truth = [faces([FACE, (20, 0, 30, 10)], easy=[1])]
    detections = [found([FACE, FACE, (20, 0, 30, 10)], [0.9, 0.5, 0.1])]
    numbers = evaluate_widerface(truth, detections)
    assert numbers["AP/easy"] == pytest.approx(100.0)
    # Where it is asked for the second one is false.
    assert numbers["AP/hard"] == pytest.approx(100 * (0.5 * 1 + 0.5 * 2 / 3))


def test_a_detection_belongs_to_the_nearest_face_even_if_that_has_one():
    truth = [faces([FACE, (0, 0, 10, 8)])]
    # The second one overlaps the other face by more than half, too.
    numbers = evaluate_widerface(truth, [found([FACE, FACE], [0.9, 0.5])])
    assert numbers["AP/hard"] == pytest.approx(50.0)


@pytest.mark.parametrize(("width", "value"), [(4, 100.0), (3, 0.0)])
def test_pixels_are_squares_and_the_threshold_may_be_reached(width, value):
    # 5 of 10 columns; as points it would be 4 of 9.
    numbers = evaluate_widerface([faces([(0, 0, 9, 9)])], [found([(0, 0, width, 9)], [0.5])])
    assert numbers["AP/hard"] == pytest.approx(value)


def test_a_face_without_width_or_height_can_be_found():
    numbers = evaluate_widerface([faces([(5, 5, 5, 5)])], [found([(5, 5, 5, 5)], [0.5])])
    assert numbers["AP/hard"] == pytest.approx(100.0)


def test_of_equal_scores_the_first_in_the_file_has_the_face():
    """Both count at the same threshold, so that the order of equal scores cannot change precision."""
    truth = [faces([FACE])]
    for boxes in ([FACE, ELSEWHERE], [ELSEWHERE, FACE]):
        assert evaluate_widerface(truth, [found(boxes, [0.5, 0.5])])["AP/hard"] == pytest.approx(50.0)


def test_detections_may_come_in_any_order():
    truth = [faces([FACE, (20, 0, 30, 10)])]
    boxes, scores = found([(20, 0, 30, 10), ELSEWHERE, FACE], [0.1, 0.5, 0.9])
    numbers = evaluate_widerface(truth, [(boxes, scores)])
    assert numbers == evaluate_widerface(truth, [(boxes[::-1], scores[::-1])])


def test_images_without_faces_are_not_looked_at():
    truth = [faces([FACE]), faces([])]
    detections = [found([FACE], [0.5]), found([FACE, ELSEWHERE], [0.9, 0.1])]
    assert evaluate_widerface(truth, detections)["AP/hard"] == pytest.approx(100.0)


def test_empty():
    assert evaluate_widerface([faces([FACE])], [found([], [])])["AP/hard"] == 0.0
    numbers = evaluate_widerface([faces([FACE], easy=[])], [found([FACE], [0.5])])
    assert math.isnan(numbers["AP/easy"])
    assert numbers["AP/medium"] == pytest.approx(100.0)
    assert all(math.isnan(value) for value in evaluate_widerface([], []).values())
