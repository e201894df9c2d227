"""Annotations of other tools are refused by the tool's name."""

from __future__ import annotations

import json
import re

import pytest

from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.other_tools import foreign_folder

REGION = {"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": {"class": "cat"}}
VIA_IMAGE = {"filename": "a.jpg", "size": 9, "regions": [REGION], "file_attributes": {}}
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
TASK = {"id": 1, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": [{"result": []}]}
DOCUMENTS = [
    ("VIA", {"_via_settings": {}, "_via_img_metadata": {"a.jpg9": VIA_IMAGE}, "_via_attributes": {}}),
    ("VIA", {"a.jpg9": VIA_IMAGE}),
    ("VIA 3", {"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}),
    ("CreateML", [{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 1}}]}]),
    ("labelme", {"version": "5", "flags": {}, "shapes": [], "imagePath": "a.jpg", "imageData": None}),
    ("Datumaro", {"info": {}, "categories": {"label": {"labels": []}}, "items": [{"id": "a"}]}),
    ("Label Studio", [TASK]),
    ("Label Studio", TASK),
    ("Label Studio", [{"image": "/a.jpg", "id": 1, "label": [{"x": 1}], "annotator": 1}]),
    ("a list of detections", [{**BOX, "score": 0.5}]),
    ("COCO's list of annotations alone", [BOX]),
    ("captions", {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]}),
    ("captions", {"images": [], "categories": [], "annotations": [{"image_id": 1, "caption": "a cat"}]}),
    ("panoptic", {"images": [], "categories": [], "annotations": [{"image_id": 1, "segments_info": []}]}),
    ("keypoints", {"images": [], "categories": [], "annotations": [{"image_id": 1, "keypoints": [1]}]}),
    ("image information", {"info": {}, "images": [], "categories": [], "licenses": []}),
    ("Supervisely", {"description": "", "tags": [], "size": {"height": 1, "width": 1}, "objects": []}),
    ("Supervisely", {"classes": [{"title": "cat", "shape": "rectangle"}], "tags": []}),
    ("Labelbox", [{"ID": "x", "DataRow ID": "y", "Labeled Data": "https://x/a.jpg", "Label": {}}]),
    ("Labelbox", {"data_row": {"id": "x"}, "projects": {}}),
    ("BDD100K", [{"name": "a.jpg", "labels": [{"category": "car", "box2d": {}}]}]),
    ("V7 Darwin", {"version": "2.0", "item": {"name": "a.jpg"}, "annotations": []}),
    ("FiftyOne", {"classes": ["cat"], "labels": {"a": [{"label": 0, "bounding_box": [0, 0, 1, 1]}]}}),
    ("Cityscapes", {"imgHeight": 1, "imgWidth": 1, "objects": []}),
]


@pytest.mark.parametrize(("tool", "document"), DOCUMENTS)
def test_json_of_other_tools(tmp_path, tool, document):
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / 'x.json'))}: is .*") as error:
        load_annotation_file(tmp_path / "x.json")
    assert tool in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("Labelbox", '{"data_row": {"id": 1}}\n{"data_row": {"id": 2}}\n'),
        ("Labelbox", '{"data_row": {"id": "' + "x" * 5000 + '"}}\n{"data_row": {}}\n'),
        ("SageMaker", '{"source-ref": "s3://a.jpg"}\n{"source-ref": "s3://b.jpg"}\n'),
        ("CVAT XML", '<?xml version="1.0"?>\n<annotations><version>1.1</version></annotations>'),
        ("Pascal VOC", "<annotation><folder>x</folder></annotation>"),
        ("YOLO", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['a', 'b']\n"),
    ],
)
def test_texts_of_other_tools(tmp_path, tool, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=f": is .*{tool}"):
        load_annotation_file(tmp_path / "x.json")


def test_coco_is_nobody_elses(tmp_path):
    keypoints = {**BOX, "keypoints": [1, 2, 2], "num_keypoints": 1, "caption": "boxes are there"}
    for records in ([], [BOX], [keypoints]):
        content = {"images": [{"id": 1}], "annotations": records, "categories": [{"id": 1}]}
        (tmp_path / "x.json").write_text(json.dumps({**content, "items": [], "shapes": [], "imagePath": ""}))
        assert load_annotation_file(tmp_path / "x.json")["annotations"] == records


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("CVAT", ["annotations.xml", "images/a.jpg"]),
        ("CSV", ["train/_annotations.csv", "train/a.jpg"]),
        ("TFRecord", ["train/x.tfrecord"]),
        ("unpack it", ["export.zip"]),
        ("Labelbox", ["export.ndjson"]),
        (None, ["images/a.jpg", "README.txt"]),
    ],
)
def test_folders_of_other_tools(tmp_path, what, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = foreign_folder(tmp_path)
    assert found is None if what is None else what in found
