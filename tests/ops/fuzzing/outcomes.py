"""What came of a call: results, or a refusal; and whether two of them are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

REFUSALS = (ValueError, tf.errors.InvalidArgumentError)
Outcome = list[np.ndarray] | Exception


def outcome(call: Callable[[], Sequence[Any]]) -> Outcome:
    """The results as arrays, or the error by which the arguments were refused. Any other error is raised."""
    try:
        return [_array(result) for result in call()]
    except REFUSALS as error:
        return error


class Made(NamedTuple):
    """What a random call was: how many times an op ran, and whether it answered."""

    runs: int
    answered: bool


def assert_same(found: Outcome, expected: Outcome, tolerance: float, where: str) -> bool:
    """Raises AssertionError unless both refused, or both gave equal results; returns whether they gave some.

    What is expected may be the first of the results alone.
    """
    if isinstance(found, Exception) or isinstance(expected, Exception):
        both = isinstance(found, Exception) and isinstance(expected, Exception)
        assert both, f"{where}: {_described(found)}, and the other {_described(expected)}"
        return False
    assert len(found) >= len(expected) > 0, where
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        message = f"{where}: result {number}"
        assert one.shape == other.shape, f"{message} has the shape {one.shape}, and the other {other.shape}"
        scale = max(1.0, np.abs(other[np.isfinite(other)]).max(initial=0.0))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale, err_msg=message)
    return True


def _array(result: Any) -> np.ndarray:
    """Numbers that NumPy can subtract."""
    if isinstance(result, tf.Tensor) and result.dtype == tf.bfloat16:
        result = tf.cast(result, tf.float32)
    return np.asarray(result).astype(np.float64)


def _described(found: Outcome) -> str:
    if isinstance(found, Exception):
        return f"refused ({type(found).__name__}: {str(found)[:300]})"
    return "answered"
