"""What every test relies on: one seed, float32, two logical CPU devices and a `device` to place ops on."""

from __future__ import annotations

import ctypes
import gc
import os
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

# Two replicas on one machine, for everything that must not depend on their number. Devices are fixed once the
# runtime starts, so this cannot wait for the test that needs them.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

_GPUS = tf.config.list_physical_devices("GPU")
for _gpu in _GPUS:
    tf.config.experimental.set_memory_growth(_gpu, True)
# TensorFloat-32 rounds to 10 bits: no comparison with a float32 reference would hold.
tf.config.experimental.enable_tensor_float_32_execution(False)

# Tracing makes millions of objects that stay: Python's own thresholds would search them every 700 for cycles,
# and TensorFlow's modules with them. Every file ends with a whole collection, below.
gc.freeze()
gc.set_threshold(50_000, 10, 10)

# Of GNU's C library alone.
_give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
# Their tests start a process that needs several gigabytes.
_LARGE = ("test_memory.py",)

# Their graphs run a few times each, which takes less than to rewrite them. That rewritten graphs compute the
# same is checked in the other folders: of layers, recorded nets, exports and detectors that learn.
_UNOPTIMISED = {"models", "scripts"}
_TESTS = Path(__file__).parent


# Tests marked `long` run where this is set: minutes of kills, hosts or calls that the suite has a few of.
_LONG_TESTS = "CASCADE_TF_LONG_TESTS"


def pytest_collection_modifyitems(items):
    """Skips long tests where nobody asked for them, and sorts files for several processes.

    What needs memory comes first, while these are small, then by length.
    """
    if os.environ.get(_LONG_TESTS, "0") in ("", "0"):
        reason = f"takes minutes; {_LONG_TESTS}=1 runs it"
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=reason))
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in _LARGE, -counts[item.path], str(item.path)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Says whether TensorFlow rewrites graphs, before fixtures of any scope run some."""
    optimised = item.path.relative_to(_TESTS).parts[0] not in _UNOPTIMISED
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not optimised})


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Gives memory back after each file: a process of the whole suite would grow to twelve gigabytes.

    TensorFlow keeps the gradient function of each traced ``tf.custom_gradient`` for ever, with its graph.
    """
    if nextitem is None or nextitem.path == item.path:
        return
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    gc.collect()
    if _give_back is not None:
        _give_back(0)


@pytest.fixture(params=["CPU:0"] + (["GPU:0"] if _GPUS else []))
def device(request):
    """Runs the test with its ops on the CPU and, where there is one, once more on the GPU."""
    with tf.device(f"/{request.param}"):
        yield request.param


@pytest.fixture(scope="session")
def two_devices():
    """Names of two devices for a strategy with two replicas."""
    return ["CPU:0", "CPU:1"]


@pytest.fixture(scope="session")
def two_replicas(two_devices):
    """A MirroredStrategy over two devices.

    Two of them over the same devices number their collective operations alike and fail with a shape mismatch,
    so that one must serve the whole process.
    """
    return tf.distribute.MirroredStrategy(two_devices)


@pytest.fixture(autouse=True)
def _same_start():
    """The same random numbers and precision for every test, in whatever order they run."""
    keras.utils.set_random_seed(20180614)
    yield
    keras.config.set_dtype_policy("float32")
