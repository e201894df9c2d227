"""The COCO protocol against pycocotools called directly, and against numbers worked out by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_tf.metrics import CocoResult, evaluate_coco
from cascade_tf.metrics.results import CLASS_KEYS, IOU_THRESHOLDS, SUMMARY_KEYS
from tests.metrics.coco_cases import CATEGORIES, dataset, detection, random_case, truth

PUBLISHED_ORDER = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
BOX = [100.0, 50.0, 60.0, 40.0]


class HonoursIgnore(COCOeval):
    """pycocotools without the line that overwrites ``ignore``."""

    def _prepare(self) -> None:
        super()._prepare()
        for entry in itertools.chain.from_iterable(self._gts.values()):
            entry["ignore"] = entry["iscrowd"] or entry["own_ignore"]


def direct(
    content: dict, detections: list[dict], iou_type: str = "bbox", image_ids=None, evaluator=COCOeval
) -> COCOeval:
    """pycocotools as its own demo calls it."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(content)
        coco.createIndex()
        evaluation = evaluator(coco, coco.loadRes(copy.deepcopy(detections)), iou_type)
        if image_ids is not None:
            evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_same_numbers(result: CocoResult, expected: COCOeval) -> None:
    numbers = [-1.0 if math.isnan(result.summary[key]) else result.summary[key] for key in PUBLISHED_ORDER]
    np.testing.assert_allclose(numbers, expected.stats, rtol=0, atol=1e-12)


def shifted(bbox: list[float], iou: float) -> list[float]:
    """The box moved to the right so that it has the given IoU with itself before: (w - d) / (w + d)."""
    x, y, width, height = bbox
    return [x + width * (1 - iou) / (1 + iou), y, width, height]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_equals_pycocotools(seed, iou_type):
    content, detections = random_case(seed, masks=iou_type == "segm")
    expected = direct(content, detections, iou_type)
    result = evaluate_coco(content, detections, iou_type=iou_type)
    assert_same_numbers(result, expected)
    precision = expected.eval["precision"][..., 0, 2]
    assert tuple(result.iou_curve) == IOU_THRESHOLDS
    for i, value in enumerate(result.iou_curve.values()):
        assert value == pytest.approx(precision[i][precision[i] > -1].mean(), abs=1e-12)
    assert 0.1 < result.summary["AP"] < 0.9
    assert result.per_class["square"]["AP90"] == pytest.approx(precision[8, :, 0].mean(), abs=1e-12)
    assert result.per_class["disc"]["AR100"] == pytest.approx(
        expected.eval["recall"][:, 1, 0, 2].mean(), abs=1e-12
    )
    assert math.isnan(result.per_class["star"]["AP"])


def test_names_of_the_numbers():
    content, detections = random_case(0)
    result = evaluate_coco(content, detections)
    assert tuple(result.summary) == SUMMARY_KEYS
    assert [tuple(numbers) for numbers in result.per_class.values()] == [CLASS_KEYS] * 3
    for percent in (50, 60, 70, 75, 80, 85, 90, 95):
        assert result.summary[f"AP{percent}"] == result.iou_curve[percent / 100]
    assert result.summary["AP"] == pytest.approx(np.mean(list(result.iou_curve.values())))


@pytest.mark.parametrize(("iou", "reached"), [(0.82, 0.80), (0.62, 0.60), (0.97, 0.95)])
def test_one_detection_counts_up_to_its_own_iou(iou, reached):
    content = dataset([truth(10, 3, BOX)])
    result = evaluate_coco(content, [detection(10, 3, shifted(BOX, iou), 0.9)])
    assert result.iou_curve == {t: pytest.approx(1.0 if t <= reached else 0.0) for t in IOU_THRESHOLDS}
    assert result.summary["AP"] == pytest.approx(sum(t <= reached for t in IOU_THRESHOLDS) / 10)


def test_a_false_positive_above_halves_the_precision():
    content = dataset([truth(10, 3, BOX)])
    result = evaluate_coco(content, [detection(10, 3, [400, 300, 9, 9], 0.9), detection(10, 3, BOX, 0.8)])
    assert result.summary["AP50"] == pytest.approx(0.5)
    assert result.summary["AR1"] == 0.0
    assert result.summary["AR10"] == 1.0


def test_one_of_two_objects_found_gives_51_of_101_recall_points():
    content = dataset([truth(10, 3, BOX, 1), truth(11, 3, BOX, 2)])
    result = evaluate_coco(content, [detection(10, 3, BOX, 0.9)])
    assert result.summary["AP"] == pytest.approx(51 / 101)
    assert result.summary["AR100"] == 0.5


def test_crowds_punish_nobody_and_are_not_counted():
    content = dataset([truth(10, 3, BOX, 1), truth(10, 3, [200, 200, 300, 200], 2, iscrowd=1)])
    inside = [detection(10, 3, [220 + 30 * i, 230, 20, 20], 0.99) for i in range(5)]
    result = evaluate_coco(content, [*inside, detection(10, 3, BOX, 0.5)])
    assert result.summary["AP"] == pytest.approx(1.0)
    assert result.per_class["square"]["objects"] == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_objects_to_ignore(seed, iou_type):
    content, detections = random_case(seed, masks=iou_type == "segm")
    generator = np.random.default_rng(seed)
    for annotation in content["annotations"]:
        annotation["ignore"] = annotation["own_ignore"] = int(generator.random() < 0.3)
    expected = direct(content, detections, iou_type, evaluator=HonoursIgnore)
    result = evaluate_coco(content, detections, iou_type=iou_type)
    assert_same_numbers(result, expected)
    counted = evaluate_coco(content, detections, iou_type=iou_type, ignore=False)
    assert_same_numbers(counted, direct(content, detections, iou_type))
    assert result.summary["AP"] != counted.summary["AP"]
    assert sum(numbers["objects"] for numbers in result.per_class.values()) == sum(
        not (annotation["ignore"] or annotation["iscrowd"]) for annotation in content["annotations"]
    )


def test_an_ignored_object_is_found_once_by_its_iou():
    content = dataset([truth(10, 3, BOX, 1), truth(10, 3, [300.0, 50.0, 60.0, 40.0], 2, ignore=True)])
    inside, whole = [300.0, 50.0, 25.0, 40.0], [300.0, 50.0, 60.0, 40.0]
    best = [detection(10, 3, whole, 0.9), detection(10, 3, BOX, 0.5)]
    assert evaluate_coco(content, best).summary["AP"] == pytest.approx(1.0)
    # A crowd would excuse all of these.
    for other in (detection(10, 3, whole, 0.8), detection(10, 3, inside, 0.8)):
        assert evaluate_coco(content, [*best, other]).summary["AP"] == pytest.approx(0.5)
    assert evaluate_coco(content, best, ignore=False).summary["AP"] == pytest.approx(1.0)
    assert evaluate_coco(content, best[1:], ignore=False).summary["AP"] == pytest.approx(51 / 101)


@pytest.mark.parametrize(("value", "objects"), [(1, 0), (True, 0), ("1", 0), (0, 1), (None, 1), ("no", 1)])
def test_what_ignore_may_be(value, objects):
    result = evaluate_coco(dataset([truth(10, 3, BOX, ignore=value)]), [])
    assert result.per_class["square"]["objects"] == objects


def test_an_overlap_of_exactly_a_threshold_is_enough():
    # 3/4 of the object, without a rounding.
    content = dataset([truth(10, 3, [0.0, 0.0, 64.0, 64.0])])
    result = evaluate_coco(content, [detection(10, 3, [0.0, 0.0, 48.0, 64.0], 0.9)])
    assert result.summary["AP75"] == pytest.approx(1.0)
    assert result.summary["AP80"] == 0


def test_more_than_a_hundred_detections_of_a_class_in_an_image():
    content = dataset([truth(10, 3, BOX)])
    better = [detection(10, 3, [300, 300, 9, 9], 0.9)] * 100
    assert evaluate_coco(content, [*better[1:], detection(10, 3, BOX, 0.5)]).summary["AR100"] == 1.0
    assert evaluate_coco(content, [*better, detection(10, 3, BOX, 0.5)]).summary["AR100"] == 0.0


def test_equals_pycocotools_on_crowded_images():
    """Many classes, and from one to some hundred detections and objects of each in an image."""
    generator = np.random.default_rng(9)
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, 7)]
    annotations, detections = [], []
    for _ in range(700):
        image, category = int(10 + generator.integers(8) ** 2 // 8), int(1 + generator.integers(6) ** 2 // 6)
        box = [*generator.integers(0, 300, 2).tolist(), *(8 * generator.integers(1, 20, 2)).tolist()]
        crowd = int(generator.random() < 0.05)
        annotations.append(truth(image, category, box, len(annotations) + 1, iscrowd=crowd))
        for _ in range(generator.integers(0, 5)):
            near = (np.array(box) + generator.integers(-4, 5, 4)).clip(1).tolist()
            detections.append(detection(image, category, near, float(generator.integers(1, 20)) / 20))
    content = dataset(annotations, num_images=8, categories=categories)
    expected = direct(content, detections)
    result = evaluate_coco(content, detections)
    assert_same_numbers(result, expected)
    precision = expected.eval["precision"][..., 0, 2]
    means = [values[values > -1].mean() for values in precision]
    np.testing.assert_allclose(list(result.iou_curve.values()), means, rtol=0, atol=1e-12)
    assert 0.1 < result.summary["AP"] < 0.9


def test_sizes():
    boxes = {"s": [5, 5, 20, 20], "m": [100, 100, 50, 50], "l": [200, 200, 200, 200]}
    content = dataset([truth(10, 3, box, i) for i, box in enumerate(boxes.values(), start=1)])
    result = evaluate_coco(content, [detection(10, 3, boxes[size], 0.9) for size in "sl"])
    assert [result.summary[f"AP{size}"] for size in "sml"] == pytest.approx([1, 0, 1])
    assert [result.summary[f"AR{size}"] for size in "sml"] == [1, 0, 1]


def test_ids_of_the_annotations_do_not_matter():
    """pycocotools alone never finds an object whose id is 0, and keeps one of two that share an id."""
    content = dataset([truth(10, 3, BOX, 0), truth(11, 3, BOX, 0), truth(11, 7, BOX, 0)])
    found = [detection(entry["image_id"], entry["category_id"], BOX, 0.9) for entry in content["annotations"]]
    assert evaluate_coco(content, found).summary["AP"] == pytest.approx(1.0)


def test_optional_fields_may_be_missing():
    entry = truth(10, 3, BOX)
    bare = {key: entry[key] for key in ("image_id", "category_id", "bbox")}
    result = evaluate_coco(dataset([bare]), [detection(10, 3, BOX, 0.9)])
    assert result.summary["APm"] == pytest.approx(1.0)
    assert math.isnan(result.summary["APl"])


def test_restricted_images():
    content, detections = random_case(5)
    chosen = [12, 11, 17, 12]
    expected = direct(content, detections, image_ids=sorted(set(chosen)))
    result = evaluate_coco(content, detections, image_ids=iter(chosen))
    assert_same_numbers(result, expected)
    counted = [a for a in content["annotations"] if a["image_id"] in chosen and not a["iscrowd"]]
    assert sum(numbers["objects"] for numbers in result.per_class.values()) == len(counted)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_no_detections(iou_type):
    content, _ = random_case(1, masks=iou_type == "segm")
    result = evaluate_coco(content, [], iou_type=iou_type)
    assert all(value == 0 for value in result.summary.values())
    assert result.per_class["disc"]["AP"] == 0


@pytest.mark.parametrize("detections", [[], [detection(10, 3, BOX, 0.9)]])
@pytest.mark.parametrize("num_images", [0, 2])
def test_no_annotations(detections, num_images):
    result = evaluate_coco(dataset([], num_images), detections if num_images else [])
    assert all(math.isnan(value) for value in result.summary.values())
    assert {name: numbers["objects"] for name, numbers in result.per_class.items()} == {
        "square": 0, "disc": 0, "star": 0,
    }  # fmt: skip


def test_silent_and_leaves_its_inputs_alone(capsys):
    for masks, iou_type in ((False, "bbox"), (True, "segm")):
        content, detections = random_case(2, masks=masks)
        before = copy.deepcopy((content, detections))
        evaluate_coco(content, detections, iou_type=iou_type)
        assert (content, detections) == before
    assert capsys.readouterr() == ("", "")


def test_reads_a_file_and_numpy_numbers(tmp_path):
    content, detections = random_case(3)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    arrays = [
        {key: np.asarray(value) if key == "bbox" else np.array([value])[0] for key, value in entry.items()}
        for entry in detections
    ]
    assert evaluate_coco(path, arrays).summary == evaluate_coco(content, detections).summary


def test_the_size_of_a_mask_is_its_area_even_beside_a_box():
    content, detections = random_case(4, masks=True)
    with_boxes = [{**entry, "bbox": [0, 0, 640, 480]} for entry in detections]
    assert (
        evaluate_coco(content, with_boxes, iou_type="segm").summary
        == evaluate_coco(content, detections, iou_type="segm").summary
    )


def test_classes_that_share_a_name_stay_apart():
    content = dataset([truth(10, 1, BOX)], categories=[{"id": 1, "name": "cell"}, {"id": 2, "name": "cell"}])
    result = evaluate_coco(content, [detection(10, 1, BOX, 0.9)])
    assert result.per_class["cell (1)"]["AP"] == pytest.approx(1.0)
    assert math.isnan(result.per_class["cell (2)"]["AP"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"category_id": 4},
            r"detection 1: category_id is 4, expected one of the annotation file's 3, 7, 12",
        ),
        ({"image_id": 99}, r"detection 1: image_id is 99, expected an image of the annotation file"),
        ({"score": float("nan")}, r"detection 1: score is nan, expected a finite number"),
        ({"score": None}, r"detection 1: score is None, expected a finite number"),
        ({"score": "0.9"}, r"detection 1: score is '0.9', expected a finite number"),
        ({"score": 10**400}, r"detection 1: score is 1000.*, expected a finite number"),
        ({"image_id": [10]}, r"detection 1: image_id is \[10\], expected an image"),
        ({"category_id": True}, r"detection 1: category_id is True, expected one of"),
        ({"bbox": [1, 2, 3]}, r"detection 1: bbox is \[1, 2, 3\], expected four finite numbers"),
        ({"bbox": [1, 2, -3, 4]}, r"detection 1: bbox is .*, expected four finite numbers"),
        ({"bbox": [1, 2, float("inf"), 4]}, r"detection 1: bbox is .*, expected four finite numbers"),
    ],
)
def test_wrong_detections(change, message):
    good = detection(10, 3, BOX, 0.9)
    with pytest.raises(ValueError, match=message) as error:
        evaluate_coco(dataset([truth(10, 3, BOX)]), [good, good | change])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["image_id", "category_id", "score", "bbox"])
def test_detection_without_a_field(field):
    entry = detection(10, 3, BOX, 0.9)
    del entry[field]
    with pytest.raises(ValueError, match=f"detection 0: {field} is missing"):
        evaluate_coco(dataset([truth(10, 3, BOX)]), [entry])


def test_a_polygon_is_not_a_detected_mask():
    content, detections = random_case(0, masks=True)
    with pytest.raises(ValueError, match=r"segmentation is .*, expected run lengths"):
        evaluate_coco(content, [detections[0] | {"segmentation": [[0, 0, 1, 0, 1, 1]]}], iou_type="segm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "categories": []}, "a list named 'annotations'"),
        ({"images": {}, "annotations": [], "categories": []}, "a list named 'images'"),
        (
            dataset([truth(10, 5, BOX)]),
            r"annotation 0 \(id 1\): category_id is 5, expected one of",
        ),
        (dataset([{"image_id": 10, "category_id": 3}]), "annotation 0: bbox is missing"),
        (
            dataset([truth(10, 3, BOX) | {"bbox": [1, 2]}]),
            r"annotation 0 \(id 1\): bbox is \[1, 2\], expected four finite numbers",
        ),
        (
            dataset([truth(10, 3, [1, 2, math.nan, 4])]),
            r"annotation 0 \(id 1\): bbox is .*, expected four finite",
        ),
        (dataset([truth(10, 3, [1, 2, -5, 4])]), r"annotation 0 \(id 1\): bbox is .* height >= 0"),
        (
            dataset([truth(99999, 3, BOX)]),
            r"annotation 0 \(id 1\): image_id is 99999, expected an image of the annotation file",
        ),
        (
            dataset([truth(10, 3, BOX) | {"iscrowd": "x"}]),
            r"annotation 0 \(id 1\): iscrowd is 'x', expected 0 or 1",
        ),
        (
            {"images": [{"width": 3}], "annotations": [], "categories": []},
            r"image 0: id is missing",
        ),
        (
            {"images": [{"id": 1}, {"id": 1}], "annotations": [], "categories": []},
            r"image 1 \(id 1\): id is 1, expected one that no record before it has",
        ),
        (
            {"images": [{"id": 1}, {"id": "b"}], "annotations": [], "categories": []},
            r"image ids are 1, 'b', expected all numbers or all texts",
        ),
        (
            {"images": [{"id": 1, "width": "wide"}], "annotations": [], "categories": []},
            r"image 0 \(id 1\): width is 'wide', expected a whole number",
        ),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": 3}]},
            r"category 0 \(id 1\): name is 3, expected a text",
        ),
        (
            {"images": [], "annotations": [], "categories": [7]},
            r"category 0: is 7, expected a record",
        ),
        (
            dataset([truth(10, 3, [1, 2, "x", 4])]),
            r"annotation 0 \(id 1\): bbox is \[1, 2, 'x', 4\], expected four finite numbers",
        ),
        (dataset([truth([10], 3, BOX)]), r"annotation 0 \(id 1\): image_id is \[10\], expected an image"),
    ],
)
def test_wrong_annotations(content, message):
    with pytest.raises(ValueError, match=message):
        evaluate_coco(content, [])


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_wrong_annotation_file(tmp_path, text):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"instances\.json: "):
        evaluate_coco(path, [])


def test_missing_annotation_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        evaluate_coco(tmp_path / "nowhere.json", [])


def test_wrong_settings():
    content = dataset([truth(10, 3, BOX)])
    with pytest.raises(ValueError, match="iou_type must be 'bbox' or 'segm', got 'keypoints'"):
        evaluate_coco(content, [], iou_type="keypoints")
    with pytest.raises(ValueError, match="annotations has no image 1, 2"):
        evaluate_coco(content, [], image_ids=[10, 2, 1])


def test_categories_are_in_order_of_their_ids():
    content = dataset([], categories=CATEGORIES[::-1])
    assert list(evaluate_coco(content, []).per_class) == ["square", "disc", "star"]
