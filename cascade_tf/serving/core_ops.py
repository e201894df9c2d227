"""Anybody's Keras model with layers of this package, as a graph that TensorFlow alone can run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from cascade_tf.ops.library import twins_alone

_Function = tf.types.experimental.PolymorphicFunction


@contextlib.contextmanager
def core_ops(model: keras.layers.Layer) -> Iterator[None]:
    """While it lasts, graphs that are traced hold TensorFlow's own ops only, and load without a library.

        with cascade_tf.core_ops(model):
            model.export("folder")

    It is the same for ``keras.export.ExportArchive`` and ``tf.saved_model.save``, as long as the functions
    are traced inside. The layers' ``implementation`` does not matter, nor do ops that a model's own code
    calls. The model is left as it was.

    Args:
        model: what is exported. Its layers' methods that are a ``tf.function`` would keep the ops of their
            first trace; while this lasts they are traced anew.

    Raises:
        TypeError: ``model`` is no Keras model or layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model: got {type(model).__name__}, expected a Keras model or layer")
    traced = [
        (layer, name) for layer in model._flatten_layers() for name in sorted(_functions_of(type(layer)))
    ]
    with contextlib.ExitStack() as stack:
        for layer, name in traced:
            # An attribute of the object hides the method of its class.
            setattr(layer, name, getattr(layer, name).python_function)
            stack.callback(delattr, layer, name)
        stack.enter_context(twins_alone())
        yield


def _functions_of(kind: type) -> set[str]:
    """Names of a class's methods that are a ``tf.function``."""
    return {name for one in kind.__mro__ for name, value in vars(one).items() if isinstance(value, _Function)}
