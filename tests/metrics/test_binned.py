"""Shares and binned means, by hand."""

from __future__ import annotations

import numpy as np

from cascade_tf.metrics.binned import binned_means, shares_above


def test_means_of_bins():
    curve = binned_means(
        np.array([0.0, 0.1, 0.5, 0.99, 1.0, 2.0]),
        np.array([1.0, 3.0, 7.0, 1.0, 5.0, 9.0]),
        np.array([0, 0.5, 0.75, 1]),
    )
    np.testing.assert_array_equal(curve.centers, [0.25, 0.625, 0.875])
    np.testing.assert_array_equal(curve.means, [2.0, 7.0, 3.0])
    np.testing.assert_array_equal(curve.counts, [2, 1, 2])


def test_an_empty_bin_has_no_mean():
    curve = binned_means(np.array([0.1]), np.array([4.0]), np.array([0, 0.5, 1]))
    assert curve.means[0] == 4.0
    assert np.isnan(curve.means[1])


def test_shares_hold_their_thresholds():
    assert shares_above(np.array([0.5, 0.6, 0.4, 0.7]), (0.5, 0.7, 0.8)) == [0.75, 0.25, 0.0]
    assert shares_above(np.zeros(0), (0.5,)) == [0.0]
