"""A detector with mask heads under the trainer, on the real pipeline."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.training.loop import Trainer
from cascade_tf.training.run_log import read_metrics
from cascade_tf.training.settings import TrainConfig

# Gradients of the halves are summed in another order.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=6, num_val=1, image_size=(64, 96), seed=1)
    return read_dataset_dir(folder, "train", segmentations=True)


def build(dataset):
    return cascade_mask_rcnn_fpn(
        dataset.class_names,
        dataset.category_ids,
        **{
            "backbone.depth": 14,
            "backbone.width": 0.125,
            "neck.channels": 16,
            "heads.head.units": 16,
            "heads.masks.head.channels": 8,
            "heads.masks.stages": (1, -1),
            "proposals.anchor_sizes": (8, 16, 32, 64, 128),
        },
        short_side=64,
        max_side=96,
    )


def build_of_halves(dataset):
    """A detector whose losses are the mean of those of its batch's two halves."""
    detector = build(dataset)
    whole = detector.compute_losses

    def of_halves(*data, **settings):
        halves = [
            whole(*tf.nest.map_structure(lambda value, i=i: value[i : i + 1], data), **settings)
            for i in (0, 1)
        ]
        return tf.nest.map_structure(lambda a, b: 0.5 * (a + b), *halves)

    detector.compute_losses = of_halves
    return detector


def _batches(dataset):
    def make_batches(start_step):
        return train_batches(
            dataset, batch_size=2, short_sides=(64, 96), max_side=160, start_step=start_step, masks=True
        )

    return make_batches


def make_trainer(workdir, dataset, make=build, strategy=None, batches=None, **changes):
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

    return Trainer(
        lambda: make(dataset),
        TrainConfig(**{**settings, **changes}),
        workdir,
        make_batches=batches or _batches(dataset),
        strategy=strategy,
        progress_bar=False,
    )


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, dataset):
    """(folder, trainer, weights at the start) of four steps with checkpoints after two and four."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = make_trainer(folder, dataset, picture_every=4)
    start = trainer.detector.get_weights()
    assert trainer.run().finished
    return folder, trainer, start


def test_every_weight_of_the_mask_heads_learns(whole_run):
    folder, trainer, start = whole_run
    variables, weights = trainer.detector.variables, trainer.detector.get_weights()
    moved = {v.path for v, a, b in zip(variables, start, weights, strict=True) if np.any(a != b)}
    assert moved == {v.path for v in trainer.detector.trainable_variables}
    for line in read_metrics(folder):
        assert {"stage1_mask", "stage3_mask"} <= line["losses"].keys()


def test_a_resumed_run_ends_with_the_same_weights(whole_run, dataset, tmp_path):
    folder, trainer, _ = whole_run
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = str(tmp_path / "checkpoints")
    tf.compat.v1.train.update_checkpoint_state(checkpoints, "step-2", all_model_checkpoint_paths=["step-2"])
    again = make_trainer(tmp_path, dataset)
    assert again.step == 2
    again.run()
    for a, b in zip(trainer.detector.get_weights(), again.detector.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize(("over", "like"), [("update", build), ("device", build_of_halves)])
def test_two_replicas_learn_masks_over_the_whole_batch_or_over_their_halves(
    dataset, tmp_path, two_replicas, over, like
):
    two = make_trainer(tmp_path / "two", dataset, strategy=two_replicas, steps=2, losses_over=over)
    one = make_trainer(tmp_path / "one", dataset, like, steps=2)
    two.run(), one.run()
    _assert_equal_runs(one, two)


@pytest.mark.slow
def test_two_batches_of_one_update_learn_the_masks_of_one_large_batch(whole_run, dataset, tmp_path):
    def halves(start):
        large = _batches(dataset)(start // 2)
        return large.unbatch().batch(1, drop_remainder=True)

    _, whole, _ = whole_run
    parts = make_trainer(
        tmp_path, dataset, batches=halves, batch_size=1, accumulate=2, reference_batch_size=2
    )
    parts.run()
    _assert_equal_runs(whole, parts)


def _assert_equal_runs(one, other):
    for a, b in zip(read_metrics(other.workdir), read_metrics(one.workdir), strict=True):
        assert a["losses"] == pytest.approx(b["losses"], rel=10 * TOLERANCE)
    for variable, a, b in zip(
        one.detector.variables, other.detector.get_weights(), one.detector.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, err_msg=variable.path)
