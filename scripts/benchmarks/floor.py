"""The multiply-adds that the results of a traced function need, counted in its graph."""

from __future__ import annotations

import math
from typing import Any


def count_operations(function: Any, *args: Any) -> float:
    """Multiply-adds times two of the convolutions and matrix products of a traced function.

    Gradients that Python asked for and nothing uses, such as those of a frozen layer's input, do not count:
    TensorFlow does not compute them either.

    Args:
        function: a ``tf.function``.
        *args: tensors that it is traced for; their sizes must decide all others.

    Raises:
        ValueError: an operation's size does not follow from those of the arguments.
    """
    import tensorflow as tf

    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, args)
    graph = function.get_concrete_function(*specs).graph
    return 2.0 * sum(_multiply_adds(op) for op in _needed_operations(graph))


def _needed_operations(graph: Any) -> set[Any]:
    """Those that the graph's results and its effects on variables depend on."""
    waiting = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    needed = set()
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return needed


def _multiply_adds(op: Any) -> float:
    if op.type == "Conv2D":
        return math.prod(_shape(op.outputs[0])) * math.prod(_shape(op.inputs[1])[:3])
    if op.type.startswith("Conv2DBackprop"):
        # Both gradients have the operations of the forward pass, whose result has the shape of input 2.
        kernel = op.outputs[0] if op.type == "Conv2DBackpropFilter" else op.inputs[1]
        return math.prod(_shape(op.inputs[2])) * math.prod(_shape(kernel)[:3])
    if op.type == "MatMul":
        rows = -2 if op.get_attr("transpose_a") else -1
        return math.prod(_shape(op.outputs[0])) * _shape(op.inputs[0])[rows]
    return 0.0


def _shape(tensor: Any) -> tuple[int, ...]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"operation {tensor.op.name!r}: got size {tensor.shape}, expected a known one")
    return tuple(tensor.shape)
