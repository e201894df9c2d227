"""Files that are legal and mean nothing, or rarely what they say: stopped, or told in a line."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco, read_dataset_dir
from cascade_tf.metrics import evaluate_coco
from tests.data.small_dataset import content, content_with_masks, write_annotations

REMEDY = "crowds_as_objects (in programs --set data.crowds_as_objects=true) reads them as objects"


def read(folder, annotations, **settings):
    write_annotations(folder, annotations)
    return read_dataset_dir(folder, "train", **settings)


def many(folder, boxes, *, num_images=4, **fields):
    """A data set of pictures of 100 x 80 pixels, whose objects take turns."""
    for i in range(num_images):
        Image.new("L", (100, 80)).save(folder / f"{i}.png")
    annotations = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 80} for i in range(num_images)],
        "annotations": [
            {"id": i, "image_id": i % num_images, "category_id": 1, "bbox": box, "iscrowd": 0}
            | {"area": float(box[2] * box[3])}
            | fields
            for i, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (folder / "a.json").write_text(json.dumps(annotations))
    return folder / "a.json"


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (count, 2))
    return np.concatenate([low, rng.uniform(5, 19, (count, 2))], axis=1)


def test_boxes_in_pixels_are_nothing_to_speak_of(tmp_path):
    assert read_coco(many(tmp_path, random_boxes(40).tolist()), tmp_path).notes == ()


@pytest.mark.parametrize("skip_broken", [False, True])
def test_fractions_of_the_image_stop(tmp_path, skip_broken):
    boxes = (random_boxes(40) / [100, 80, 100, 80]).tolist()
    with pytest.raises(ValueError, match="all 40 boxes lie between 0 and 1, as fractions of the image are"):
        read_coco(many(tmp_path, boxes), tmp_path, skip_broken=skip_broken)


def as_corners(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_corners_stop(tmp_path, seed):
    path = many(tmp_path, as_corners(random_boxes(40, seed)))
    with pytest.raises(ValueError, match=r"of 40 boxes leave their image .* expected sizes, not corners"):
        read_coco(path, tmp_path)


def test_a_few_boxes_that_look_like_corners_are_told(tmp_path):
    dataset = read_coco(many(tmp_path, [[50, 40, 60, 60], [60, 50, 90, 70]]), tmp_path)
    assert dataset.notes[0] == (
        "a.json: 2 of 2 boxes leave their image to the right or below and would fit as corners "
        "[x1, y1, x2, y2]; they were read as [x, y, width, height]"
    )


def test_boxes_that_fill_the_image_are_no_corners(tmp_path):
    dataset = read_coco(many(tmp_path, [[0, 0, 100, 80]] * 20 + [[1, 1, 100, 80]] * 20), tmp_path)
    assert dataset.notes == ()


def test_boxes_of_a_larger_image_are_told(tmp_path):
    boxes = (2 * random_boxes(40)).tolist()
    note, *_ = read_coco(many(tmp_path, boxes), tmp_path).notes
    leaving = sum(x + w > 102 or y + h > 82 for x, y, w, h in boxes)
    assert 4 <= leaving < 40
    assert note == (
        f"a.json: {leaving} of 40 boxes leave their image to the right or below and are clipped: "
        "are they of an image of another size?"
    )


def test_tiny_boxes_are_counted(tmp_path):
    boxes = [*random_boxes(20).tolist(), [5, 5, 1.5, 9], [5, 5, 9, 0.5], [5, 5, 2, 2], [99, 5, 5, 5]]
    assert read_coco(many(tmp_path, boxes), tmp_path).notes == (
        "a.json: 3 of 24 boxes are narrower or lower than 2 pixels",
    )


def test_images_without_annotations_that_look_like_unfinished_work(tmp_path):
    # Objects in the first 9 of 12 images, then in the first 10.
    for used, told in ((9, True), (10, False)):
        path = many(tmp_path, random_boxes(used).tolist(), num_images=12)
        notes = read_coco(path, tmp_path).notes
        assert (
            notes
            == (
                "a.json: 3 of 12 images have no annotations and count as background; where they are only not "
                "labelled yet, leave them out",
            )[:told]
        )


def test_a_class_that_never_occurs(dataset_dir):
    annotations = content()
    annotations["categories"] += [{"id": 9, "name": "owl"}, {"id": 8, "name": "hen"}]
    assert read(dataset_dir, annotations).notes == (
        "instances_train.json: 2 of 4 classes have no object: hen, owl",
    )
    annotations["categories"] += [{"id": 20 + i, "name": f"n{i}"} for i in range(10)]
    assert (
        read(dataset_dir, annotations)
        .notes[0]
        .endswith("hen, owl, n0, n1, n2, n3, n4, n5, n6, n7, ... (12 in all)")
    )


def test_a_file_without_annotations_is_told(dataset_dir):
    dataset = read(dataset_dir, content() | {"annotations": []})
    assert dataset.num_objects == 0
    assert dataset.notes == (
        "instances_train.json: no image has annotations, there is nothing to learn from and nothing to "
        "measure by",
    )


def brush_masks():
    """As CVAT writes masks of its brush: run lengths as a list, and every object a crowd."""
    annotations = content()
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations["images"]}
    for record in annotations["annotations"]:
        x, y, width, height = (int(side) for side in record["bbox"])
        rows, columns = sizes[record["image_id"]]
        lengths = [x * rows + y] + [height, rows - height] * (width - 1) + [height]
        size = [rows, columns]
        record["segmentation"] = {"counts": [*lengths, rows * columns - sum(lengths)], "size": size}
        record.update(iscrowd=1, bbox=[float(x), float(y), float(width), float(height)])
        record.update(area=float(width * height), attributes={"occluded": False})
    return annotations


@pytest.mark.parametrize("segmentations", [False, True])
def test_brush_masks_of_cvat_stop_and_name_the_setting_that_reads_them(dataset_dir, segmentations):
    with pytest.raises(ValueError, match="all 5 objects are crowds, nothing is learnt") as error:
        read(dataset_dir, brush_masks(), segmentations=segmentations)
    assert str(error.value).endswith(REMEDY)
    dataset = read(dataset_dir, brush_masks(), segmentations=segmentations, crowds_as_objects=True)
    assert dataset.num_objects == 5
    assert dataset.notes == ()
    assert not any(example.crowd.any() for example in dataset.examples)
    truth = dataset.ground_truth()["annotations"]
    assert [record["iscrowd"] for record in truth] == [0] * 5
    assert [record["area"] for record in truth] == [600, 3072, 128, 600, 450]
    if segmentations:
        assert all(None not in example.segmentations for example in dataset.examples)


def test_many_crowds_beside_objects_are_told(tmp_path):
    path = many(tmp_path, random_boxes(20).tolist())
    annotations = json.loads(path.read_text())
    for record in annotations["annotations"][:4]:
        record["iscrowd"] = 1
    path.write_text(json.dumps(annotations))
    (note,) = read_coco(path, tmp_path).notes
    assert note.startswith("a.json: 4 of 20 annotations are crowds; nothing is learnt from these")
    assert note.endswith(REMEDY)


def test_an_export_whose_boxes_mean_nothing_stops_though_broken_records_may_be_skipped(dataset_dir):
    annotations = content()
    for record in annotations["annotations"]:
        record["bbox"] = ["left", "top", "wide", "high"]
    with pytest.raises(
        ValueError, match=r"none of 5 annotations is left as an object, .* 5 records were dropped"
    ):
        read(dataset_dir, annotations, skip_broken=True)
    annotations["images"] = [image for image in annotations["images"] if image["id"] != 13]
    with pytest.raises(
        ValueError, match="no usable image, expected at least one in 'images'; 5 records were"
    ):
        read(dataset_dir, annotations, skip_broken=True)


def test_text_boxes_of_roboflow_are_boxes(dataset_dir):
    annotations = content()
    expected = read(dataset_dir, annotations)
    for record in annotations["annotations"]:
        x, y, width, height = record["bbox"]
        record.update(bbox=[x, y, f"{width:.1f}", f"{height:.1f}"], segmentation=[])
    dataset = read(dataset_dir, annotations)
    for one, other in zip(dataset.examples, expected.examples, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert dataset.notes == ("instances_train.json: 5 boxes had numbers as text; read as numbers",)


@pytest.mark.parametrize(
    ("field", "value"), [("category_id", 5), ("category_id", None), ("iscrowd", 2), ("iscrowd", "maybe")]
)
@pytest.mark.parametrize("segmentations", [False, True])
def test_the_area_of_a_broken_object_is_ignored_where_its_box_is_known(
    dataset_dir, field, value, segmentations
):
    annotations = content_with_masks()
    annotations["annotations"][2][field] = value
    dataset = read(dataset_dir, annotations, skip_broken=True, segmentations=segmentations)
    assert dataset.examples[1].boxes.tolist() == [[0, 0, 64, 48], [4.5, 8, 20.5, 16]]
    assert dataset.examples[1].crowd.tolist() == [True, True]
    assert dataset.dropped[0].endswith("; its area is ignored")
    truth = dataset.ground_truth()
    crowds = [
        r["category_id"] for r in truth["annotations"] if r.get("iscrowd") and r["bbox"] == [4.5, 8, 16, 8]
    ]
    # Nobody knows of which class it is: what was found there may be right in each.
    assert crowds == ([3, 7] if field == "category_id" else [7])
    assert len({record["id"] for record in truth["annotations"]}) == len(truth["annotations"])
    others = [record for record in truth["annotations"] if not record.get("iscrowd")]
    found = [record | {"score": 0.5} for record in others]
    found += [
        others[0] | {"image_id": 11, "category_id": c, "bbox": [5, 9, 9, 6], "score": 0.9} for c in crowds
    ]
    assert evaluate_coco(truth, found).summary["AP"] == pytest.approx(1.0)


def test_an_image_with_an_object_that_nobody_can_place_is_left_out(dataset_dir):
    annotations = content()
    annotations["annotations"][2]["bbox"] = None
    dataset = read(dataset_dir, annotations, skip_broken=True)
    assert [example.image_id for example in dataset.examples] == [10, 12, 13, 14]
    assert dataset.kept == (0, 3, 4)
    (dropped,) = dataset.dropped
    assert dropped == (
        "annotations[2] (id 3): bbox is None, expected four finite numbers [x, y, width, height]; "
        "image 11 is left out"
    )
    truth = dataset.ground_truth()
    assert [image["id"] for image in truth["images"]] == [10, 12, 13, 14]
    assert [record["id"] for record in truth["annotations"]] == [1, 4, 5]


@pytest.mark.parametrize("area", [2400.0, 0, -5, None, "many", float("nan"), "absent"])
@pytest.mark.parametrize("shape", ["box", "polygon"])
def test_an_area_that_is_not_the_objects_is_measured(dataset_dir, area, shape):
    annotations = content()
    record = annotations["annotations"][0]
    record["area"] = area
    if area == "absent":
        del record["area"]
    # A triangle of half of the box of 20 x 30 pixels.
    record["segmentation"] = [] if shape == "box" else [[10, 5, 30, 5, 10, 35]]
    dataset = read(dataset_dir, annotations)
    assert dataset.notes == (
        "instances_train.json: 1 object had no area, or not its own; taken from the mask or the box",
    )
    truth = dataset.ground_truth()["annotations"]
    assert truth[0]["area"] == (600.0 if shape == "box" else pytest.approx(300, abs=16))
    assert [record["area"] for record in truth[1:]] == [
        record["area"] for record in annotations["annotations"][1:]
    ]
    # The file itself is evaluated alike: with 2400 pixels, or none, the object would be medium, or nothing.
    numbers = evaluate_coco(annotations, [record | {"score": 0.9}]).summary
    assert numbers["ARs"] > 0
    assert np.isnan(numbers["ARm"])


@pytest.mark.parametrize("factor", [0.02, 0.5, 1.0, 1.4])
def test_an_area_that_may_be_the_objects_stays_as_it_is(dataset_dir, factor):
    annotations = content_with_masks()
    before = copy.deepcopy(annotations)
    for record in (*annotations["annotations"], *before["annotations"]):
        record["area"] = factor * record["bbox"][2] * record["bbox"][3]
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert dataset.notes == ()
    assert dataset.ground_truth()["annotations"] == before["annotations"]
