"""One update on one device, against formulas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.training.average import AveragedWeights
from cascade_tf.training.distribution import batch_signature
from cascade_tf.training.optimizer import MomentumSGD
from cascade_tf.training.precision import LossScale, dtype_policy
from cascade_tf.training.step import UpdateStep, raw_variable
from tests.training.fake_detector import FakeDetector, element_spec, make_batch, poison

# float32 sums in another order.
TOLERANCE = 1e-6


def make_step(detector=None, rate=0.02, momentum=0.9, l2=0.0, ema=None, **settings):
    keras.utils.set_random_seed(3)
    detector = detector or FakeDetector()
    average = AveragedWeights([raw_variable(v) for v in detector.trainable_variables], ema) if ema else None
    optimizer = MomentumSGD(rate, momentum, l2)
    signature = batch_signature(element_spec(), 4)
    return UpdateStep(
        detector, optimizer, tf.distribute.get_strategy(), signature, average=average, **settings
    )


def weights(step):
    return [v.numpy() for v in step.detector.trainable_variables]


def gradients(step, data):
    with tf.GradientTape() as tape:
        losses, _ = step.detector.compute_losses(*data)
        total = tf.add_n(list(losses.values()))
    found = tape.gradient(total, [raw_variable(v) for v in step.detector.trainable_variables])
    return [g.numpy() for g in found]


def test_an_update_is_gradient_descent_on_the_sum_of_the_losses():
    step = make_step(momentum=0.0)
    data = make_batch(0)
    before, slope = weights(step), gradients(step, data)
    report = step(*data)
    for old, g, new in zip(before, slope, weights(step), strict=True):
        np.testing.assert_allclose(new, old - 0.02 * g, atol=TOLERANCE)
    assert float(report.losses["total"]) == pytest.approx(
        float(report.losses["box"]) + float(report.losses["size"]), rel=1e-6
    )
    norm = np.sqrt(sum(np.sum(g**2) for g in slope))
    assert float(report.gradient_norm) == pytest.approx(norm, rel=1e-5)
    assert (float(report.applied), float(report.failed)) == (1.0, 0.0)
    assert int(step.optimizer.iterations.numpy()) == 1


@pytest.mark.parametrize("share", [0.25, 4.0])
def test_clipping_limits_the_global_norm(share):
    step = make_step(momentum=0.0)
    data = make_batch(0)
    slope = gradients(step, data)
    norm = np.sqrt(sum(np.sum(g**2) for g in slope))
    step = make_step(momentum=0.0, clip_norm=share * norm)
    before = weights(step)
    step(*data)
    for old, g, new in zip(before, slope, weights(step), strict=True):
        np.testing.assert_allclose(new, old - 0.02 * min(share, 1.0) * g, atol=TOLERANCE)


def test_average_follows_its_formula():
    step = make_step(ema=0.5)
    expected = weights(step)
    for number in range(1, 13):
        step(*make_batch(number))
        decay = min(0.5, (1 + number) / (10 + number))
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights(step), strict=True)]
    assert (1 + 12) / (10 + 12) > 0.5  # both branches of the minimum were met
    for value, mean in zip(expected, step.average.variables, strict=True):
        np.testing.assert_allclose(mean.numpy(), value, atol=TOLERANCE)


def test_average_is_applied_and_taken_back():
    step = make_step(ema=0.9)
    for number in range(3):
        step(*make_batch(number))
    own, means = weights(step), [v.numpy() for v in step.average.variables]
    with step.average.applied():
        for value, mean in zip(weights(step), means, strict=True):
            np.testing.assert_array_equal(value, mean)
    for value, before in zip(weights(step), own, strict=True):
        np.testing.assert_array_equal(value, before)


def test_after_a_loss_that_is_not_finite_nothing_moves_any_more():
    step = make_step(l2=0.01, ema=0.9)
    step(*make_batch(0))
    before = weights(step) + [v.numpy() for v in step.optimizer.velocities + step.average.variables]
    reports = [step(*poison(1)(number, make_batch(number))) for number in (1, 2)]
    after = weights(step) + [v.numpy() for v in step.optimizer.velocities + step.average.variables]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.isnan(reports[0].losses["box"])
    assert np.isfinite(reports[1].losses["box"])
    assert [float(r.failed) for r in reports] == [1.0, 1.0]
    assert [float(r.applied) for r in reports] == [0.0, 0.0]


def test_moving_statistics_survive_a_loss_that_is_not_finite():
    class Normalised(FakeDetector):
        def build_parts(self):
            self.norm = keras.layers.BatchNormalization(name="norm", momentum=0.5)
            super().build_parts()

    step = make_step(Normalised())
    start = step.detector.norm.moving_mean.numpy()
    step(*make_batch(0))
    learnt = step.detector.norm.moving_mean.numpy()
    assert np.abs(learnt - start).max() > 1e-3
    step.detector.hidden.bias.assign(np.full(5, np.nan))
    report = step(*make_batch(1))
    assert float(report.failed) == 1.0
    np.testing.assert_array_equal(step.detector.norm.moving_mean.numpy(), learnt)


def test_one_trace_serves_every_image_size():
    step = make_step()
    for number, size in enumerate([(32, 32), (64, 32), (96, 160), (32, 224)]):
        step(*make_batch(number, size=size))
    assert step.function.experimental_get_tracing_count() == 1


def test_a_detector_without_variables_is_refused():
    class Empty(keras.Model):
        pass

    with pytest.raises(ValueError, match="'empty': got no trainable variables, expected a built detector"):
        make_step(Empty(name="empty"))


def test_regularisation_of_layers_counts():
    class Regularised(FakeDetector):
        def build_parts(self):
            self.hidden.kernel_regularizer = keras.regularizers.L2(0.5)
            super().build_parts()

    step = make_step(Regularised())
    expected = 0.5 * np.sum(step.detector.hidden.kernel.numpy() ** 2)
    report = step(*make_batch(0))
    assert float(report.losses["regularization"]) == pytest.approx(expected, rel=1e-6)


def test_bfloat16_keeps_variables_in_float32_and_learns():
    with dtype_policy("mixed_bfloat16"):
        detector = FakeDetector()
    assert keras.mixed_precision.dtype_policy().name == "float32"
    assert detector.hidden.compute_dtype == "bfloat16"
    step = make_step(detector, rate=0.05)
    losses = [float(step(*make_batch(0)).losses["total"]) for _ in range(20)]
    assert {v.dtype for v in detector.trainable_variables} == {"float32"}
    assert losses[-1] < 0.5 * losses[0]


def test_loss_scaling_does_not_change_a_float32_update():
    plain, scaled = make_step(clip_norm=0.1), make_step(clip_norm=0.1, loss_scale=LossScale(1024.0))
    for number in range(3):
        a, b = plain(*make_batch(number)), scaled(*make_batch(number))
        assert float(a.gradient_norm) == pytest.approx(float(b.gradient_norm), rel=1e-5)
    for a, b in zip(weights(plain), weights(scaled), strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE)


def test_a_gradient_overflow_halves_the_scale_and_costs_one_update():
    with dtype_policy("mixed_float16"):
        detector = FakeDetector()
    # The largest float16 is 65504: gradients of this loss times 2**24 overflow, those times 2**8 do not.
    scale = LossScale(2.0**24, growth_steps=3)
    step = make_step(detector, loss_scale=scale, rate=0.01)
    before = weights(step)
    report = step(*make_batch(0))
    assert (float(report.applied), float(report.failed)) == (0.0, 0.0)
    for old, new in zip(before, weights(step), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(scale.factor) == 2.0**23
    while not float(step(*make_batch(0)).applied):
        pass
    found = float(scale.factor)
    assert 1.0 < found < 2.0**23
    step(*make_batch(0))
    step(*make_batch(0))
    assert float(scale.factor) == 2 * found
