"""Comparison of nested outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def leaves(nest: Any) -> list[np.ndarray]:
    """All tensors of a nest as arrays, in TensorFlow's order."""
    return [np.asarray(value) for value in tf.nest.flatten(nest)]


def assert_equal(actual: Any, expected: Any, tolerance: float = 0.0) -> None:
    """Compares nests of equal structure; types must agree, numbers to within ``tolerance``."""
    tf.nest.assert_same_structure(actual, expected)
    for number, (one, other) in enumerate(zip(leaves(actual), leaves(expected), strict=True)):
        assert one.dtype == other.dtype, f"output {number}"
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=f"output {number}")
