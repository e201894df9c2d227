"""What is written in YOLO's layout is read again as it was."""

from __future__ import annotations

import numpy as np
import pytest

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
