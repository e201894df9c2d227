"""Masks beside boxes: a recorded case, COCO's own example, and ground truth without usable masks."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.masks.run_lengths import uncompress
from cascade_tf.metrics import CocoResult, evaluate_coco, evaluate_instances
from cascade_tf.metrics.results import IOU_THRESHOLDS
from tests.metrics.coco_cases import dataset, detection, random_case, truth
from tests.metrics.oracles import oracle
from tests.metrics.test_coco import PUBLISHED_ORDER, assert_same_numbers, direct

# The published figures have three digits.
PUBLISHED_TOLERANCE = 0.0005 + 1e-9
EXACT = 1e-12
BOX = [100.0, 50.0, 60.0, 40.0]
SQUARE = [[100.0, 50.0, 160.0, 50.0, 160.0, 90.0, 100.0, 90.0]]


@pytest.fixture(scope="module")
def case() -> dict:
    """Polygons, run lengths in both forms and a crowd, with the numbers that pycocotools alone gave."""
    return json.loads(Path(__file__).with_name("mask_case.json").read_text(encoding="utf-8"))


def rle(polygons: list | None = None, height: int = 480, width: int = 640) -> dict:
    encoded = coco_mask.merge(coco_mask.frPyObjects(polygons or SQUARE, height, width))
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def assert_recorded(result: CocoResult, expected: dict) -> None:
    numbers = [-1.0 if math.isnan(result.summary[key]) else result.summary[key] for key in PUBLISHED_ORDER]
    np.testing.assert_allclose(numbers, expected["stats"], rtol=0, atol=EXACT)
    np.testing.assert_allclose(list(result.iou_curve.values()), expected["AP by IoU"], rtol=0, atol=EXACT)
    for name, ap in expected["AP by class"].items():
        assert result.per_class[name]["AP"] == pytest.approx(ap, abs=EXACT)


@pytest.mark.parametrize("order", [1, -1])
def test_a_recorded_case(case, order):
    result = evaluate_instances(case, case["detections"][::order])
    assert_recorded(result, case["expected"]["bbox"])
    assert_recorded(result.mask, case["expected"]["segm"])
    assert result.no_mask == ""
    assert result.mask.summary["APl"] != result.summary["APl"]


def test_every_form_of_a_mask_counts_the_same(case):
    expected = evaluate_instances(case, case["detections"]).mask
    other = copy.deepcopy(case)
    sizes = {image["id"]: (image["height"], image["width"]) for image in case["images"]}
    for annotation in other["annotations"]:
        if isinstance(annotation["segmentation"], list):
            annotation["segmentation"] = rle(annotation["segmentation"], *sizes[annotation["image_id"]])
    for image in other["images"]:
        del image["height"], image["width"]
    found = copy.deepcopy(case["detections"])
    for entry in found[::2]:
        entry["segmentation"]["counts"] = entry["segmentation"]["counts"].encode()
    for entry in found[1::2]:
        entry["segmentation"]["counts"] = uncompress(entry["segmentation"]["counts"]).tolist()
    assert evaluate_instances(other, found).mask == expected


@pytest.mark.parametrize("seed", range(3))
def test_both_numbers_at_once(seed):
    content, detections = random_case(seed, masks=True)
    with_boxes = [{**d, "bbox": coco_mask.toBbox(d["segmentation"]).tolist()} for d in detections]
    result = evaluate_instances(content, with_boxes)
    assert_same_numbers(result.mask, direct(content, detections, "segm"))
    only_boxes = [{key: d[key] for key in d if key != "segmentation"} for d in with_boxes]
    assert_same_numbers(result, direct(content, only_boxes))
    restricted = evaluate_instances(content, with_boxes, image_ids=[11, 12])
    assert_same_numbers(restricted.mask, direct(content, detections, "segm", image_ids=[11, 12]))


@pytest.mark.parametrize(("iou_type", "name"), [("bbox", "fakebbox100"), ("segm", "fakesegm100")])
def test_the_published_figures_of_coco(iou_type, name):
    folder = oracle("cocoapi")
    text = (folder / "val2014_fake_eval_res.txt").read_text(encoding="utf-8")
    block = text.partition(f"type={iou_type}")[2].partition("type=")[0]
    published = [float(value) for value in re.findall(r"\] = (\d\.\d+)", block)]
    content = json.loads((folder / "instances_val2014_100.json").read_text(encoding="utf-8"))
    detections = json.loads((folder / f"instances_val2014_{name}_results.json").read_text(encoding="utf-8"))
    result = evaluate_coco(content, detections, iou_type=iou_type)
    assert len(published) == len(PUBLISHED_ORDER)
    numbers = [result.summary[key] for key in PUBLISHED_ORDER]
    np.testing.assert_allclose(numbers, published, rtol=0, atol=PUBLISHED_TOLERANCE)
    assert_same_numbers(result, direct(content, detections, iou_type))


def test_no_detections():
    content, _ = random_case(1, masks=True)
    result = evaluate_instances(content, [])
    assert all(value == 0 for value in result.mask.summary.values())


def test_no_annotations():
    result = evaluate_instances(dataset([]), [detection(10, 3, BOX, 0.9) | {"segmentation": rle()}])
    assert all(math.isnan(value) for value in result.mask.summary.values())
    assert result.no_mask == ""


def test_ground_truth_without_masks_still_measures_boxes():
    found = [detection(10, 3, BOX, 0.9) | {"segmentation": rle()}]
    result = evaluate_instances(dataset([truth(10, 3, BOX)]), found)
    assert result.summary["AP"] == pytest.approx(1.0)
    assert result.mask is None
    assert result.no_mask == "the ground truth has no masks"
    assert result.to_table().count("No AP of masks: the ground truth has no masks.") == 1


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_ground_truth_of_which_a_part_has_masks(nothing):
    entries = [truth(10, 3, BOX, segmentation=rle()), truth(11, 3, BOX, 9, segmentation=nothing)]
    result = evaluate_instances(dataset(entries), [])
    assert result.mask is None
    assert result.no_mask == "1 of 2 annotations have no mask, the first is annotation 1 (id 9)"


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0, 0, 5, 5]], r"segmentation\[0\] is \[0, 0, 5, 5\], expected .* of 3 points or more"),
        ([[0, 0, 5, 5, 9, 9, 1]], r"segmentation\[0\] is .*, expected finite"),
        ([[0, 0, 5, float("nan"), 9, 9]], r"segmentation\[0\] is .*, expected finite"),
        ([[0, 0, 5, 10**400, 9, 9]], r"segmentation\[0\] is .*, expected finite"),
        ([[0, 0, 5, "5,5", 9, 9]], r"segmentation\[0\] is .*, expected finite"),
        ([5.0, 5.0, 9.0, 9.0], r"segmentation\[0\] is .*, expected finite"),
        ("5 5 9 9", "segmentation is '5 5 9 9', expected a list of polygons or run lengths"),
        ({"size": [480, 600], "counts": "0"}, r"size is \[480, 600\], but the image has .* \[480, 640\]"),
        ({"size": 5, "counts": "0"}, r"size must be \[height, width\], got 5"),
        ({"counts": "0"}, r"size must be \[height, width\], got None"),
        ({"size": [480, 640]}, "counts must be COCO's text or a list of lengths, got None"),
        ({"size": [480, 640], "counts": [307199]}, "counts cover 307199 pixels, expected 480 x 640"),
        ({"size": [480, 640], "counts": [-1, 307201]}, "counts must be COCO's text or a list of lengths"),
        ({"size": [480, 640], "counts": "0"}, "counts cover 0 pixels, expected 480 x 640"),
        ({"size": [480, 640], "counts": "\x7f~"}, "is no text of run lengths"),
        ({"size": [480, 640], "counts": "O"}, "counts cover -1 pixels"),
        ({"size": [480, 640], "counts": "o"}, "is no text of run lengths"),
        ({"size": [480, 640], "counts": "o" * 9 + "0"}, "has a length that no image has"),
    ],
)  # fmt: skip
def test_broken_masks(segmentation, message):
    content = dataset(
        [truth(10, 3, BOX, segmentation=rle()), truth(10, 3, BOX, 7, segmentation=segmentation)]
    )
    good = detection(10, 3, BOX, 0.9) | {"segmentation": rle()}
    result = evaluate_instances(content, [good])
    assert result.mask is None
    assert re.search(r"annotation 1 \(id 7\): .*" + message, result.no_mask)
    with pytest.raises(ValueError, match=message):
        evaluate_coco(content, [good], iou_type="segm")
    if isinstance(segmentation, dict):
        with pytest.raises(ValueError, match="detection 1: .*" + message):
            evaluate_coco(dataset([]), [good, good | {"segmentation": segmentation}], iou_type="segm")


def test_polygons_need_the_size_of_their_image():
    content = dataset([truth(10, 3, BOX, segmentation=SQUARE)])
    del content["images"][0]["height"]
    assert "its image has no height and width" in evaluate_instances(content, []).no_mask


def test_the_area_of_an_object_without_one_is_its_masks():
    entry = truth(10, 3, BOX, segmentation=[[100.0, 50.0, 160.0, 50.0, 100.0, 90.0]])
    del entry["area"], entry["bbox"]
    found = [{"image_id": 10, "category_id": 3, "score": 0.9, "segmentation": rle(entry["segmentation"])}]
    assert coco_mask.area(found[0]["segmentation"]) > 32**2
    result = evaluate_coco(dataset([entry]), found, iou_type="segm")
    assert result.summary["APm"] == pytest.approx(1.0)
    assert math.isnan(result.summary["APs"])


def test_leaves_its_inputs_alone(capsys):
    content, detections = random_case(2, masks=True)
    with_boxes = [{**d, "bbox": coco_mask.toBbox(d["segmentation"]).tolist()} for d in detections]
    before = copy.deepcopy((content, with_boxes))
    evaluate_instances(content, with_boxes)
    assert (content, with_boxes) == before
    assert capsys.readouterr() == ("", "")


def test_detections_need_boxes_and_masks(case):
    for field in ("bbox", "segmentation"):
        found = [{key: value for key, value in entry.items() if key != field} for entry in case["detections"]]
        with pytest.raises(ValueError, match=f"detection 0: {field} is missing"):
            evaluate_instances(case, found)


def test_iou_curve_of_masks(case):
    assert tuple(evaluate_instances(case, case["detections"]).mask.iou_curve) == IOU_THRESHOLDS
