"""Categories that are no classes, and splits that number their classes otherwise than a detector."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.data.class_matching import match_classes
from cascade_tf.data.coco import read_classes, read_dataset_dir
from cascade_tf.metrics import evaluate_coco
from tests.data.small_dataset import content, content_with_masks, write_annotations


def read(folder, annotations, **settings):
    write_annotations(folder, annotations)
    return read_dataset_dir(folder, "train", **settings)


def roboflow(name):
    """As Roboflow writes one class: below a category of the project's name, which no annotation has."""
    annotations = content()
    annotations["categories"] = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": name, "supercategory": "cells"},
    ]
    for record in annotations["annotations"]:
        record["category_id"] = 1
    return annotations


@pytest.mark.parametrize("name", ["RBC", "cells"])
def test_a_placeholder_of_roboflow_is_no_class(dataset_dir, name):
    annotations = roboflow(name)
    dataset = read(dataset_dir, annotations)
    assert (dataset.class_names, dataset.category_ids) == ((name,), (1,))
    assert [example.classes.tolist() for example in dataset.examples] == [[1], [1, 1], [1], [], [1]]
    assert dataset.notes == (
        "instances_train.json: no class is made of 'cells' (id 0): the supercategory of others, without "
        "annotations of its own",
    )
    assert dataset.ground_truth()["categories"] == [{"id": 1, "name": name}]
    assert [category.id for category in read_classes(dataset.annotation_file)] == [1]


def test_a_supercategory_with_annotations_is_a_class(dataset_dir):
    annotations = roboflow("RBC")
    annotations["annotations"][0]["category_id"] = "0"
    assert read(dataset_dir, annotations).class_names == ("cells", "RBC")


def test_a_category_below_itself_alone_is_a_class(dataset_dir):
    annotations = content()
    annotations["categories"].append({"id": 1, "name": "person", "supercategory": "person"})
    assert read(dataset_dir, annotations).class_names == ("person", "dog", "cat")


def test_equal_names_are_refused_with_both_ids(dataset_dir):
    annotations = content()
    annotations["categories"].append({"id": 12, "name": "cat"})
    with pytest.raises(ValueError, match=r"ids 7 and 12 are both named 'cat', expected distinct names"):
        read(dataset_dir, annotations)
    annotations = roboflow("cells")
    annotations["annotations"][0]["category_id"] = 0
    with pytest.raises(ValueError, match=r"ids 0 and 1 are both named 'cells'"):
        read(dataset_dir, annotations)


def test_the_same_classes_are_nothing_to_speak_of(dataset_dir):
    annotations = content()
    annotations["categories"].reverse()
    dataset = read(dataset_dir, annotations)
    assert match_classes(dataset, ("dog", "cat"), (3, 7)) is dataset


def test_other_numbers_are_matched_by_name_and_results_carry_the_detectors(dataset_dir):
    dataset = read(dataset_dir, content())
    matched = match_classes(dataset, ("cat", "dog", "owl"), (3, 5, 7))
    assert (matched.class_names, matched.category_ids) == (("cat", "dog", "owl"), (3, 5, 7))
    assert [example.classes.tolist() for example in dataset.examples] == [[2], [1, 2], [1], [], [1]]
    assert [example.classes.tolist() for example in matched.examples] == [[1], [2, 1], [2], [], [2]]
    assert matched.notes == (
        "instances_train.json: 2 of the detector's 3 classes were matched by name; the file numbers them "
        "otherwise; results carry the detector's ids",
    )
    truth = matched.ground_truth()
    # 3 is the file's dog and the detector's cat.
    assert [record["category_id"] for record in truth["annotations"]] == [3, 5, 3, 5, 5]
    assert truth["categories"] == [
        {"id": 3, "name": "cat"},
        {"id": 5, "name": "dog"},
        {"id": 7, "name": "owl"},
    ]
    found = [
        {"image_id": image, "category_id": category, "bbox": box, "score": 0.9}
        for image, category, box in (
            (10, 3, [10, 5, 20, 30]),
            (11, 3, [4.5, 8, 16, 8]),
            (12, 5, [10, 20, 20, 30]),
            (14, 5, [0, 30, 15, 30]),
        )
    ]
    result = evaluate_coco(truth, found)
    assert result.summary["AP"] == pytest.approx(1.0)
    assert {name: numbers["objects"] for name, numbers in result.per_class.items()} == {
        "cat": 2,
        "dog": 2,
        "owl": 0,
    }


def test_a_subset_is_matched(dataset_dir):
    annotations = content()
    annotations["categories"] = annotations["categories"][:1]
    annotations["annotations"] = [r for r in annotations["annotations"] if r["category_id"] == 7]
    matched = match_classes(read(dataset_dir, annotations), ("dog", "cat"), (3, 7))
    assert matched.examples[0].classes.tolist() == [2]
    assert matched.notes[-1] == ("instances_train.json: 1 of the detector's 2 classes were matched by name")
    assert [record["category_id"] for record in matched.ground_truth()["annotations"]] == [7, 7]


def test_an_unknown_class_without_objects_is_told_and_one_with_objects_refused(dataset_dir):
    annotations = content()
    annotations["categories"].append({"id": 8, "name": "owl"})
    matched = match_classes(read(dataset_dir, annotations), ("dog", "cat"), (3, 7))
    assert matched.category_ids == (3, 7)
    assert matched.notes[-1].endswith("; classes that it does not know have no objects: owl")
    annotations["annotations"][0]["category_id"] = 8
    with pytest.raises(
        ValueError, match=r"has 3 classes: .* expected those of the experiment: 2 classes: dog \(3\)"
    ):
        match_classes(read(dataset_dir, annotations), ("dog", "cat"), (3, 7))


def test_no_class_in_common_is_refused(dataset_dir):
    dataset = read(dataset_dir, content() | {"annotations": []})
    with pytest.raises(ValueError, match="the data set has 2 classes"):
        match_classes(dataset, ("owl",), (3,))


def test_an_object_of_an_unknown_category_is_a_crowd_of_every_class_of_the_detector(dataset_dir):
    annotations = content()
    annotations["annotations"][0]["category_id"] = 99
    dataset = read(dataset_dir, annotations, skip_broken=True)
    matched = match_classes(dataset, ("cat", "dog", "owl"), (3, 5, 7))
    truth = json.loads(json.dumps(matched.ground_truth()))["annotations"]
    assert [(r["category_id"], r["iscrowd"]) for r in truth[:3]] == [(3, 1), (5, 1), (7, 1)]


def test_an_unknown_category_is_not_taken_for_one_that_has_no_objects(dataset_dir):
    """The first class of the file is foreign and has no objects, the broken record is none of its."""
    annotations = content()
    annotations["categories"].append({"id": 1, "name": "zebra"})
    annotations["annotations"][0]["category_id"] = 99
    dataset = read(dataset_dir, annotations, skip_broken=True)
    assert dataset.class_names[0] == "zebra"
    matched = match_classes(dataset, ("cat", "dog"), (3, 7))
    assert [example.classes.tolist() for example in matched.examples] == [[0], [2, 1], [2], [], [2]]
    assert matched.examples[0].crowd.tolist() == [True]


def test_objects_of_other_classes_are_left_out(dataset_dir):
    whole = read(dataset_dir, content())
    assert whole.class_names == ("dog", "cat")
    cats = read(dataset_dir, content(), classes=("cat",))
    assert (cats.class_names, cats.category_ids) == (("cat",), (7,))
    assert [example.classes.tolist() for example in cats.examples] == [[1], [1], [], [], []]
    # Of image 11 the crowd of dogs is left out.
    assert not cats.examples[1].crowd.any()
    np.testing.assert_array_equal(cats.examples[1].boxes, whole.examples[1].boxes[1:])
    assert [one["id"] for one in cats.ground_truth()["annotations"]] == [1, 3]
    assert cats.notes[-1] == "instances_train.json: 3 objects of dog are left out (data.classes)"
    # Nothing is said of classes that are not asked for.
    annotations = content()
    annotations["categories"].append({"id": 12, "name": "owl"})
    assert "1 of 3 classes have no object: owl" in "".join(read(dataset_dir, annotations).notes)
    assert "owl" not in "".join(read(dataset_dir, annotations, classes=("cat",)).notes[:-1])
    # All of them are what nothing named is.
    everything = read(dataset_dir, content(), classes=("cat", "dog"))
    assert (everything.categories, everything.notes) == (whole.categories, whole.notes)


def test_masks_are_left_out_with_their_objects(dataset_dir):
    whole = read(dataset_dir, content_with_masks(), segmentations=True)
    dogs = read(dataset_dir, content_with_masks(), segmentations=True, classes=("dog",))
    assert [len(example.segmentations) for example in dogs.examples] == [0, 1, 1, 0, 1]
    assert dogs.examples[1].segmentations == whole.examples[1].segmentations[:1]
    assert dogs.examples[4].segmentations[0] is not None


def test_left_out_objects_are_no_strangers_to_a_detector(dataset_dir):
    """A detector of cats under another id reads the cats alone, and is measured on them."""
    cats = read(dataset_dir, content(), classes=("cat",))
    matched = match_classes(cats, ("cat",), (1,))
    assert [example.classes.tolist() for example in matched.examples] == [[1], [1], [], [], []]
    truth = matched.ground_truth()["annotations"]
    assert [(one["id"], one["category_id"]) for one in truth] == [(1, 1), (3, 1)]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cow",), "classes: got 'cow', expected some of dog, cat"),
        (("cat", "cat"), "classes: got 'cat' twice, expected it once"),
    ],
)
def test_classes_to_read_are_checked(dataset_dir, classes, message):
    with pytest.raises(ValueError, match=f"instances_train.json: {message}"):
        read(dataset_dir, content(), classes=classes)
