"""Time and memory of an import at full size, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.weights import synthetic
from tests.weights.torch_writer import write_pickle

# Promised for a ResNet-50.
SECONDS = 15.0
TIMES_ITS_SIZE = 3.0
MEASURE = """
import json, re, sys, time
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.weights.importing import import_checkpoint

def peak():
    # Not ru_maxrss, which a process takes over from the one that started it.
    return 1024 * int(re.search("VmHWM: *\\t* *([0-9]+) kB", open("/proc/self/status").read()).group(1))

# What TensorFlow takes for itself is no part of the import.
small = {"backbone.depth": 14, "backbone.width": 0.125, "neck.channels": 16, "heads.head.units": 16}
cascade_rcnn_fpn(["object"], **small)
before, start = peak(), time.monotonic()
report = import_checkpoint(sys.argv[1]).report
print(json.dumps([time.monotonic() - start, peak() - before, len(report.loaded)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resnet_50(tmp_path):
    shapes = synthetic.detectron2_shapes(synthetic.CASCADE_MASK)
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    path = write_pickle(tmp_path / "model.pkl", {"model": arrays})
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True, timeout=600
    )
    seconds, memory, loaded = json.loads(result.stdout.splitlines()[-1])
    assert loaded == len(arrays)
    assert seconds < SECONDS
    # At least the variables themselves: else nothing was measured.
    assert path.stat().st_size < memory < TIMES_ITS_SIZE * path.stat().st_size
