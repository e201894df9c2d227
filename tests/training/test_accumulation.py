"""An update from several batches is that of one large batch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.loss_counts import mean_over
from cascade_tf.training.accumulation import AccumulatedStep
from cascade_tf.training.average import AveragedWeights
from cascade_tf.training.distribution import batch_signature
from cascade_tf.training.optimizer import MomentumSGD
from cascade_tf.training.precision import LossScale
from cascade_tf.training.step import UpdateStep, raw_variable
from cascade_tf.training.window import Window
from tests.training.fake_detector import FakeDetector, element_spec, make_batch, poison

# Gradients are added up in another order.
TOLERANCE = 1e-6
# Losses as means over each batch alone are off by far more.
WRONG = 1e-3


class CountingDetector(FakeDetector):
    """Its loss is a mean over the objects whose class is 1: as a mask head's over the foreground."""

    def compute_losses(self, batch, targets):
        error = self(batch, training=True)[:, None] - targets.boxes / 100.0
        counted = tf.cast(targets.classes == 1, tf.float32)
        total = tf.reduce_sum(counted[..., None] * tf.square(error))
        objects = tf.reduce_sum(counted)
        return {"objects": mean_over(total, objects)}, {"objects": objects}


def uneven_batch(number, batch_size=4):
    """A batch whose images have 0, 1, 2 and 1 objects of class 1."""
    batch, targets = make_batch(number, batch_size, size=(32, 64))
    classes = np.resize([[2, 2], [1, 2], [1, 1], [2, 1]], [batch_size, 2]).astype(np.int32)
    return batch, targets._replace(classes=tf.constant(classes))


def cut(data, size):
    """The batch in consecutive parts of ``size`` images."""
    total = data[0].images.shape[0]
    return [
        tf.nest.map_structure(lambda value, s=start: value[s : s + size], data)
        for start in range(0, total, size)
    ]


def build(strategy, accumulate, kind=CountingDetector, loss_scale=False, **settings):
    keras.utils.set_random_seed(5)
    with strategy.scope():
        detector = kind()
        common = {
            "clip_norm": 0.3,
            "loss_scale": LossScale(256.0) if loss_scale else None,
            "average": AveragedWeights([raw_variable(v) for v in detector.trainable_variables], 0.9),
            **settings,
        }
        size = 4 // accumulate
        base = detector, MomentumSGD(0.02, 0.9, 0.01), strategy, batch_signature(element_spec(size), size)
        if accumulate == 1:
            return UpdateStep(*base, **common)
        return AccumulatedStep(*base, num_parts=accumulate, **common)


def values_of(step):
    variables = step.detector.variables + step.average.variables + step.optimizer.velocities
    return [v.numpy() for v in variables]


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("loss_scale", [False, True], ids=["plain", "scaled"])
def test_parts_equal_the_large_batch(accumulate, loss_scale):
    strategy = tf.distribute.get_strategy()
    large = build(strategy, 1, loss_scale=loss_scale)
    parts = build(strategy, accumulate, loss_scale=loss_scale)
    for number in range(5):
        data = uneven_batch(number)
        expected, found = large(*data), parts.of_parts(cut(data, 4 // accumulate))
        assert float(expected.gradient_norm) > 0.3
        assert found.losses.keys() == expected.losses.keys()
        for name, value in expected.losses.items():
            np.testing.assert_allclose(found.losses[name], value, rtol=10 * TOLERANCE)
        np.testing.assert_allclose(found.gradient_norm, expected.gradient_norm, rtol=10 * TOLERANCE)
        assert float(found.learning_rate) == float(expected.learning_rate)
    assert int(parts.optimizer.iterations.numpy()) == 5
    for a, b in zip(values_of(large), values_of(parts), strict=True):
        np.testing.assert_allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE)


def test_parts_on_two_replicas_equal_the_large_batch(two_replicas):
    large = build(tf.distribute.get_strategy(), 1)
    parts = build(two_replicas, 2)
    for number in range(5):
        data = uneven_batch(number)
        large(*data), parts.of_parts(cut(data, 2))
    for a, b in zip(values_of(large), values_of(parts), strict=True):
        np.testing.assert_allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("over", ["update", "device"])
def test_replicas_take_means_over_the_update_or_over_their_own(two_replicas, over):
    one = build(tf.distribute.get_strategy(), 1, losses_over=over)
    two = build(two_replicas, 1, losses_over=over)
    data = uneven_batch(0)
    whole, halves = float(one(*data).losses["objects"]), float(two(*data).losses["objects"])
    if over == "update":
        assert halves == pytest.approx(whole, rel=TOLERANCE)
    else:
        assert halves != pytest.approx(whole, rel=WRONG)


def test_losses_over_a_device_are_the_mean_of_the_parts_means():
    parts = build(tf.distribute.get_strategy(), 2, losses_over="device")
    data = cut(uneven_batch(0), 2)
    alone = [float(parts.detector.compute_losses(*part)[0]["objects"]) for part in data]
    assert float(parts.of_parts(data).losses["objects"]) == pytest.approx(np.mean(alone), rel=1e-5)


class Normalised(CountingDetector):
    def build_parts(self):
        self.norm = keras.layers.BatchNormalization(name="norm", momentum=0.5)
        super().build_parts()


def test_the_counting_pass_leaves_moving_statistics_alone():
    strategy = tf.distribute.get_strategy()
    counted, plain = (
        build(strategy, 2, kind=Normalised),
        build(strategy, 2, kind=Normalised, losses_over="device"),
    )
    data = cut(uneven_batch(0), 2)
    counted.of_parts(data), plain.of_parts(data)
    for a, b in zip(
        counted.detector.non_trainable_variables, plain.detector.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE)


@pytest.mark.parametrize("image", [0, 3])
def test_a_part_that_is_not_finite_stops_the_whole_update(image):
    step = build(tf.distribute.get_strategy(), 2, kind=Normalised)
    step.of_parts(cut(uneven_batch(0), 2))
    before = values_of(step)
    window = Window()
    for number in (1, 2):
        data = poison(1, image)(number, uneven_batch(number))
        window.add(number + 1, step.of_parts(cut(data, 2)), data[0].image_id)
    with pytest.raises(
        FloatingPointError, match=r"step 2: got objects = nan, .* images 1000, 1001, 1002, 1003"
    ):
        window.check()
    for a, b in zip(before, values_of(step), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_of_all_sizes_need_one_trace():
    step = build(tf.distribute.get_strategy(), 2)
    for number in range(3):
        step.of_parts([make_batch(2 * number, 2), make_batch(2 * number + 1, 2)])
    for function in (step._count, step._add, step._end):
        assert function.experimental_get_tracing_count() == 1
