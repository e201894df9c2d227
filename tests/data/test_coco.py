"""The reader: what it understands, and the line it gives for each thing that is wrong."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.data.coco import read_coco, read_dataset_dir
from cascade_tf.metrics import evaluate_coco
from tests.data.small_dataset import content, content_with_masks, write_annotations


def read(folder, annotations=None, **settings):
    if annotations is not None:
        write_annotations(folder, annotations)
    return read_dataset_dir(folder, "train", **settings)


def test_categories_are_sorted_by_id_and_classes_count_from_one(dataset_dir):
    dataset = read(dataset_dir)
    assert dataset.class_names == ("dog", "cat")
    assert dataset.category_ids == (3, 7)
    assert dataset.examples[0].classes.tolist() == [2]
    assert dataset.examples[1].classes.tolist() == [1, 2]


def test_boxes_become_corners(dataset_dir):
    dataset = read(dataset_dir)
    assert dataset.examples[0].boxes.tolist() == [[10, 5, 30, 35]]
    assert dataset.examples[1].boxes.tolist() == [[0, 0, 64, 48], [4.5, 8, 20.5, 16]]
    assert dataset.examples[0].boxes.dtype == np.float32
    assert dataset.dropped == ()


def test_order_ids_and_sizes_are_the_files(dataset_dir):
    examples = read(dataset_dir).examples
    assert [e.image_id for e in examples] == [10, 11, 12, 13, 14]
    assert [(e.width, e.height) for e in examples[:3]] == [(60, 40), (64, 48), (40, 60)]
    assert examples[0].path == str(dataset_dir / "images" / "a.png")


def test_crowds_and_images_without_objects_are_kept(dataset_dir):
    dataset = read(dataset_dir)
    assert dataset.examples[1].crowd.tolist() == [True, False]
    empty = dataset.examples[3]
    assert empty.boxes.shape == (0, 4)
    assert empty.classes.shape == (0,)
    assert empty.crowd.shape == (0,)
    assert dataset.summary() == (
        "5 images (1 without objects), 4 objects and 1 crowd of 2 classes, 0 records dropped"
    )


def test_a_box_that_sticks_out_is_clipped(dataset_dir):
    annotations = content()
    annotations["annotations"][0]["bbox"] = [-5, 30, 100.5, 20.25]
    dataset = read(dataset_dir, annotations)
    assert dataset.examples[0].boxes.tolist() == [[0, 30, 60, 40]]
    assert dataset.dropped == ()


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([10, 5, 0, 30], "is empty"),
        ([10, 5, 20, -3], "is empty"),
        ([10, 5, -20, 30], "is empty"),
        ([10, 5, 20, 0.001], "is empty"),
        ([60, 5, 20, 30], "lies outside the image of 60 x 40 pixels"),
        ([10, -40, 20, 30], "lies outside the image of 60 x 40 pixels"),
        ([-30, 5, 30, 30], "lies outside the image of 60 x 40 pixels"),
    ],
)
def test_an_empty_box_or_one_outside_is_dropped_and_reported(dataset_dir, bbox, reason):
    annotations = content()
    annotations["annotations"][0]["bbox"] = bbox
    dataset = read(dataset_dir, annotations)
    assert len(dataset.examples) == 5
    assert dataset.examples[0].boxes.shape == (0, 4)
    assert dataset.dropped == (
        f"annotations[0] (id 1) of image 10: box [x, y, width, height] = {bbox} {reason}",
    )


def test_a_missing_size_is_read_from_the_image(dataset_dir):
    annotations = content()
    del annotations["images"][1]["width"], annotations["images"][2]["height"]
    examples = read(dataset_dir, annotations).examples
    assert (examples[1].width, examples[1].height) == (64, 48)
    assert (examples[2].width, examples[2].height) == (40, 60)


def test_file_names_may_hold_folders(dataset_dir):
    (dataset_dir / "images" / "deep").mkdir()
    (dataset_dir / "images" / "a.png").rename(dataset_dir / "images" / "deep" / "a.png")
    annotations = content()
    annotations["images"][0]["file_name"] = "deep/a.png"
    assert read(dataset_dir, annotations).examples[0].path.endswith("deep/a.png")


BROKEN_RECORDS = [
    (("images", 1), "oops", "images[1]: is 'oops', expected an object with an integer 'id'"),
    (("images", 1, "id"), "eleven", "images[1] (id 'eleven'): is {"),
    (("images", 1, "id"), 11.5, "images[1] (id 11.5): is {"),
    (("images", 1, "id"), True, "images[1] (id True): is {"),
    (("images", 1, "id"), 10, "images[1] (id 10): an image before it has the same id"),
    (("images", 0, "file_name"), None, "images[0] (id 10): file_name is None"),
    (("images", 0, "file_name"), "", "images[0] (id 10): file_name is ''"),
    (
        ("images", 0, "file_name"),
        "../f.png",
        "file_name is '../f.png', expected a name inside the image folder",
    ),
    (("images", 0, "file_name"), "/f.png", "file_name is '/f.png', expected a name inside the image folder"),
    (("images", 0, "width"), 60.5, "images[0] (id 10): width is 60.5, expected a positive integer"),
    (("images", 0, "height"), -40, "images[0] (id 10): height is -40, expected a positive integer"),
    (("images", 0, "height"), "4O", "images[0] (id 10): height is '4O', expected a positive integer"),
    (("annotations", 0), None, "annotations[0]: is None, expected an object"),
    (("annotations", 0, "image_id"), 99, "annotations[0] (id 1): image_id is 99, expected the id of an"),
    (("annotations", 0, "image_id"), None, "annotations[0] (id 1): image_id is None"),
    (("annotations", 2, "category_id"), 5, "category_id is 5, which no category bears; expected one of 3, 7"),
    (("annotations", 2, "category_id"), [3], "category_id is [3], which no category bears"),
    (("annotations", 0, "bbox"), None, "bbox is None, expected four finite numbers [x, y, width, height]"),
    (("annotations", 0, "bbox"), "1 2 3 4", "bbox is '1 2 3 4', expected four finite numbers"),
    (("annotations", 0, "bbox"), [1, 2, 3], "bbox is [1, 2, 3], expected four finite numbers"),
    (("annotations", 0, "bbox"), [1, 2, 3, "4,5"], "bbox is [1, 2, 3, '4,5'], expected four finite numbers"),
    (("annotations", 0, "bbox"), [1, 2, 3, float("nan")], "bbox is [1, 2, 3, nan], expected four finite"),
    (("annotations", 0, "bbox"), [1, 2, 3, float("inf")], "bbox is [1, 2, 3, inf], expected four finite"),
    (("annotations", 0, "iscrowd"), 2, "annotations[0] (id 1): iscrowd is 2, expected 0 or 1"),
]


def spoil(annotations, keys, value):
    *path, last = keys
    for key in path:
        annotations = annotations[key]
    annotations[last] = value


@pytest.mark.parametrize(("keys", "value", "line"), BROKEN_RECORDS)
def test_a_broken_record_stops_with_file_record_and_field(dataset_dir, keys, value, line):
    annotations = content()
    spoil(annotations, keys, value)
    with pytest.raises(ValueError, match=re.escape(line)) as error:
        read(dataset_dir, annotations)
    first, *others = str(error.value).splitlines()
    assert first.startswith(f"{dataset_dir / 'instances_train.json'}: ")
    assert "skip_broken leaves them out (in programs --set data.skip_broken=true)" in first
    # An image without a usable id takes its objects with it, which are listed below.
    assert bool(others) == line.startswith("images[1]")


@pytest.mark.parametrize("missing_file", [False, True])
def test_all_broken_records_are_told_together(dataset_dir, missing_file):
    annotations = content()
    annotations["annotations"][2]["bbox"] = annotations["annotations"][4]["category_id"] = None
    if missing_file:
        (dataset_dir / "images" / "a.png").unlink()
    with pytest.raises(ValueError, match="records are broken") as error:
        read(dataset_dir, annotations)
    lines = str(error.value).splitlines()
    assert lines[0] == (
        f"{dataset_dir / 'instances_train.json'}: {2 + missing_file} records are broken; skip_broken leaves "
        "them out (in programs --set data.skip_broken=true):"
    )
    assert [line.split(":")[0] for line in lines[1:]] == (
        ["  images[0] (id 10)"] * missing_file + ["  annotations[2] (id 3)", "  annotations[4] (id 5)"]
    )


def test_twenty_broken_records_are_listed_and_the_others_counted(dataset_dir):
    annotations = content()
    annotations["annotations"] += [
        {"id": 10 + i, "image_id": 10, "category_id": 7, "bbox": None} for i in range(23)
    ]
    with pytest.raises(ValueError, match="23 records are broken") as error:
        read(dataset_dir, annotations)
    lines = str(error.value).splitlines()
    assert len(lines) == 22
    assert lines[20].startswith("  annotations[24] (id 29): bbox is None")
    assert lines[21] == "  ... and 3 more"


def test_the_absence_of_several_pictures_is_one_error(dataset_dir):
    for name in ("a.png", "c.png"):
        (dataset_dir / "images" / name).unlink()
    with pytest.raises(FileNotFoundError, match="2 records are broken") as error:
        read(dataset_dir)
    lines = str(error.value).splitlines()[1:]
    assert [line.split("/")[-1] for line in lines] == ["a.png", "c.png"]


@pytest.mark.parametrize(("keys", "value", "line"), BROKEN_RECORDS)
def test_a_broken_record_can_be_skipped_and_is_listed(dataset_dir, keys, value, line):
    annotations = content()
    spoil(annotations, keys, value)
    dataset = read(dataset_dir, annotations, skip_broken=True)
    assert any(line in dropped for dropped in dataset.dropped)
    # Nobody knows where in its image an object without a box is.
    assert len(dataset.examples) == (4 if keys[0] == "images" or keys[-1] == "bbox" else 5)


@pytest.mark.parametrize(("keys", "value", "line"), BROKEN_RECORDS)
def test_the_ground_truth_holds_what_was_read(dataset_dir, keys, value, line):
    annotations = content()
    spoil(annotations, keys, value)
    dataset = read(dataset_dir, annotations, skip_broken=True)
    truth = dataset.ground_truth()
    assert [record["id"] for record in truth["images"]] == [e.image_id for e in dataset.examples]
    # An area of an unknown class is a crowd of both.
    assert len(truth["annotations"]) == sum(len(e.boxes) for e in dataset.examples) + len(dataset.unclassed)
    assert len(dataset.unclassed) == (keys[-1] == "category_id")
    assert evaluate_coco(truth, []).summary["AP"] == 0.0


def test_a_box_that_was_dropped_is_not_missed_in_an_evaluation(dataset_dir):
    annotations = content()
    annotations["annotations"].append({"id": 9, "image_id": 13, "category_id": 7, "bbox": [5, 5, 0, 9]})
    dataset = read(dataset_dir, annotations)
    assert len(dataset.dropped) == 1
    found = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in content()["annotations"]
        if not a.get("iscrowd")
    ]
    assert evaluate_coco(dataset.ground_truth(), found).summary["AP"] == pytest.approx(1.0)


def test_objects_of_a_skipped_image_are_not_reported_again(dataset_dir):
    (dataset_dir / "images" / "b.png").unlink()
    dataset = read(dataset_dir, skip_broken=True)
    assert [e.image_id for e in dataset.examples] == [10, 12, 13, 14]
    assert len(dataset.dropped) == 1


@pytest.mark.parametrize(
    ("keys", "value", "line"),
    [
        (("images",), {}, "'images' is a dict, expected a COCO annotation file with the lists"),
        (("annotations",), None, "'annotations' is a NoneType"),
        (("images",), [], "no usable image, expected at least one in 'images'"),
        (("categories",), [], "'categories' is empty, expected at least one category"),
        (("categories", 0, "id"), "seven", "categories[0] (id 'seven'): is {"),
        (("categories", 0, "name"), "", "categories[0] (id 7): name is '', expected a non-empty string"),
        (("categories", 0, "name"), "dog", "categories: ids 7 and 3 are both named 'dog', expected distinct"),
        (("categories", 0, "id"), 3, "categories[1] (id 3): a category before it has the same id"),
    ],
)
@pytest.mark.parametrize("skip_broken", [False, True])
def test_a_file_that_makes_no_sense_always_stops(dataset_dir, keys, value, line, skip_broken):
    annotations = content()
    spoil(annotations, keys, value)
    if keys == ("images",) and value == []:
        annotations["annotations"] = []
    with pytest.raises(ValueError, match=re.escape(line)):
        read(dataset_dir, annotations, skip_broken=skip_broken)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is empty, expected a COCO annotation file"),
        ("{]", "is not JSON (Expecting property name enclosed in double quotes: line 1 column 2"),
        (json.dumps(content())[:-9], "is not JSON ("),
        ("[1, 2]", "holds a list, expected a COCO annotation file"),
        ("{}", "'images' is missing, expected a COCO annotation file"),
    ],
)
def test_a_file_that_is_no_annotation_file(dataset_dir, text, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        read(dataset_dir, text)


def test_bytes_that_are_no_text(dataset_dir):
    (dataset_dir / "instances_train.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"is not JSON .*codec can't decode"):
        read(dataset_dir)


def test_a_picture_that_is_missing_or_no_picture(dataset_dir):
    annotations = content()
    annotations["images"][0]["file_name"] = "absent.png"
    with pytest.raises(
        FileNotFoundError, match=r"images\[0\] \(id 10\): file_name: no such image file: .*absent.png"
    ):
        read(dataset_dir, annotations)
    annotations = content()
    del annotations["images"][0]["width"]
    (dataset_dir / "images" / "a.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"gives no width and height, and .*a.png is not a readable image"):
        read(dataset_dir, annotations)


def test_missing_folders_and_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; expected a data set folder: images/"):
        read(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no instances_train.json; expected"):
        read(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no instances_train.json; expected"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such annotation file"):
        read_coco(tmp_path / "absent.json", tmp_path / "images")
    with pytest.raises(FileNotFoundError, match="no such image folder"):
        read_coco(tmp_path / "absent.json", tmp_path / "nothing")
    with pytest.raises(ValueError, match="is a folder, expected a COCO annotation file"):
        read_coco(tmp_path, tmp_path / "images")


class TestMasks:
    def test_polygons_become_arrays_and_run_lengths_stay_text(self, dataset_dir):
        annotations = content_with_masks()
        dataset = read(dataset_dir, annotations, segmentations=True)
        (polygon,) = dataset.examples[0].segmentations[0]
        assert polygon.tolist() == [10, 5, 30, 5, 30, 35, 10, 35]
        assert polygon.dtype == np.float64
        assert dataset.examples[4].segmentations == (annotations["annotations"][4]["segmentation"],)
        assert (dataset.dropped, dataset.ignored) == ((), frozenset())

    def test_nobody_keeps_the_mask_of_a_crowd(self, dataset_dir):
        example = read(dataset_dir, content_with_masks(), segmentations=True).examples[1]
        assert example.crowd.tolist() == [True, False]
        assert [segmentation is None for segmentation in example.segmentations] == [True, False]

    def test_plain_run_lengths_are_compressed(self, dataset_dir):
        annotations = content_with_masks()
        text = annotations["annotations"][4]["segmentation"]
        plain = {"size": [60, 30], "counts": [x for _ in range(15) for x in (30, 30)] + [900]}
        annotations["annotations"][4]["segmentation"] = plain
        (kept,) = read(dataset_dir, annotations, segmentations=True).examples[4].segmentations
        assert kept == {"size": [60, 30], "counts": text["counts"].encode()}

    def test_self_crossing_polygons_and_parts_outside_are_accepted(self, dataset_dir):
        annotations = content_with_masks()
        bow_tie, outside = [10, 5, 30, 35, 30, 5, 10, 35], [90, 5, 99, 5, 99, 9]
        annotations["annotations"][0]["segmentation"] = [bow_tie, outside]
        dataset = read(dataset_dir, annotations, segmentations=True)
        assert [p.tolist() for p in dataset.examples[0].segmentations[0]] == [bow_tie, outside]

    def test_nothing_looks_at_masks_that_nobody_asked_for(self, dataset_dir):
        annotations = content_with_masks()
        annotations["annotations"][0]["segmentation"] = "oops"
        dataset = read(dataset_dir, annotations)
        assert dataset.dropped == ()
        assert {example.segmentations for example in dataset.examples} == {()}


BROKEN_MASKS = [
    ([[10, 5, 30, 5]], "polygon 0 has 2 points, expected at least 3"),
    ([[10, 5, 30, 5, 30, 35, 10]], "polygon 0 has 7 coordinates, expected pairs of x and y"),
    ([[10, 5, 30, 5], []], "polygon 0 has 2 points, expected at least 3"),
    ([[10, 5, 30, "5,5", 30, 35]], "polygon 0 is [10, 5, 30, '5,5', 30, 35], expected a list of numbers"),
    ([[10, 5, 30, float("nan"), 30, 35]], "polygon 0 has a coordinate that is not finite"),
    ([10, 5, 20, 30], "polygon 0 is 10, expected a list of numbers"),
    ([[60, 5, 70, 5, 70, 35]], "all polygons lie outside the image of 60 x 40 pixels"),
    ([[10, 5, 1e9, 5, 30, 35]], "polygon 0 has the coordinate 1e+09, expected at most 100000 pixels"),
    ("oops", "got 'oops', expected a list of polygons or an RLE mapping"),
    (7, "got 7, expected a list of polygons or an RLE mapping"),
    (
        {"size": [60, 40], "counts": [2400]},
        "RLE size is [60, 40], expected the image's [height, width] [40, 60]",
    ),
    ({"size": [40, 60], "counts": [2399]}, "RLE counts cover 2399 pixels, expected 40 x 60"),
    ({"size": [40, 60], "counts": "P5"}, "RLE counts "),
    ({"size": [40, 60]}, "RLE counts are None, expected a list of integers or COCO's text"),
]


@pytest.mark.parametrize(("segmentation", "line"), BROKEN_MASKS)
@pytest.mark.parametrize("position", [0, 1], ids=["object", "crowd"])
def test_a_broken_mask_stops_with_file_record_and_field(dataset_dir, segmentation, line, position):
    annotations = content_with_masks()
    record = annotations["annotations"][position]
    record.update(image_id=10, segmentation=segmentation)
    with pytest.raises(ValueError, match=re.escape(line)) as error:
        read(dataset_dir, annotations, segmentations=True)
    where = f"annotations[{position}] (id {record['id']}): segmentation: "
    assert str(error.value).startswith(f"{dataset_dir / 'instances_train.json'}: {where}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("segmentation", "line"), BROKEN_MASKS)
def test_an_object_with_a_broken_mask_can_be_ignored_and_is_listed(dataset_dir, segmentation, line):
    annotations = content_with_masks()
    annotations["annotations"][0]["segmentation"] = segmentation
    dataset = read(dataset_dir, annotations, segmentations=True, skip_broken=True)
    (dropped,) = dataset.dropped
    assert dropped.startswith(f"annotations[0] (id 1): segmentation: {line}")
    assert dropped.endswith("; its object is ignored")
    example = dataset.examples[0]
    assert example.boxes.tolist() == [[10, 5, 30, 35]]
    assert example.crowd.tolist() == [True]
    assert example.segmentations == (None,)


@pytest.mark.parametrize("nothing", [None, [], "absent"])
def test_objects_without_masks_are_counted_and_the_first_is_named(dataset_dir, nothing):
    annotations = content_with_masks()
    for position in (2, 4):
        if nothing == "absent":
            del annotations["annotations"][position]["segmentation"]
        else:
            annotations["annotations"][position]["segmentation"] = nothing
    with pytest.raises(
        ValueError, match="expected one for each object, since masks are to be learnt"
    ) as error:
        read(dataset_dir, annotations, segmentations=True)
    assert str(error.value).startswith(
        f"{dataset_dir / 'instances_train.json'}: 2 of 4 objects have no segmentation, "
        "the first is annotations[2] (id 3); "
    )
    dataset = read(dataset_dir, annotations, segmentations=True, skip_broken=True)
    assert dataset.dropped == tuple(
        f"annotations[{i}] (id {i + 1}): has no segmentation; its object is ignored" for i in (2, 4)
    )
    assert [example.crowd.tolist() for example in dataset.examples] == [
        [False],
        [True, True],
        [False],
        [],
        [True],
    ]
    assert dataset.summary() == (
        "5 images (1 without objects), 2 objects and 3 crowds of 2 classes, 2 records dropped"
    )


@pytest.mark.parametrize("skip_broken", [False, True])
def test_data_without_any_mask_always_stops(dataset_dir, skip_broken):
    with pytest.raises(
        ValueError, match=r"4 of 4 objects have no segmentation, the first is annotations\[0\] \(id 1\)"
    ):
        read(dataset_dir, content(), segmentations=True, skip_broken=skip_broken)


def test_data_without_any_usable_mask_always_stops(dataset_dir):
    annotations = content_with_masks()
    for record in annotations["annotations"]:
        record["segmentation"] = [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r"no object has a usable .* dropped, the first: annotations\[0\]"):
        read(dataset_dir, annotations, segmentations=True, skip_broken=True)


def test_a_crowd_needs_no_mask(dataset_dir):
    annotations = content_with_masks()
    del annotations["annotations"][1]["segmentation"]
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert dataset.dropped == ()
    assert dataset.examples[1].crowd.tolist() == [True, False]


def test_images_without_objects_need_no_mask(dataset_dir):
    annotations = content() | {"annotations": []}
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert [example.segmentations for example in dataset.examples] == [()] * 5


def test_an_ignored_object_is_neither_found_nor_missed_in_an_evaluation(dataset_dir):
    annotations = content_with_masks()
    del annotations["annotations"][2]["segmentation"]
    annotations["annotations"][4]["segmentation"] = [[0, 30, 15, 30]]
    dataset = read(dataset_dir, annotations, segmentations=True, skip_broken=True)
    found = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "segmentation": _rectangle(annotations, a),
            "score": 0.9,
        }
        for a in annotations["annotations"]
        if not a.get("iscrowd")
    ]
    for iou_type in ("bbox", "segm"):
        every, others = (
            evaluate_coco(dataset.ground_truth(), results, iou_type=iou_type)
            for results in (found, [f for f in found if f["image_id"] not in (11, 14)])
        )
        assert every.summary["AP"] == pytest.approx(1.0)
        assert others.summary["AP"] == pytest.approx(1.0)


def _rectangle(annotations, record):
    (image,) = (image for image in annotations["images"] if image["id"] == record["image_id"])
    x, y, width, height = (int(value) for value in record["bbox"])
    mask = np.zeros((image["height"], image["width"]), bool)
    mask[y : y + height, x : x + width] = True
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {**encoded, "counts": encoded["counts"].decode()}


@pytest.mark.parametrize("mark", [1, True, "1"])
def test_what_the_file_ignores_is_neither_learnt_nor_a_crowd(dataset_dir, mark):
    annotations = content_with_masks()
    annotations["annotations"][0] |= {"ignore": mark, "difficult": 1}
    annotations["annotations"][3] |= {"ignore": 0}
    for masks in (False, True):
        dataset = read(dataset_dir, annotations, segmentations=masks)
        assert [example.ignored.tolist() for example in dataset.examples[:3]] == [
            [True],
            [False] * 2,
            [False],
        ]
        assert not dataset.examples[0].crowd.any()
        assert dataset.num_objects == 3
        assert dataset.ground_truth()["annotations"][0]["ignore"] == mark
    learnt = read(dataset_dir, annotations, learn_difficult=True)
    assert not learnt.examples[0].ignored.any()


def test_an_ignored_object_needs_no_mask(dataset_dir):
    annotations = content_with_masks()
    annotations["annotations"][0]["ignore"] = 1
    del annotations["annotations"][0]["segmentation"]
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert dataset.examples[0].crowd.tolist() == [True]
    assert dataset.num_objects == 3
