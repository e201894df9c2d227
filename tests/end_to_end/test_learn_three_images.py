"""The main job in small: learn three images, measure, export, load in another process, detect the same."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import cascade_tf
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment.config import DataConfig, EvaluationConfig, Experiment
from cascade_tf.metrics import evaluate_coco
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.prediction.inference import detect_dataset, to_coco_results
from cascade_tf.serving.export import export_saved_model
from cascade_tf.training.run_log import read_metrics
from cascade_tf.training.settings import TrainConfig
from tests.end_to_end.three_images import IMAGES, SIDE, learn, write_dataset

EXPERIMENT = Experiment(
    name="three_images",
    model=cascade_rcnn_fpn.replace(
        {
            "backbone.depth": 14,
            "backbone.width": 0.25,
            "backbone.norm": "group",
            "neck.norm": "group",
            "backbone.freeze_at": 0,
            "neck.channels": 32,
            "heads.head.units": 64,
            "proposals.anchor_sizes": (8, 16, 32, 64, 128),
            "heads.*.canonical_size": 56.0,
            "proposals.pre_nms_train": 200,
            "proposals.pre_nms_test": 200,
            "proposals.post_nms_train": 100,
            "proposals.post_nms_test": 50,
            "heads.num_samples": 64,
            "short_side": SIDE,
            "max_side": SIDE,
        },
    ),
    data=DataConfig(flip=False),
    train=TrainConfig(
        batch_size=3,
        # With fewer steps and a short warm-up chance decides: another seed, or the last digit of a gradient,
        # makes an AP of 0.3 of one of 0.9.
        steps=700,
        learning_rate=0.03,
        reference_batch_size=3,
        warmup_steps=100,
        decay_steps=(560,),
        clip_norm=5.0,
        checkpoint_every=0,
        log_every=10,
    ),
    evaluation=EvaluationConfig(batch_size=3),
)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("three_images"))


@pytest.fixture(scope="module")
def workdir(dataset_dir, tmp_path_factory):
    """A finished run."""
    return learn(EXPERIMENT, dataset_dir, tmp_path_factory.mktemp("run"))


@pytest.mark.slow
def test_losses_fall_and_boxes_improve_from_stage_to_stage(workdir):
    lines = [line for line in read_metrics(workdir) if "losses" in line]
    first, last = lines[0], lines[-1]
    assert last["losses"]["total"] < 0.3 * first["losses"]["total"]
    for stage in (1, 2, 3):
        metrics = last["metrics"]
        assert metrics[f"stage{stage}_iou_after"] > metrics[f"stage{stage}_iou_before"]
    assert last["metrics"]["stage3_iou_before"] > last["metrics"]["stage1_iou_before"]


@pytest.mark.slow
def test_learnt_images_are_detected_almost_perfectly(workdir, dataset_dir):
    dataset = read_dataset_dir(dataset_dir, "val")
    detector = cascade_tf.load(workdir)
    assert detector.class_names == ("disc", "square")
    assert detector.category_ids == (10, 20)
    found = detect_dataset(detector, dataset, batch_size=3)
    result = evaluate_coco(dataset.annotation_file, to_coco_results(found))
    assert result.summary["AP"] > 0.75
    assert result.summary["AP50"] > 0.99
    for record, objects in zip(found, IMAGES, strict=True):
        best = record.category_ids[: len(objects)]
        assert sorted(best) == sorted(category for category, _ in objects)


@pytest.mark.slow
def test_exported_model_detects_the_same_in_a_fresh_process(workdir, dataset_dir, tmp_path):
    detector = cascade_tf.load(workdir)
    paths = [str(dataset_dir / "images" / f"{number}.png") for number in (1, 2, 3)]
    expected = detector.predict(paths, score_threshold=0.3)
    version = export_saved_model(detector, tmp_path / "export")
    code = (
        "import json, sys, cascade_tf\n"
        "found = cascade_tf.load(sys.argv[1]).predict(sys.argv[2:], score_threshold=0.3)\n"
        "print(json.dumps([[r.boxes.tolist(), r.scores.tolist(), list(r.names)] for r in found]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(version), *paths], capture_output=True, text=True, check=True
    )
    for (boxes, scores, names), record in zip(
        json.loads(done.stdout.splitlines()[-1]), expected, strict=True
    ):
        assert tuple(names) == record.names
        np.testing.assert_allclose(boxes, record.boxes, atol=0.01)
        np.testing.assert_allclose(scores, record.scores, atol=1e-4)
