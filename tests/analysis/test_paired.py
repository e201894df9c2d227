"""Paired differences against tables of Student's t and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from cascade_tf.analysis.paired import paired_difference, student_quantile

# Two-sided 95 % and one-sided 99 %, as printed tables have them.
TABLE = {1: (12.706, 31.821), 2: (4.303, 6.965), 3: (3.182, 4.541), 4: (2.776, 3.747), 9: (2.262, 2.821)}


@pytest.mark.parametrize("degrees", TABLE)
def test_quantiles_are_those_of_printed_tables(degrees):
    for probability, expected in zip((0.975, 0.99), TABLE[degrees], strict=True):
        assert student_quantile(probability, degrees) == pytest.approx(expected, abs=6e-4)
        assert student_quantile(1 - probability, degrees) == pytest.approx(-expected, abs=6e-4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 29, 100])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.9995])
def test_quantiles_are_those_of_scipy(probability, degrees):
    expected = scipy.stats.t.ppf(probability, degrees)
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-8)


def test_the_interval_is_that_of_a_t_test_of_pairs():
    rng = np.random.default_rng(0)
    baseline = rng.normal(40.0, 5.0, 5)
    against = baseline + rng.normal(2.0, 1.0, 5)
    found = paired_difference(baseline.tolist(), against.tolist())
    test = scipy.stats.ttest_rel(against, baseline)
    expected = test.confidence_interval(0.95)
    np.testing.assert_allclose(found.interval, (expected.low, expected.high), rtol=1e-8)
    np.testing.assert_allclose(found.differences, against - baseline)
    assert found.mean == pytest.approx((against - baseline).mean())
    assert found.std == pytest.approx(np.std(against - baseline, ddof=1))


def test_a_difference_that_is_equal_in_all_pairs_is_sure():
    found = paired_difference([1.0, 5.0, 2.0], [3.0, 7.0, 4.0])
    assert (found.mean, found.std, found.interval) == (2.0, 0.0, (2.0, 2.0))


def test_one_pair_has_a_difference_without_an_interval():
    found = paired_difference([1.0], [4.0])
    assert found.mean == 3.0
    assert math.isnan(found.std)
    assert all(math.isnan(end) for end in found.interval)


@pytest.mark.parametrize(
    ("baseline", "against", "confidence", "message"),
    [
        ([], [], 0.95, "got 0 and 0 numbers"),
        ([1.0, 2.0], [1.0], 0.95, "got 2 and 1 numbers"),
        ([1.0, 2.0], [1.0, math.nan], 0.95, "expected finite"),
        ([1.0, 2.0], [1.0, 2.0], 1.0, "confidence: got 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(baseline, against, confidence, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(baseline, against, confidence)


def test_a_probability_or_degrees_outside_their_range_are_refused():
    for arguments in ((0.0, 3), (1.0, 3), (0.9, 0)):
        with pytest.raises(ValueError, match="expected one in"):
            student_quantile(*arguments)
