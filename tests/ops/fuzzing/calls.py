"""Random calls of one op; each function makes one of them and returns what it was."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.fuzzing.catalogue import FuzzedOp, Settings
from tests.ops.fuzzing.draws import Draw
from tests.ops.fuzzing.outcomes import Made, assert_same, outcome

# float32 sums in another order, and positions that the twins compute otherwise.
TOLERANCE = 1e-4
# What comes from above is rounded to the type, and so is the result.
ROUNDING = {"float64": TOLERANCE, "float32": TOLERANCE, "float16": 2.0**-9, "bfloat16": 2.0**-6}


def results(op: FuzzedOp, tensors: Any, settings: Settings, implementation: str) -> list[tf.Tensor]:
    """The op's results, and their gradients in what can be differentiated."""
    sources = [tensors[name] for name in op.differentiable if name in tensors]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        found = op.call(tensors, settings, implementation=implementation)
    found = list(found) if isinstance(found, tuple) else [found]
    if not sources:
        return found
    above = tf.cast(tf.cos(tf.range(tf.cast(tf.size(found[0]), tf.float32))), found[0].dtype)
    return found + tape.gradient(found[0], sources, tf.reshape(above, tf.shape(found[0])))


def against_reference(op: FuzzedOp, rng: np.random.Generator, where: str) -> Made:
    """The C++ op, or the only implementation, eagerly, in a random type; equal to the NumPy reference."""
    draw, settings = Draw(rng), op.settings[rng.integers(len(op.settings))]
    arrays = op.draw(draw, settings)
    dtype = str(rng.choice(list(ROUNDING))) if any(name.startswith("map") for name in arrays) else "float32"
    tensors = {name: tf.convert_to_tensor(value) for name, value in arrays.items()}
    for name in tensors:
        if name.startswith("map") and name[3:].isdigit():
            tensors[name] = tf.cast(tensors[name], dtype)
            arrays[name] = tf.cast(tensors[name], tf.float32).numpy()
    found = outcome(lambda: results(op, tensors, settings, op.implementations[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = outcome(lambda: op.reference(arrays, settings))
    answered = assert_same(found, expected, ROUNDING[dtype], where)
    return Made(1 + bool(op.differentiable), answered)


def against_twin(op: FuzzedOp, rng: np.random.Generator, where: str) -> Made:
    """Both implementations in graphs that know no sizes, some of which do not fit: alike."""
    draw, number = Draw(rng), int(rng.integers(len(op.settings)))
    arrays = op.draw(draw, op.settings[number])
    if rng.random() < 0.3:
        name = rng.choice(list(arrays))
        other = draw.spoiled(arrays[name])
        if other.ndim == arrays[name].ndim:
            arrays[name] = other
    tensors = [tf.convert_to_tensor(value) for value in arrays.values()]
    specs = tuple((name, value.ndim, value.dtype.name) for name, value in arrays.items())
    found, expected = (
        outcome(lambda one=one: _graph(op, number, one, specs)(*tensors)) for one in op.implementations
    )
    answered = assert_same(found, expected, TOLERANCE, where)
    return Made(2 * (1 + bool(op.differentiable)), answered)


@functools.cache
def _graph(op: FuzzedOp, number: int, implementation: str, specs: tuple) -> Any:
    names = [name for name, *_ in specs]

    @tf.function(
        input_signature=[tf.TensorSpec([None] * rank, dtype) for _, rank, dtype in specs], autograph=False
    )
    def run(*tensors: tf.Tensor) -> list[tf.Tensor]:
        tensors = dict(zip(names, tensors, strict=True))
        return results(op, tensors, op.settings[number], implementation)

    return run


def refused_alike(op: FuzzedOp, rng: np.random.Generator, where: str) -> Made:
    """One argument of another shape, known beforehand: both implementations say the same."""
    draw, settings = Draw(rng), op.settings[rng.integers(len(op.settings))]
    arrays = op.draw(draw, settings)
    name = rng.choice(list(arrays))
    arrays[name] = draw.spoiled(arrays[name])
    tensors = {name: tf.convert_to_tensor(value) for name, value in arrays.items()}
    found, expected = (
        outcome(lambda one=one: results(op, tensors, settings, one)) for one in op.implementations
    )
    answered = assert_same(found, expected, TOLERANCE, where)
    return Made(2, answered)
