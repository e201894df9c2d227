"""evaluate.py and predict.py look at images in several sizes and mirrored, if the settings say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment import loading
from cascade_tf.prediction import inference
from cascade_tf.prediction.test_time_augmentation import Augmentation

AUGMENTATION = Augmentation(scales=(64,), flip=True, vote_iou=0.9)
SETTINGS = ("--set=evaluation.scales=64", "--set=evaluation.flip=true", "--set=evaluation.vote_iou=0.9")


@pytest.fixture
def boxes_of(workdir, drawn):
    """Boxes of the first image, as the library finds them."""

    def boxes(augmentation):
        first = read_dataset_dir(drawn, "val").examples[0]
        [record] = inference.predict_images(loading.load(workdir), first.path, augmentation=augmentation)
        return first.image_id, [result["bbox"] for result in inference.to_coco_results([record])]

    return boxes


def written_boxes(path, image_id, key=None):
    content = json.loads(path.read_text())
    return [one["bbox"] for one in (content if key is None else content[key]) if one["image_id"] == image_id]


@pytest.mark.slow
def test_evaluation_and_prediction(call, workdir, drawn, tmp_path, boxes_of):
    image_id, expected = boxes_of(AUGMENTATION)
    places = (f"--workdir={workdir}", f"--output={tmp_path / 'e'}")
    assert call("evaluate", *places, "--noerrors", *SETTINGS).status == 0
    assert not (tmp_path / "e" / "val.html").exists()
    found = written_boxes(tmp_path / "e" / "val_detections.json", image_id)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    arguments = (
        f"--workdir={workdir}",
        f"--dataset_dir={drawn}",
        f"--output={tmp_path / 'p'}",
        "--nopictures",
    )
    assert call("predict", *arguments, "--score_threshold=0", *SETTINGS).status == 0
    found = written_boxes(tmp_path / "p" / "detections.json", image_id, "annotations")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert not np.allclose(boxes_of(None)[1], expected)


def test_stages_are_not_measured_with_it(call, workdir, tmp_path):
    said = call("evaluate", f"--workdir={workdir}", f"--output={tmp_path}", "--per_stage", *SETTINGS)
    assert "got per_stage with augmentation, expected one of them" in said.complaint
