"""Programs on a detector with mask heads: what they write is what pycocotools reads."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment import config
from cascade_tf.models import cascade_mask_rcnn_fpn
from tests.scripts.conftest import TINY

EXACT = 1e-12


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, drawn) -> Path:
    """A run with untrained weights."""
    workdir = tmp_path_factory.mktemp("masks")
    small = {**TINY, "heads.masks.head.channels": 8, "heads.masks.head.num_convs": 1}
    model = cascade_mask_rcnn_fpn.replace(
        {**small, **{"output.score_threshold": 0.0, "output.max_detections": 10}}
    )
    blank = config.Experiment(name="tiny", model=model, data=config.DataConfig(dataset_dir=str(drawn)))
    data = read_dataset_dir(drawn, "val")
    experiment = config.with_classes(blank, data.class_names, data.category_ids)
    config.write_experiment(experiment, workdir)
    config.build_detector(experiment).save_weights(str(workdir / "best.weights.h5"))
    return workdir


def statistics(annotations: Path, detections: Path, iou_type: str) -> np.ndarray:
    """pycocotools on the files, the size of a mask being its area."""
    found = json.loads(detections.read_text())
    if iou_type == "segm":
        found = [{key: value for key, value in entry.items() if key != "bbox"} for entry in found]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(found), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_evaluate_measures_both_and_each_stage(call, workdir, drawn, tmp_path):
    said = call("evaluate", f"--workdir={workdir}", f"--output={tmp_path}", "--per_stage")
    assert said.status == 0, said.err
    for row in ("all classes, boxes ", "all classes, masks ", "stage 1, masks ", "detector, masks "):
        assert row in said.out
    with (tmp_path / "val_stages.csv").open(newline="") as file:
        rows = [(row["name"], row["shape"]) for row in csv.DictReader(file)]
    names = ["stage 1", "stage 2", "stage 3", "detector"]
    assert rows == [(name, shape) for shape in ("box", "mask") for name in names]
    keys = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    for name in ("val", "val_stage1", "val_stage3"):
        content = json.loads((tmp_path / f"{name}.json").read_text())
        for iou_type, summary in (("bbox", content["summary"]), ("segm", content["mask"]["summary"])):
            expected = statistics(
                drawn / "instances_val.json", tmp_path / f"{name}_detections.json", iou_type
            )
            found = [-1.0 if summary[key] is None else summary[key] for key in keys]
            np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)
    first, last = (json.loads((tmp_path / f"val_stage{t}_detections.json").read_text()) for t in (1, 3))
    assert [entry["segmentation"] for entry in first] != [entry["segmentation"] for entry in last]


def test_evaluate_without_masks_in_the_ground_truth(call, workdir, dataset, edit_annotations, tmp_path):
    def without_masks(content):
        for annotation in content["annotations"]:
            del annotation["segmentation"]

    edit_annotations(without_masks)
    said = call(
        "evaluate", f"--workdir={workdir}", f"--dataset_dir={dataset}", f"--output={tmp_path / 'out'}"
    )
    assert said.status == 0, said.err
    assert "No AP of masks: the ground truth has no masks." in said.out
    content = json.loads((tmp_path / "out" / "val.json").read_text())
    assert content["summary"]["AP"] is not None
    assert "mask" not in content
    assert content["no_mask"] == "the ground truth has no masks"


def test_predict_writes_and_draws_masks(call, workdir, drawn, tmp_path):
    source = sorted((drawn / "images").glob("val_*"))[0]
    said = call("predict", f"--workdir={workdir}", f"--output={tmp_path}", "--score_threshold=0", source)
    assert said.status == 0, said.err
    content = json.loads((tmp_path / "detections.json").read_text())
    [image] = content["images"]
    assert content["annotations"]
    for found in content["annotations"]:
        assert found["segmentation"]["size"] == [image["height"], image["width"]]
        assert found["area"] == coco_mask.area(found["segmentation"])
    largest = max(content["annotations"], key=lambda found: found["area"])
    picture = np.asarray(Image.open(tmp_path / f"{source.stem}.jpg").convert("RGB")).astype(int)
    original = np.asarray(Image.open(source).convert("RGB").resize(picture.shape[1::-1])).astype(int)
    mask = Image.fromarray(coco_mask.decode(largest["segmentation"]) * 255).resize(picture.shape[1::-1])
    changed = np.abs(picture - original).max(-1) > 15
    assert changed[np.asarray(mask) > 128].mean() > 0.8
    # The file is one that an annotation file's reader takes.
    with contextlib.redirect_stdout(io.StringIO()):
        assert len(COCO(str(tmp_path / "detections.json")).anns) == len(content["annotations"])


@pytest.mark.parametrize("skip", [True, False])
def test_a_broken_mask_in_the_images_to_measure(call, workdir, dataset, edit_annotations, tmp_path, skip):
    def damage(content):
        content["annotations"][0]["segmentation"] = [[1.0, 2.0, 3.0, 4.0]]

    edit_annotations(damage)
    said = call(
        "evaluate",
        f"--workdir={workdir}",
        f"--dataset_dir={dataset}",
        f"--output={tmp_path / 'out'}",
        f"--set=data.skip_broken={str(skip).lower()}",
        "--noper_stage",
    )
    assert said.status == 0, said.err
    content = json.loads((tmp_path / "out" / "val.json").read_text())
    assert content["summary"]["AP"] is not None
    # One object less to find, or no masks at all and the reason.
    assert ("mask" in content) == skip
    assert ("no_mask" in content) != skip
