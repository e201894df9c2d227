"""The real detector and data pipeline under the trainer, as small as they get."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.models import cascade_mask_rcnn_fpn, cascade_rcnn_fpn
from cascade_tf.training.checkpoint import name_variables, saved_variables
from cascade_tf.training.loop import Trainer
from cascade_tf.training.pictures import sample_pictures
from cascade_tf.training.run_log import read_metrics
from cascade_tf.training.settings import TrainConfig

# Backward passes sum in another order where batches are halved.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=10, num_val=1, image_size=(64, 96), seed=1)
    return read_dataset_dir(folder, "train")


def build(dataset, **settings):
    recipe = cascade_mask_rcnn_fpn if "heads.masks.stages" in settings else cascade_rcnn_fpn
    return recipe(
        dataset.class_names,
        dataset.category_ids,
        **{
            "backbone.depth": 14,
            "backbone.width": 0.125,
            "neck.channels": 16,
            "heads.head.units": 16,
            "proposals.anchor_sizes": (8, 16, 32, 64, 128),
        },
        short_side=64,
        max_side=96,
        **settings,
    )


def make_trainer(workdir, dataset, strategy=None, **changes):
    settings = {
        "batch_size": 2,
        "reference_batch_size": 2,
        "steps": 4,
        "learning_rate": 0.01,
        "warmup_steps": 2,
        "decay_steps": (),
        "clip_norm": 5.0,
        "log_every": 1,
        "checkpoint_every": 2,
    }

    def make_batches(start_step):
        return train_batches(dataset, batch_size=2, short_sides=(64, 96), max_side=160, start_step=start_step)

    return Trainer(
        lambda: build(dataset),
        TrainConfig(**{**settings, **changes}),
        workdir,
        make_batches=make_batches,
        strategy=strategy,
        progress_bar=False,
    )


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, dataset):
    """(folder, trainer, weights at the start) of a run of four steps with checkpoints after two and four."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = make_trainer(folder, dataset, picture_every=4)
    start = trainer.detector.get_weights()
    assert trainer.run().finished
    return folder, trainer, start


def test_every_trainable_weight_moves_and_no_other(whole_run):
    _, trainer, start = whole_run
    variables, weights = trainer.detector.variables, trainer.detector.get_weights()
    moved = {v.path for v, a, b in zip(variables, start, weights, strict=True) if np.any(a != b)}
    assert moved == {v.path for v in trainer.detector.trainable_variables}


def test_the_log_tells_of_every_stage(whole_run):
    folder, _, _ = whole_run
    line = read_metrics(folder)[0]
    assert {"rpn_objectness", "rpn_box", "stage1_class", "stage3_box", "total"} <= line["losses"].keys()
    assert {"stage1_positives", "stage1_iou_before", "stage3_iou_after"} <= line["metrics"].keys()
    tags = {v.tag for event in _events(folder / "events") for v in event.summary.value}
    assert {"samples/0", "losses/stage2_class", "metrics/stage3_iou_after"} <= tags


def test_a_run_resumed_from_an_older_checkpoint_ends_with_the_same_weights(whole_run, dataset, tmp_path):
    folder, trainer, _ = whole_run
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = str(tmp_path / "checkpoints")
    tf.compat.v1.train.update_checkpoint_state(checkpoints, "step-2", all_model_checkpoint_paths=["step-2"])
    again = make_trainer(tmp_path, dataset)
    assert again.step == 2
    again.run()
    for variable, a, b in zip(
        trainer.detector.variables, trainer.detector.get_weights(), again.detector.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=variable.path)
    assert [line["losses"] for line in read_metrics(tmp_path)] == [
        line["losses"] for line in read_metrics(folder)
    ]


def test_two_replicas_train_the_detector_like_one_device(whole_run, dataset, tmp_path, two_replicas):
    trainer = make_trainer(tmp_path, dataset, strategy=two_replicas, steps=2)
    trainer.run()
    folder, _, _ = whole_run
    stored = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-2"))
    for name, variable in name_variables(saved_variables(trainer.detector)).items():
        key = f"model/{name.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_allclose(
            variable.numpy(), stored.get_tensor(key), rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )


def test_sample_pictures_show_each_image_without_its_padding(dataset):
    detector = build(dataset)
    data = next(iter(train_batches(dataset, batch_size=2, short_sides=(100,), max_side=200, size_divisor=64)))
    pictures = sample_pictures(detector, *data, count=1, score_threshold=0.0)
    assert list(pictures) == ["0"]
    height, width = data[0].image_size[0].numpy()
    # Small pictures are enlarged for the labels' sake.
    assert pictures["0"].shape[1] / pictures["0"].shape[0] == pytest.approx(width / height, rel=0.01)
    assert pictures["0"].dtype == np.uint8


def test_sample_pictures_show_masks(dataset):
    detector = build(dataset, **{"heads.masks.stages": (3,), "heads.masks.head.channels": 16})
    data = next(iter(train_batches(dataset, batch_size=2, short_sides=(100,), max_side=200)))
    (head,) = detector.heads.masks.heads
    pictures = []
    for bias in (-9.0, 9.0):
        # Nothing of each box, or all of it.
        head.predictor.bias.assign(np.full(head.predictor.bias.shape, bias))
        pictures.append(sample_pictures(detector, *data, count=1, score_threshold=0.0)["0"])
    assert np.mean(pictures[0] != pictures[1]) > 0.05


def _events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [tf.compat.v1.Event.FromString(record) for record in records]
