"""Two replicas are one device with the same global batch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.training.average import AveragedWeights
from cascade_tf.training.distribution import batch_signature, check_divisible, default_strategy, local_share
from cascade_tf.training.optimizer import MomentumSGD
from cascade_tf.training.precision import LossScale
from cascade_tf.training.step import UpdateStep, raw_variable
from tests.training.fake_detector import FakeDetector, element_spec, make_batch, poison

# Means over 4 images and over twice 2 round differently in float32. The variance of 4 values is a difference
# of means, which loses a further digit, and four steps multiply that: up to 1.3e-5 on the processors tried.
# Statistics of one replica alone are off by more than 1e-3.
TOLERANCE = 1e-6
NORM_TOLERANCE = 1e-4


class BatchNormalised(FakeDetector):
    def build_parts(self):
        self.norm = keras.layers.BatchNormalization(name="norm", momentum=0.5, synchronized=True)
        super().build_parts()


def train(strategy, batches, kind=FakeDetector, clip_norm=None, loss_scale=False):
    keras.utils.set_random_seed(5)
    with strategy.scope():
        detector = kind()
        average = AveragedWeights([raw_variable(v) for v in detector.trainable_variables], 0.9)
        step = UpdateStep(
            detector,
            MomentumSGD(0.02, 0.9, 0.01),
            strategy,
            batch_signature(element_spec(), 4),
            clip_norm=clip_norm,
            loss_scale=LossScale(256.0) if loss_scale else None,
            average=average,
        )
    reports = [step(*data) for data in batches]
    values = [v.numpy() for v in detector.variables + average.variables + step.optimizer.velocities]
    return values, reports, step


@pytest.mark.parametrize(
    "settings",
    [{}, {"clip_norm": 0.3}, {"clip_norm": 0.3, "loss_scale": True}, {"kind": BatchNormalised}],
    ids=["plain", "clipped", "clipped and scaled", "synchronised norm"],
)
def test_two_replicas_equal_one_device(two_replicas, settings):
    batches = [make_batch(number) for number in range(4)]
    one, one_reports, _ = train(tf.distribute.get_strategy(), batches, **settings)
    two, two_reports, step = train(two_replicas, batches, **settings)
    tolerance = NORM_TOLERANCE if "kind" in settings else TOLERANCE
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    for a, b in zip(one_reports, two_reports, strict=True):
        for x, y in zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True):
            np.testing.assert_allclose(x, y, rtol=10 * tolerance)
    assert step.function.experimental_get_tracing_count() == 1
    if "clip_norm" in settings:
        assert all(float(r.gradient_norm) > 0.3 for r in one_reports)


def test_the_copies_of_all_replicas_stay_equal(two_replicas):
    _, _, step = train(two_replicas, [make_batch(n) for n in range(3)])
    for variable in step.detector.trainable_variables:
        first, second = (v.numpy() for v in variable.value.values)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("image", [0, 3])
def test_a_bad_image_on_either_replica_stops_both(two_replicas, image):
    before, _, _ = train(two_replicas, [make_batch(0)])
    batches = [make_batch(0), poison(1, image)(1, make_batch(1)), make_batch(2)]
    after, reports, _ = train(two_replicas, batches)
    assert [float(r.failed) for r in reports] == [0.0, 1.0, 1.0]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_each_replica_gets_its_consecutive_part(two_replicas):
    batch, targets = make_batch(3, batch_size=6)
    shares = two_replicas.run(lambda b, t: local_share((b, t)), args=(batch, targets))
    ids = [ids.numpy().tolist() for ids in two_replicas.experimental_local_results(shares[0].image_id)]
    assert ids == [[3000, 3001, 3002], [3003, 3004, 3005]]


def test_a_batch_that_does_not_divide_is_refused(two_replicas):
    with pytest.raises(
        ValueError, match=r"train.batch_size: got 3 images for 2 devices, expected a multiple of 2"
    ):
        check_divisible(3, two_replicas)


def test_batches_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"got batches of 4 images, expected train.batch_size = 8"):
        batch_signature(element_spec(4), 8)


def test_without_several_gpus_there_is_one_replica():
    if len(tf.config.list_logical_devices("GPU")) < 2:
        assert default_strategy().num_replicas_in_sync == 1
