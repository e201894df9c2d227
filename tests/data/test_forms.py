"""Forms in which labelling tools write what COCO writes otherwise: read, and told once."""

from __future__ import annotations

import codecs
import copy
import gzip
import json

import numpy as np
import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco, read_dataset_dir
from cascade_tf.metrics import evaluate_coco, evaluate_instances
from tests.data.small_dataset import content, content_with_masks, write_annotations


def read(folder, annotations, **settings):
    write_annotations(folder, annotations)
    return read_dataset_dir(folder, "train", **settings)


def same_examples(one, other):
    for a, b in zip(one.examples, other.examples, strict=True):
        assert (a.image_id, a.path, a.height, a.width) == (b.image_id, b.path, b.height, b.width)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.classes, b.classes)
        np.testing.assert_array_equal(a.crowd, b.crowd)
        assert repr(a.segmentations) == repr(b.segmentations)
    return True


def text_boxes(annotations):
    for record in annotations["annotations"][2:]:
        x, y, width, height = record["bbox"]
        record["bbox"] = [x, y, str(width), f"{height:.1f}"]


def text_ids(annotations):
    for record in annotations["images"]:
        record["id"] = str(record["id"])
    for record in annotations["categories"]:
        record["id"] = float(record["id"])
    for record in annotations["annotations"]:
        record.update(image_id=f"{record['image_id']}.0", category_id=str(record["category_id"]))


def text_sizes(annotations):
    for record in annotations["images"]:
        record.update(width=float(record["width"]), height=str(record["height"]))


def other_flags(annotations):
    flags = (None, True, False, "0", 0.0)
    for record, flag in zip(annotations["annotations"], flags, strict=True):
        record["iscrowd"] = flag


def no_boxes(annotations):
    for record, nothing in zip(annotations["annotations"], (None, [], None, None, []), strict=True):
        record["bbox"] = nothing


def unknown_sizes(annotations):
    values = ({"width": 0}, {"height": -1}, {"width": -1, "height": -1}, {"width": None}, {"height": 0})
    for record, unknown in zip(annotations["images"], values, strict=True):
        record.update(unknown)
    del annotations["images"][3]["width"]


FORMS = [
    (text_boxes, "3 boxes had numbers as text; read as numbers"),
    (text_ids, "12 records had ids as text or fractions such as 1.0; read as whole numbers"),
    (text_sizes, "5 images had sizes as text or fractions such as 96.0; read as whole numbers"),
    (other_flags, "4 objects had iscrowd as null, true, false or text; read as 0 or 1"),
    (no_boxes, "5 objects had no box; taken from the outline"),
    (unknown_sizes, "5 images had no width and height; read from the pictures"),
]


@pytest.mark.parametrize(("spoil", "line"), FORMS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_form_with_one_meaning_is_read_and_told_once(dataset_dir, spoil, line):
    annotations = content_with_masks()
    expected = read(dataset_dir, annotations, segmentations=True)
    truth = expected.ground_truth()
    assert expected.notes == ()
    spoil(annotations)
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert same_examples(dataset, expected)
    assert dataset.notes == (f"instances_train.json: {line}",)
    assert dataset.dropped == ()
    understood = dataset.ground_truth()
    for record in truth["annotations"] + understood["annotations"]:
        assert type(record["image_id"]) is type(record["category_id"]) is int
        record.setdefault("iscrowd", 0)
    assert understood == truth


@pytest.mark.parametrize(("spoil", "line"), FORMS[:-1], ids=lambda value: getattr(value, "__name__", ""))
def test_an_evaluation_of_the_file_itself_reads_the_same_forms(dataset_dir, caplog, spoil, line):
    annotations = content_with_masks()
    found = read(dataset_dir, annotations, segmentations=True).ground_truth()["annotations"]
    found = [record | {"score": 0.9} for record in found if not record.get("iscrowd")][1:]
    for record in found:
        # A detection's mask is run lengths; the box will do.
        del record["segmentation"]
    expected = evaluate_coco(annotations, found).to_dict()
    assert 0 < expected["summary"]["AP"] < 1
    spoil(annotations)
    path = write_annotations(dataset_dir, annotations)
    given = copy.deepcopy(annotations)
    for source, name in ((path, str(path)), (given, "annotations")):
        caplog.clear()
        assert evaluate_coco(source, found).to_dict() == expected
        assert [record.getMessage() for record in caplog.records] == [f"{name}: {line}"]
    assert given == annotations


def test_each_form_is_told_in_a_line(dataset_dir):
    annotations = content_with_masks()
    text_boxes(annotations)
    other_flags(annotations)
    notes = read(dataset_dir, annotations).notes
    assert notes == (
        "instances_train.json: 3 boxes had numbers as text; read as numbers",
        "instances_train.json: 4 objects had iscrowd as null, true, false or text; read as 0 or 1",
    )


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("bbox", [1, 2, "3,5", 4], "bbox is [1, 2, '3,5', 4]"),
        ("bbox", [1, 2, "3 px", 4], "bbox is [1, 2, '3 px', 4]"),
        ("bbox", [1, 2, "nan", 4], "bbox is [1, 2, 'nan', 4]"),
        ("bbox", [1, 2, True, 4], "bbox is [1, 2, True, 4]"),
        ("bbox", ["1", "2", "3"], "bbox is ['1', '2', '3']"),
        ("bbox", [1, 2, 10**400, 4], "bbox is [1, 2, 1000"),
        ("image_id", "10.5", "image_id is '10.5'"),
        ("image_id", True, "image_id is True"),
        ("category_id", 7.25, "category_id is 7.25"),
        ("category_id", "cat", "category_id is 'cat'"),
        ("iscrowd", "yes", "iscrowd is 'yes'"),
        ("iscrowd", 2.0, "iscrowd is 2.0"),
    ],
)
def test_what_has_two_meanings_or_none_stays_refused(dataset_dir, field, value, line):
    annotations = content()
    annotations["annotations"][0][field] = value
    with pytest.raises(ValueError, match="skip_broken") as error:
        read(dataset_dir, annotations)
    assert line in str(error.value)


def test_the_same_id_in_two_forms_is_the_same_id(dataset_dir):
    annotations = content()
    annotations["images"][1]["id"] = "10"
    with pytest.raises(ValueError, match=r"images\[1\] \(id '10'\): an image before it has the same id"):
        read(dataset_dir, annotations)


SQUARE = [10, 5, 30, 5, 30, 35, 10, 35]
TRIANGLE = [40, 5, 50, 5, 50, 9]


@pytest.mark.parametrize(
    ("segmentation", "polygons", "form"),
    [
        (SQUARE, [SQUARE], "outline"),
        ([[10, 5], [30, 5], [30, 35], [10, 35]], [SQUARE], "outline"),
        ([[[10, 5], [30, 5], [30, 35], [10, 35]], TRIANGLE], [SQUARE, TRIANGLE], "outline"),
        ([[10, 5, "30", 5, 30, "35.0", 10, 35]], [SQUARE], "outline"),
        ([SQUARE, []], [SQUARE], "part"),
        ([[1, 2, 3, 4], SQUARE], [SQUARE], "part"),
        ([SQUARE, [1, 2, 3, 4, 5, 6, 7]], [SQUARE], "part"),
        ([SQUARE, [1, 2, 3, float("nan"), 5, 6]], [SQUARE], "part"),
        ([SQUARE, None], [SQUARE], "part"),
    ],
)  # fmt: skip
def test_outlines(dataset_dir, segmentation, polygons, form):
    annotations = content_with_masks()
    annotations["annotations"][0]["segmentation"] = segmentation
    dataset = read(dataset_dir, annotations, segmentations=True)
    assert [p.tolist() for p in dataset.examples[0].segmentations[0]] == polygons
    line = {
        "outline": "had flat or paired coordinates or numbers as text; read as polygons",
        "part": "had a broken polygon beside usable ones; read without it",
    }[form]
    assert dataset.notes == (f"instances_train.json: 1 outline {line}",)
    assert dataset.ground_truth()["annotations"][0]["segmentation"] == polygons
    # Nothing is measured by masks that nobody asked for.
    assert read(dataset_dir, annotations).notes == ()
    assert evaluate_instances(annotations, []).no_mask == ""


@pytest.mark.parametrize("segmentation", [[10, 5, 30, 35], [[10, 5], [30, 35]], [[10, 5, 30, 35]]])
def test_outlines_that_may_be_boxes_or_lines_stay_refused(dataset_dir, segmentation):
    annotations = content_with_masks()
    annotations["annotations"][0]["segmentation"] = segmentation
    with pytest.raises(ValueError, match=r"annotations\[0\] \(id 1\): segmentation: polygon 0 "):
        read(dataset_dir, annotations, segmentations=True)


def test_run_lengths_as_fractions(dataset_dir):
    annotations = content_with_masks()
    expected = read(dataset_dir, annotations, segmentations=True)
    counts = [30.0, 30.0] * 15 + [900.0]
    annotations["annotations"][4]["segmentation"] = {"size": [60.0, 30.0], "counts": counts}
    dataset = read(dataset_dir, annotations, segmentations=True)
    (rle,), (other,) = dataset.examples[4].segmentations, expected.examples[4].segmentations
    assert rle == {"size": [60, 30], "counts": other["counts"].encode()}


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE], ids=["utf-8", "utf-16"])
@pytest.mark.parametrize("compressed", [False, True])
def test_byte_order_marks_and_gzip_by_content(dataset_dir, mark, compressed):
    annotations = content()
    annotations["categories"][0]["name"] = "Kätzchen"
    expected = read(dataset_dir, annotations)
    encoding = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16-le"
    data = mark + json.dumps(annotations, ensure_ascii=False).encode(encoding)
    path = dataset_dir / "instances_train.json"
    path.write_bytes(gzip.compress(data) if compressed else data)
    dataset = read_dataset_dir(dataset_dir, "train")
    assert same_examples(dataset, expected)
    assert dataset.class_names == ("dog", "Kätzchen")
    assert evaluate_coco(path, []).summary["AP"] == 0.0


def test_a_broken_gzip_file(dataset_dir):
    data = gzip.compress(json.dumps(content()).encode())
    for broken in (data[:-20], data[:40] + b"xx" + data[42:]):
        (dataset_dir / "instances_train.json").write_bytes(broken)
        with pytest.raises(ValueError, match=r"instances_train.json: is a broken gzip file \("):
            read_dataset_dir(dataset_dir, "train")


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))]
)
def test_a_size_that_is_not_given_is_that_of_the_upright_picture(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    annotations = content() | {"images": [{"id": 10, "file_name": "a.jpg"}]}
    annotations["annotations"] = annotations["annotations"][:1]
    (tmp_path / "a.json").write_text(json.dumps(annotations))
    (example,) = read_coco(tmp_path / "a.json", tmp_path).examples
    assert (example.width, example.height) == size
