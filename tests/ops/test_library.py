"""Building, finding and doing without the shared library."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from cascade_tf.ops import build, library

ROOT = Path(__file__).parents[2]
POOL = """
import numpy as np, tensorflow as tf
from cascade_tf.ops import library, roi_align, batched_nms, batched_soft_nms
from cascade_tf.ops import grid_roi_align, ps_roi_pool, roi_pool
from cascade_tf.ops.draw_masks import Outlines, draw_masks
from cascade_tf.ops.resize_and_pad import resize_and_pad
"""
CALL = """
for _ in range(2):
    pooled = roi_align([np.ones((1, 8, 8, 2), np.float32)], np.float32([[[0, 0, 16, 16]]]), strides=[4],
                       output_size=2, implementation={implementation!r})
    assert np.allclose(pooled, 1)
    kept = batched_nms(np.float32([[[[0, 0, 4, 4]]]]), np.float32([[[1]]]), iou_threshold=.5,
                       score_threshold=0., max_outputs=1, implementation={implementation!r})
    assert kept.count.numpy() == [1]
"""
# The package's own library is hidden, as if it had been installed without TensorFlow or a compiler. This goes
# before the import, which opens what there is.
HIDE = """
import pathlib
is_file = pathlib.Path.is_file
pathlib.Path.is_file = lambda path: path.parent.name != "ops" and is_file(path)
"""


def run_python(program, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd="/", capture_output=True, text=True, timeout=600
    )


def without_compiler(tmp_path):
    return {"PATH": "", "CXX": "", "XDG_CACHE_HOME": str(tmp_path)}


@pytest.fixture
def tensorflow_info():
    return build.TensorFlowInfo(
        tf.__version__, tuple(tf.sysconfig.get_compile_flags()), tuple(tf.sysconfig.get_link_flags())
    )


@pytest.mark.slow
def test_first_use_compiles_into_the_cache_once(tmp_path):
    program = HIDE + POOL + CALL.format(implementation="custom")
    child = run_python(program, XDG_CACHE_HOME=str(tmp_path))
    assert child.returncode == 0, child.stderr
    files = [path.name for path in (tmp_path / "cascade_tf").iterdir()]
    assert files == [build.library_name(tf.__version__, build.source_folder())]
    # The second process finds the file and needs no compiler.
    child = run_python(program, **without_compiler(tmp_path))
    assert child.returncode == 0, child.stderr


def test_without_a_compiler_auto_runs_the_twin_and_says_so_once(tmp_path):
    child = run_python(HIDE + POOL + CALL.format(implementation="auto"), **without_compiler(tmp_path))
    assert child.returncode == 0, child.stderr
    assert child.stderr.count("Using the TensorFlow implementation of the ops") == 1
    assert "no C++ compiler found" in child.stderr


def test_without_a_compiler_custom_is_a_clear_error(tmp_path):
    child = run_python(HIDE + POOL + CALL.format(implementation="custom"), **without_compiler(tmp_path))
    assert child.returncode != 0
    last_line = child.stderr.strip().splitlines()[-1]
    assert f"LibraryError: no C++ ops for TensorFlow {tf.__version__}: no C++ compiler found" in last_line
    assert "implementation='tensorflow'" in last_line


def test_the_twin_never_opens_the_library(tmp_path):
    program = POOL + "library.load = None\n" + CALL.format(implementation="tensorflow")
    child = run_python(program, **without_compiler(tmp_path))
    assert child.returncode == 0, child.stderr


def test_a_foreign_file_under_the_librarys_name_is_a_clear_error(tmp_path):
    folder = tmp_path / "cascade_tf"
    folder.mkdir()
    name = build.library_name(tf.__version__, build.source_folder())
    (folder / name).write_bytes(b"not a library")
    child = run_python(HIDE + POOL + CALL.format(implementation="custom"), XDG_CACHE_HOME=str(tmp_path))
    assert "LibraryError" in child.stderr
    assert "does not open in TensorFlow" in child.stderr
    assert "delete the file to rebuild it" in child.stderr
    child = run_python(HIDE + POOL + CALL.format(implementation="auto"), XDG_CACHE_HOME=str(tmp_path))
    assert child.returncode == 0, child.stderr


SAVE = """
import tensorflow as tf
from cascade_tf.ops import roi_align
module = tf.Module()
pool = lambda maps, boxes: roi_align([maps], boxes, strides=[4], output_size=2, implementation="custom")
module.pool = tf.function(pool, [tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([None, None, 4])])
tf.saved_model.save(module, {folder!r})
"""
LOAD = """
import tensorflow as tf
module = tf.saved_model.load({folder!r})
print(module.pool(tf.ones([1, 8, 8, 2]), tf.constant([[[0., 0, 16, 16]]])).numpy().sum())
"""
# One of each way in, with whatever they import.
PARTS = [
    "cascade_tf.boxes",
    "cascade_tf.layers",
    "cascade_tf.losses",
    "cascade_tf.structures, cascade_tf.models",
]


@pytest.fixture(scope="module")
def saved_custom_op(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("saved") / "model")
    child = run_python(SAVE.format(folder=folder))
    assert child.returncode == 0, child.stderr
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_importing_a_part_loads_graphs_with_custom_ops(part, saved_custom_op):
    child = run_python(f"import {part}" + LOAD.format(folder=saved_custom_op))
    assert child.stdout.strip() == "8.0", child.stderr


def test_importing_the_root_alone_does_not(saved_custom_op):
    child = run_python("import cascade_tf" + LOAD.format(folder=saved_custom_op))
    assert "Op type not registered 'CascadeTf>RoiAlign'" in child.stderr


def test_importing_the_package_compiles_nothing(tmp_path):
    child = run_python(
        HIDE + "import cascade_tf.layers; print(cascade_tf.ops.library._load.cache_info().currsize)",
        XDG_CACHE_HOME=str(tmp_path),
    )
    assert child.stdout.strip() == "0", child.stderr
    assert not list(tmp_path.iterdir())


def test_library_opens_once():
    assert library.load() is library.load()
    assert library.custom_ops("tensorflow") is None


def test_auto_prefers_the_twin_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert library.custom_ops("auto") is None
    assert library.custom_ops("custom") is not None


def test_unknown_implementation():
    with pytest.raises(ValueError, match=r"implementation must be one of .* got 'fast'"):
        library.custom_ops("fast")


def test_name_tells_version_processor_and_sources(tmp_path):
    source = tmp_path / "op.cc"
    source.write_text("int a;")
    first = build.library_name("2.21.0", tmp_path)
    assert "tf2.21.0" in first
    assert os.uname().machine in first
    assert build.library_name("2.20.0", tmp_path) != first
    source.write_text("int b;")
    assert build.library_name("2.21.0", tmp_path) != first


def test_compiler_errors_are_shown_and_leave_nothing(tmp_path, tensorflow_info):
    sources, output = tmp_path / "sources", tmp_path / "output"
    sources.mkdir()
    (sources / "op.cc").write_text("this is no C++;")
    with pytest.raises(build.BuildError, match=r"op\.cc:1"):
        build.compile_library(sources, output, tensorflow_info)
    assert not list(output.iterdir())


def test_missing_sources_and_unwritable_folder(tmp_path, tensorflow_info):
    with pytest.raises(build.BuildError, match="no C\\+\\+ sources"):
        build.compile_library(tmp_path, tmp_path, tensorflow_info)
    (tmp_path / "op.cc").write_text("int a;")
    (tmp_path / "file").write_text("")
    with pytest.raises(build.BuildError, match="cannot write the compiled ops"):
        build.compile_library(tmp_path, tmp_path / "file", tensorflow_info)


def test_probe_finds_this_environments_tensorflow(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    info = build.probe_tensorflow()
    assert info is not None
    assert info.version == tf.__version__
    assert any("include" in flag for flag in info.compile_flags)
    assert any("tensorflow_framework" in flag for flag in info.link_flags)


# Arguments: threads, file of the results.
SAVE_RESULTS = """
import sys
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
on_one_map = lambda x, rois, stride, **settings: grid_roi_align([x], rois, strides=[stride], **settings)
maps = [tf.constant(rng.standard_normal((2, 16 // s, 24 // s, 70)), tf.float32) for s in (1, 2)]
corner = rng.uniform(0, 60, (2, 200, 2))
boxes = tf.constant(np.concatenate([corner, corner + rng.uniform(1, 60, (2, 200, 2))], -1), tf.float32)
results = []
for dtype in (tf.float32, tf.bfloat16):
    low = [tf.cast(feature, dtype) for feature in maps]
    with tf.GradientTape() as tape:
        tape.watch(low)
        pooled = roi_align(low, boxes, strides=(4, 8), output_size=3, sampling_ratio=0,
                           implementation="custom")
    results += [tf.cast(x, tf.float32) for x in (pooled, *tape.gradient(pooled, low, pooled))]
    for pool in (roi_pool, ps_roi_pool, on_one_map):
        with tf.GradientTape() as tape:
            tape.watch(low[0])
            pooled = pool(low[0], boxes, stride=4, output_size=(2, 5), implementation="custom")
        results += [tf.cast(x, tf.float32) for x in (pooled, tape.gradient(pooled, low[0], pooled))]
scores = tf.constant(rng.uniform(size=(2, 200, 4)), tf.float32)
for suppress in (batched_nms, lambda *args, **kw: batched_soft_nms(*args, method="gaussian", **kw)):
    results += suppress(boxes[:, :, None], scores, iou_threshold=.5, score_threshold=.1, max_outputs=50,
                        implementation="custom")
image = rng.integers(0, 256, (61, 83, 3), dtype=np.uint8)
results.append(resize_and_pad(image, (97, 132), flip=True, multiple=32, implementation="custom"))
triangles = rng.uniform(0, 60, (39, 2))
outlines = Outlines(tf.constant(triangles), tf.fill([13], 3), tf.fill([13], 1), tf.zeros([0], tf.int32),
                    tf.zeros([13], tf.int32))
results += draw_masks(outlines, (61, 83), (97, 132), tf.constant(True), tf.constant([128, 160]))
np.savez(sys.argv[2], *results)
"""


def save_results(file, threads="1", before="", **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    program = before + POOL + SAVE_RESULTS
    subprocess.run([sys.executable, "-c", program, threads, str(file)], env=environment, check=True)
    return file.read_bytes()


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """Results of one thread with the best instructions that the CPU has."""
    return save_results(tmp_path_factory.mktemp("results") / "best.npz")


def test_threads_do_not_change_the_result(best, tmp_path):
    assert save_results(tmp_path / "five.npz", "5") == best


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="one instruction set is compiled")
@pytest.mark.parametrize("attribute", ["", '__attribute__((target("arch=x86-64-v3")))'], ids=["SSE2", "AVX2"])
def test_instruction_sets_do_not_change_the_result(attribute, best, tmp_path, tensorflow_info):
    if attribute and "avx2" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this CPU has no AVX2")
    flags = (*tensorflow_info.compile_flags, f"-DCASCADE_TF_VECTORIZED={attribute}")
    info = dataclasses.replace(tensorflow_info, compile_flags=flags)
    build.compile_library(build.source_folder(), tmp_path / "cascade_tf", info)
    fixed = save_results(tmp_path / "fixed.npz", before=HIDE, XDG_CACHE_HOME=str(tmp_path))
    # Compiled for all.
    assert fixed == best
