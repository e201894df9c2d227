"""Deformable convolution: NumPy reference, ordinary convolution, borders, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops.deformable_convolution import deformable_conv2d
from tests.reference import deformable_convolution as reference

# Positions are rounded to 1e-6 cells on maps of this size, and several products of order one are summed.
TOLERANCE = 3e-5
# Differences of float32 values over 2 * DELTA.
DELTA = 1e-2
NUMERICAL = 5e-3


def problem(rng, size=(7, 9), channels=6, filters=4, groups=2, stride=1, spread=1.5, batch=2):
    height, width = size
    inputs = rng.standard_normal((batch, height, width, channels)).astype(np.float32)
    out = (-(-height // stride), -(-width // stride))
    offsets = (spread * rng.standard_normal((batch, *out, 18))).astype(np.float32)
    kernel = rng.standard_normal((3, 3, channels // groups, filters)).astype(np.float32) / 3
    return inputs, offsets, kernel


@pytest.mark.parametrize("size", [(7, 9), (8, 6), (1, 1), (1, 5), (2, 2)])
@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)])
def test_equals_reference(rng, size, groups, stride):
    inputs, offsets, kernel = problem(rng, size, groups=groups, stride=stride)
    outputs = deformable_conv2d(inputs, offsets, kernel, stride=stride)
    expected = reference.deformable_conv2d(inputs, offsets, kernel, stride=stride)
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)


@pytest.mark.parametrize("stride", [1, 2])
def test_no_images(rng, stride):
    """oneDNN's convolution of none has as many channels as its input."""
    tensors = [tf.constant(one) for one in problem(rng, batch=0, stride=stride)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = deformable_conv2d(*tensors, stride=stride)
    assert outputs.shape == (*tensors[1].shape[:3], 4)
    for one, gradient in zip(tensors, tape.gradient(outputs, tensors), strict=True):
        assert one.shape == gradient.shape
        assert not gradient.numpy().any()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(3, 5, 1), (6, 4, 2), (4, 8, 4)])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_zero_offsets_make_an_ordinary_convolution(rng, size, channels, filters, groups, stride):
    inputs, offsets, kernel = problem(rng, size, channels, filters, groups, stride)
    outputs = deformable_conv2d(inputs, np.zeros_like(offsets), kernel, stride=stride)
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = tf.nn.conv2d(padded, kernel, stride, "VALID")
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -2), (-3, 2), (8, 0)])
def test_whole_offsets_shift_the_input(rng, dy, dx):
    inputs, offsets, _ = problem(rng)
    moved = np.zeros_like(inputs)
    for i, j in np.ndindex(7, 9):
        if 0 <= i + dy < 7 and 0 <= j + dx < 9:
            moved[:, i, j] = inputs[:, i + dy, j + dx]
    shifted = np.zeros_like(offsets) + np.tile(np.float32([dy, dx]), 9)
    identity = np.zeros((3, 3, 3, 6), np.float32)
    identity[1, 1] = np.concatenate([np.eye(3), np.eye(3)], axis=1)
    np.testing.assert_allclose(deformable_conv2d(inputs, shifted, identity), moved, atol=TOLERANCE)


def test_each_offset_belongs_to_its_tap_with_y_first():
    inputs = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    for tap in range(9):
        kernel = np.zeros((9, 1, 1), np.float32)
        kernel[tap] = 1
        offsets = np.zeros((1, 5, 5, 18), np.float32)
        offsets[..., 2 * tap], offsets[..., 2 * tap + 1] = 0.5, 0.25
        outputs = deformable_conv2d(inputs, offsets, kernel.reshape(3, 3, 1, 1))
        row, column = 2 + tap // 3 - 1, 2 + tap % 3 - 1
        # In the middle of the map the value is 5 y + x.
        assert float(outputs[0, 2, 2, 0]) == pytest.approx(5 * (row + 0.5) + column + 0.25, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("y", "x", "value"),
    [
        (-0.25, 0, 0.75),
        (-0.75, 1, 0.25),
        (2.5, 1, 0.5),
        (1, 3.25, 0.75),
        (-0.5, -0.5, 0.25),
        (-1, 0, 0),
        (3, 0, 0),
        (0, -1, 0),
        (0, 4, 0),
        (-1e6, 0, 0),
        (0, 3e38, 0),
    ],
)
def test_samples_at_the_border(y, x, value):
    # A map of ones with 3 x 4 cells; the middle tap of the output at (0, 0) reads at (y, x).
    offsets = np.zeros((1, 3, 4, 18), np.float32)
    offsets[0, 0, 0, 8:10] = y, x
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    outputs = deformable_conv2d(np.ones((1, 3, 4, 1), np.float32), offsets, kernel)
    assert float(outputs[0, 0, 0, 0]) == pytest.approx(value, abs=TOLERANCE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_offsets_that_are_not_finite_read_zero(rng, bad):
    inputs, offsets, kernel = problem(rng)
    far = offsets.copy()
    offsets[0, 2, 3, 5], far[0, 2, 3, 5] = bad, 100
    offsets[1, 0, 0, :], far[1, 0, 0, :] = bad, 100
    found, expected = gradients(inputs, offsets, kernel), gradients(inputs, far, kernel)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def gradients(inputs, offsets, kernel, stride=1):
    """The outputs, and the gradients of the sum of their squares."""
    variables = [tf.convert_to_tensor(value) for value in (inputs, offsets, kernel)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = deformable_conv2d(*variables, stride=stride)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
    return [outputs, *tape.gradient(loss, variables)]


def away_from_kinks(offsets):
    """The interpolation has a kink at whole positions: moves fractions to the middle half of a cell."""
    whole = np.floor(offsets)
    return np.float32(whole + 0.25 + 0.5 * (offsets - whole))


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("argument", ["inputs", "offsets", "kernel"])
def test_gradients_are_those_of_finite_differences(rng, argument, groups, stride):
    values = problem(rng, (4, 5), channels=4, filters=2, groups=groups, stride=stride, batch=1)
    arguments = dict(zip(("inputs", "offsets", "kernel"), values, strict=True))
    arguments["offsets"] = away_from_kinks(arguments["offsets"])

    @tf.function(autograph=False)
    def convolve(value):
        return deformable_conv2d(**{**arguments, argument: value}, stride=stride)

    theory, numerical = tf.test.compute_gradient(convolve, [arguments[argument]], delta=DELTA)
    np.testing.assert_allclose(theory[0], numerical[0], atol=NUMERICAL)
    assert np.abs(theory[0]).max() > 0.1


def test_offsets_of_zero_get_a_gradient():
    # At whole positions the slope is the one towards the next cell, and none from outside.
    inputs = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1) ** 2
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1], kernel[0, 1] = 0.5, 1
    _, _, in_offsets, _ = gradients(inputs, np.zeros((1, 3, 4, 18), np.float32), kernel)
    above = np.pad(inputs, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :3]
    upstream = 2 * (0.5 * inputs + above)[0, :, :, 0]
    image = np.pad(inputs[0, :, :, 0], ((0, 1), (0, 1)))
    down, right = np.diff(image, axis=0)[:, :4], np.diff(image, axis=1)[:3]
    np.testing.assert_allclose(in_offsets[0, :, :, 8], 0.5 * upstream * down, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(in_offsets[0, :, :, 9], 0.5 * upstream * right, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(in_offsets[0, 0, :, 2], np.zeros(4))
    np.testing.assert_allclose(in_offsets[0, 1:, :, 2], (upstream[1:] * down[:2]), rtol=1e-4, atol=1e-2)


def test_one_trace_for_all_sizes_with_gradients(rng):
    traced = tf.function(
        gradients,
        autograph=False,
        input_signature=[tf.TensorSpec([None, None, None, n]) for n in (6, 18)]
        + [tf.TensorSpec([3, 3, 3, 4])],
    )
    for size, batch in [((7, 9), 2), ((4, 3), 1)]:
        values = problem(rng, size, batch=batch)
        for found, expected in zip(traced(*values), gradients(*values), strict=True):
            np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=1e-4)
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_keeps_positions_exact(rng, dtype):
    inputs, offsets, kernel = problem(rng)
    low, low_kernel = tf.cast(inputs, dtype), tf.cast(kernel, dtype)
    found = gradients(low, offsets, low_kernel)
    exact = gradients(tf.cast(low, tf.float32), offsets, tf.cast(low_kernel, tf.float32))
    assert [value.dtype.name for value in found] == [dtype, dtype, "float32", dtype]
    for one, other in zip(found, exact, strict=True):
        # Each of the few roundings is to 8 bits.
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), other, rtol=0.05, atol=0.05 * np.abs(other).max()
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": np.zeros((7, 9, 6), np.float32)}, r"must have rank 4, got \(7, 9, 6\)"),
        ({"kernel": np.zeros((2, 3, 3, 4), np.float32)}, "sides must be odd, got 2 x 3"),
        ({"offsets": np.zeros((2, 7, 9, 9), np.float32)}, "needs 18 offsets, got 9"),
        ({"kernel": np.zeros((3, 3, 4, 4), np.float32)}, "does not divide 6 channels into groups"),
        ({"kernel": np.zeros((3, 3, 3, 5), np.float32)}, "does not divide 6 channels into groups"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(rng, changes, message):
    arguments = dict(zip(("inputs", "offsets", "kernel"), problem(rng), strict=True))
    with pytest.raises(ValueError, match=message):
        deformable_conv2d(**{**arguments, **changes})
