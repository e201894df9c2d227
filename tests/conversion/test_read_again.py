"""What is written in YOLO's layout is read again as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cascade_tf.conversion.layouts import convert
from cascade_tf.data.coco import read_dataset_dir
from tests.data.sources.tool_samples import SPLIT, write


@pytest.mark.parametrize("sample", ["Datumaro", "YOLO of Roboflow"])
def test_yolo(tmp_path, sample):
    before = write(tmp_path / "before", SPLIT[sample][1]())
    splits = {split: read_dataset_dir(before, split) for split in ("train", "val")}
    convert(splits, tmp_path / "after", "yolo")
    for split, dataset in splits.items():
        again = read_dataset_dir(tmp_path / "after", split)
        assert again.class_names == dataset.class_names
        for one, other in zip(again.examples, dataset.examples, strict=True):
            assert one.classes.tolist() == other.classes.tolist()
            np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-5)


@pytest.mark.parametrize("name", ['😀é "q" # x', "it's", "back\\slash", "a: b", "no", "1", "tab\there"])
def test_yolo_keeps_any_name_of_a_class(tmp_path, name):
    (tmp_path / "before" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(tmp_path / "before" / "images" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 12], "area": 120}],
        "categories": [{"id": 1, "name": name}],
    }
    (tmp_path / "before" / "instances_val.json").write_text(json.dumps(content))
    convert({"val": read_dataset_dir(tmp_path / "before", "val")}, tmp_path / "after", "yolo")
    assert read_dataset_dir(tmp_path / "after", "val").class_names == (name,)
