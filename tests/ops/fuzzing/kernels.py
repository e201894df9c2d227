"""Calls of the kernels themselves with arguments that no function of the package would pass on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.ops import library
from tests.ops.fuzzing.calls import results
from tests.ops.fuzzing.catalogue import FuzzedOp
from tests.ops.fuzzing.draws import ODD_FLOATS, ODD_INTS, Draw
from tests.ops.fuzzing.outcomes import REFUSALS, Made

# Sizes of results: no number that would fill the memory, as a caller's right.
_SIZES = {"feature_shapes", "features_shape", "size", "original_size", "frame", "image_size"}
_SMALL_INTS = np.int32([-(2**31), -1, 0, 1, 2, 3, 40])
_SUBNORMAL = np.float32(1e-45)


class _Recorder:
    """Stands in for the library: passes calls on and remembers them."""

    def __init__(self, custom: Any) -> None:
        self.custom = custom
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return getattr(self.custom, name)(**arguments)

        return call


@contextlib.contextmanager
def recorded() -> Iterator[_Recorder]:
    """The calls of C++ ops that are made while it lasts."""
    load, recorder = library.load, _Recorder(library.load())
    library.load = lambda: recorder
    try:
        yield recorder
    finally:
        library.load = load


def spoiled_kernel(op: FuzzedOp, rng: np.random.Generator, where: str) -> Made:
    """A kernel, or that of a gradient, with one argument changed: it answers or refuses, and lives on."""
    draw, settings = Draw(rng), op.settings[rng.integers(len(op.settings))]
    tensors = {name: tf.convert_to_tensor(value) for name, value in op.draw(draw, settings).items()}
    with recorded() as recorder, contextlib.suppress(*REFUSALS):
        results(op, tensors, settings, "custom")
    answered = False
    for name, arguments in recorder.calls:
        changed = str(rng.choice(list(arguments)))
        arguments = {**arguments, changed: _spoiled(draw, changed, arguments[changed])}
        # TensorFlow's own checks of attributes.
        with contextlib.suppress(*REFUSALS, TypeError, OverflowError):
            getattr(recorder.custom, name)(**arguments)
            answered = True
    return Made(2 * len(recorder.calls), answered)


def _spoiled(draw: Draw, name: str, value: Any) -> Any:
    rng = draw.rng
    if isinstance(value, list) and value:
        place = int(rng.integers(0, len(value)))
        if rng.random() < 0.2:
            return value[:place]
        return [*value[:place], _spoiled(draw, name, value[place]), *value[place + 1 :]]
    if isinstance(value, (tf.Tensor, np.ndarray, tuple)):
        return _spoiled_tensor(draw, name, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if isinstance(value, int):
        return int(rng.choice([-1, 0, 1, 7, 100]))
    return float(rng.choice([*ODD_FLOATS, _SUBNORMAL, 0.5]))


def _spoiled_tensor(draw: Draw, name: str, value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    array = tf.cast(tensor, tf.float32).numpy() if tensor.dtype == tf.bfloat16 else tensor.numpy()
    if draw.rng.random() < 0.5:
        return tf.cast(draw.spoiled(np.asarray(array), very_long=True), tensor.dtype)
    if array.dtype == np.int32:
        odd = _SMALL_INTS if name in _SIZES else ODD_INTS
    elif array.dtype == np.float32:
        odd = np.append(ODD_FLOATS, _SUBNORMAL)
    else:
        return tensor
    places = draw.rng.random(array.shape) < 0.5
    return tf.cast(np.where(places, draw.rng.choice(odd, array.shape), array), tensor.dtype)
