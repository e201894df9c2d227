"""Activations that are computed again for the gradient instead of being kept."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def recomputed(function: Callable[..., Any], wanted: bool = True) -> Callable[..., Any]:
    """A function of the same values and gradients that keeps nothing but its arguments for the gradient.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost". The function runs once more in the backward
    pass, so it must have no effects, such as moving statistics. Both times it runs in the present context:
    the backward pass lies outside of what a caller has entered, such as the images' areas.

    Args:
        function: takes tensors and returns a tensor or a list of them.
        wanted: False returns the function itself.
    """
    if not wanted:
        return function
    return tf.recompute_grad(functools.partial(contextvars.copy_context().run, function))
