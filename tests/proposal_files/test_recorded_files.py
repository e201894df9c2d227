"""Pickles built as Detectron and detectron2 write them: what is read, and its recall in images of COCO."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.metrics import evaluate_proposals
from cascade_tf.metrics.proposals import SIZES
from cascade_tf.metrics.results import IOU_THRESHOLDS
from cascade_tf.proposal_files import read_proposals
from tests.metrics.oracles import oracle

# Detectron's corners are the last pixels inside of a box, detectron2's are edges.
FILES = {
    "detectron_rpn_style_ids.pkl": 1,
    "detectron_ss_style_indexes.pkl": 1,
    "detectron2_style.pkl": 0,
}
LIMITS = (10, 100, 1000)


@pytest.fixture(params=FILES)
def recorded(request):
    """What was read of a file, and the boxes [n, 4] of each image by the plain list beside it, as edges."""
    folder = oracle("proposals")
    plain = json.loads((folder / "plain.json").read_text())
    last_pixel = np.array([0, 0, 1, 1]) * FILES[request.param]
    boxes = {
        int(image_id): np.array(one["boxes"], np.float64).reshape(-1, 4) + last_pixel
        for image_id, one in plain.items()
    }
    return read_proposals(folder / request.param), boxes


def own_overlaps(boxes, objects):
    """The overlap of each object with its own box: all pairs in order, each box and each object once."""
    pairs = []
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for j, (left, top, right, bottom) in enumerate(objects):
            width, height = min(x2, right) - max(x1, left), min(y2, bottom) - max(y1, top)
            shared = max(width, 0) * max(height, 0)
            both = (x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - shared
            pairs.append((shared / both, i, j))
    found, used = np.zeros(len(objects)), set()
    for overlap, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if ("box", i) not in used and ("object", j) not in used:
            found[j] = overlap
            used |= {("box", i), ("object", j)}
    return found


def test_boxes_and_images(recorded):
    read, boxes = recorded
    assert read.image_ids.tolist() == [133, 42, 164, 73, 74, 143, 136, 139]
    for record, image_id in enumerate(read.image_ids.tolist()):
        np.testing.assert_allclose(read.of_record(record)[0], boxes[image_id], rtol=0, atol=1e-4)


def test_recall(recorded):
    read, boxes = recorded
    content = json.loads((oracle("cocoapi") / "instances_val2014_100.json").read_text())
    given = [(image_id, *read.of_record(record)) for record, image_id in enumerate(read.image_ids.tolist())]
    result = evaluate_proposals(content, given, limits=LIMITS)
    objects = [one for one in content["annotations"] if one["image_id"] in boxes and not one["iscrowd"]]
    assert result.objects[""] == len(objects) > 30
    for letter, (least, most) in SIZES.items():
        for limit in LIMITS:
            overlaps = []
            for image_id, some, scores in given:
                best = boxes[image_id][np.argsort(-scores, kind="stable")[:limit]]
                assert len(best) == min(limit, len(some))
                x, y, width, height = np.array(
                    [
                        one["bbox"]
                        for one in objects
                        if one["image_id"] == image_id and least <= one["area"] <= most
                    ]
                ).reshape(-1, 4).T  # fmt: skip
                overlaps += own_overlaps(best, np.stack([x, y, x + width, y + height], axis=1)).tolist()
            expected = np.mean([[overlap >= iou for overlap in overlaps] for iou in IOU_THRESHOLDS])
            assert result.summary[f"AR{letter}{limit}"] == pytest.approx(expected, abs=1e-12)
    assert 0 < result.summary["AR10"] < result.summary["AR100"] == result.summary["AR1000"]
