"""Average recall of proposals: by hand, against slow loops, and against pycocotools where both must agree."""

from __future__ import annotations

import contextlib
import io
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_tf.metrics import evaluate_proposals
from cascade_tf.metrics.proposals import SIZES, own_overlaps
from cascade_tf.metrics.results import IOU_THRESHOLDS

# Side of the square in which each object lies alone, pixels.
CELL = 200


def truth(boxes, image_id=1, **changes):
    """The annotation file of one image."""
    annotations = [
        {
            "id": i,
            "image_id": image_id,
            "category_id": 1 + i % 2,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            **changes,
        }
        for i, (x1, y1, x2, y2) in enumerate(boxes, start=1)
    ]
    for record in annotations:
        record.setdefault("area", record["bbox"][2] * record["bbox"][3])
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    return {"images": [{"id": image_id}], "annotations": annotations, "categories": categories}


def test_by_hand():
    # Overlaps 1 and 0.6 with small objects, none with a large one.
    content = truth([(0, 0, 10, 10), (20, 0, 30, 10), (100, 100, 300, 300)])
    boxes = np.float32([[20, 0, 30, 6], [0, 0, 10, 10], [50, 50, 60, 60]])
    result = evaluate_proposals(content, [(1, boxes, np.float32([3, 1, 2]))], limits=(1, 3))
    assert result.objects == {"": 3, "s": 2, "m": 0, "l": 1}
    assert result.summary["ARs3"] == pytest.approx((1.0 + 0.3) / 2)
    assert result.summary["AR3"] == pytest.approx((1.0 + 0.3) / 3)
    assert result.summary["AR1"] == pytest.approx(0.3 / 3)
    assert result.summary["ARl3"] == 0.0
    assert math.isnan(result.summary["ARm3"])
    assert result.recall[3][0.5] == pytest.approx(2 / 3)
    assert result.recall[3][0.65] == pytest.approx(1 / 3)


def test_a_proposal_finds_one_object_only():
    content = truth([(0, 0, 10, 10), (0, 0, 10, 9)])
    one = [(1, np.float32([[0, 0, 10, 10]]), np.ones(1, np.float32))]
    assert evaluate_proposals(content, one).summary["AR100"] == pytest.approx(0.5)


def test_crowds_do_not_count_and_areas_are_those_of_the_annotations():
    box = [(0, 0, 100, 100)]
    given = [(1, np.float32(box), np.ones(1, np.float32))]
    crowd = evaluate_proposals(truth(box, iscrowd=1), given)
    assert crowd.objects[""] == 0
    assert math.isnan(crowd.summary["AR1000"])
    assert evaluate_proposals(truth(box, area=500.0), given).objects == {"": 1, "s": 1, "m": 0, "l": 0}


def test_images_without_proposals_count_and_those_that_are_not_given_do_not():
    content = truth([(0, 0, 10, 10)])
    content["images"].append({"id": 2})
    nothing = (1, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert evaluate_proposals(content, [nothing]).summary["AR100"] == 0.0
    assert math.isnan(evaluate_proposals(content, [(2, *nothing[1:])]).summary["AR100"])


@pytest.mark.parametrize(
    ("ids", "line"),
    [
        ((1, 1), "image_id is 1, expected no image twice"),
        ((3,), "image_id is 3, expected an image of annotations"),
    ],
)
def test_wrong_images_are_told(ids, line):
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    with pytest.raises(ValueError, match=line):
        evaluate_proposals(truth([(0, 0, 1, 1)]), [(i, *nothing) for i in ids])


def test_pairs_are_taken_out_from_the_largest_overlap_on():
    overlaps = np.random.default_rng(3).uniform(size=(9, 5)) * np.array([1, 1, 1, 0, 1])
    pairs = sorted(((overlaps[i, j], i, j) for i in range(9) for j in range(5)), reverse=True)
    expected, used = np.zeros(5), set()
    for overlap, i, j in pairs:
        if ("box", i) not in used and ("object", j) not in used:
            expected[j] = overlap
            used |= {("box", i), ("object", j)}
    np.testing.assert_array_equal(own_overlaps(overlaps), expected)
    # Two proposals find two objects at most.
    assert np.sum(own_overlaps(overlaps[:2]) > 0) == 2


def test_equals_pycocotools_where_objects_lie_apart():
    """Each object has its own proposals: the two ways of pairing find the same."""
    generator = np.random.default_rng(5)
    boxes = np.array([CELL * i + 20 for i in range(30)])[:, None] * [1, 0, 1, 0] + np.float64([0, 20, 0, 20])
    sides = generator.uniform(8, 150, (30, 2)).round()
    boxes[:, 2:] += sides
    content = truth(boxes.tolist())
    repeated = np.repeat(boxes, 8, axis=0)
    moved = (
        repeated + generator.normal(0, 0.2, repeated.shape) * np.repeat(np.tile(sides, 2), 8, axis=0)
    ).clip(0)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    # float32 as in files, and whole scores without ties.
    moved, scores = moved.astype(np.float32), generator.permutation(240).astype(np.float32)
    result = evaluate_proposals(content, [(1, moved, scores)], limits=(50, 100, 240))
    records = [
        {"image_id": 1, "category_id": 1, "score": float(score), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for score, (x1, y1, x2, y2) in zip(scores, moved.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {**content, "annotations": [{"iscrowd": 0, **r} for r in content["annotations"]]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(records), "bbox")
        evaluation.params.useCats, evaluation.params.maxDets = 0, [50, 100, 240]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0]
    for area, letter in enumerate(SIZES):
        for m, limit in enumerate((50, 100, 240)):
            assert result.summary[f"AR{letter}{limit}"] == pytest.approx(recall[:, area, m].mean()), letter
    for i, iou in enumerate(IOU_THRESHOLDS):
        assert result.recall[240][iou] == pytest.approx(recall[i, 0, 2])
    assert 0.2 < result.summary["AR240"] < 0.9


def test_table_and_file(tmp_path):
    content = truth([(0, 0, 10, 10)])
    result = evaluate_proposals(content, [(1, np.float32([[0, 0, 10, 8]]), np.ones(1, np.float32))])
    heading, *rows = result.to_table().splitlines()
    assert heading.split() == ["proposals", "AR", "ARs", "ARm", "ARl", "R50", "R75", "R90"]
    assert rows[-1].split() == ["1000", "70.0", "70.0", "-", "-", "100.0", "100.0", "0.0"]
    written = json.loads(result.to_json(tmp_path / "x.json").read_text())
    assert written["summary"]["AR100"] == pytest.approx(0.7)
    assert written["summary"]["ARl100"] is None
    assert written["recall"]["300"]["0.75"] == 1.0
    assert written["objects"] == {"all": 1, "s": 1, "m": 0, "l": 0}
