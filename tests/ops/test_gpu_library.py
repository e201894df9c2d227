"""The library of kernels for GPUs: it compiles, opens without a GPU, and TensorFlow knows its kernels."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels  # what TensorFlow has kernels for has no public name

from cascade_tf.ops import build, cuda_build, gpu_library, library

needs_nvcc = pytest.mark.skipif(cuda_build.find_nvcc() is None, reason="no nvcc on this machine")
NAME = "_cascade_tf_gpu-tf2.21.0-cuda13.0-x86_64-0123456789ab.so"
ELEMENTS = ["bfloat16", "float16", "float32"]
KERNELS = {
    "RoiAlign": ELEMENTS,
    "RoiAlignGrad": ELEMENTS,
    "RoiPool": ELEMENTS,
    "RoiPoolGrad": ELEMENTS,
    "PsRoiPool": ELEMENTS,
    "PsRoiPoolGrad": ELEMENTS,
    "BatchedNms": [None],
    "BatchedSoftNms": [None],
    "CropMasks": [None],
    "PasteMasks": [None],
}


@pytest.fixture(scope="module")
def builder():
    return cuda_build.CudaBuilder(build, build.source_folder())


@pytest.fixture(scope="module")
def opened(builder):
    """The library for one architecture, kept in the user's cache; names of the ops with kernels for GPUs."""
    info = build.TensorFlowInfo(
        tf.__version__, tuple(tf.sysconfig.get_compile_flags()), tuple(tf.sysconfig.get_link_flags())
    )
    folder = build.cache_folder() / "one_architecture"
    name = builder.library_name(tf.__version__, cuda_build.cuda_version(cuda_build.find_nvcc()))
    if not (folder / name).is_file():
        for old in folder.glob("*.so"):
            old.unlink()
        builder.compile_library(folder, info, architectures=[90])
    library.load()
    tf.load_library(str(folder / name))
    return folder / name


def types_on_gpu(op):
    """The element types that an op has kernels for GPUs for; [None] for a kernel without."""
    found = kernels.get_registered_kernels_for_op(f"CascadeTf>{op}").kernel
    return [
        tf.as_dtype(one.constraint[0].allowed_values.list.type[0]).name if one.constraint else None
        for one in found
        if one.device_type == "GPU"
    ]


@needs_nvcc
@pytest.mark.parametrize("op", KERNELS)
def test_tensorflow_knows_the_kernels(op, opened):
    assert sorted(types_on_gpu(op), key=str) == KERNELS[op]


@needs_nvcc
def test_ops_still_run_on_the_host(opened):
    pooled = library.load().cascade_tf_roi_align(
        features=[tf.ones([1, 8, 8, 2])],
        boxes=[[[0.0, 0.0, 16.0, 16.0]]],
        levels=[[0]],
        map_sizes=tf.zeros([0], tf.int32),
        strides=[4.0],
        output_height=2,
        output_width=2,
        sampling_ratio=2,
        aligned=True,
    )
    assert pooled.numpy().sum() == pytest.approx(8)


@needs_nvcc
@pytest.mark.parametrize("name", ["roi_align/roi_align_grad_gpu", "roi_pool/roi_pool_gpu"])
def test_sums_stay_in_registers_and_leave_in_wide_stores(name, tmp_path):
    """A loop that is not unrolled keeps its array in local memory, and an array is stored one by one."""
    source, assembly = build.source_folder() / f"{name}.cu", tmp_path / "kernels.ptx"
    flags = [*cuda_build.NVCC_FLAGS, "-arch=compute_90", "-ptx"]
    subprocess.run([cuda_build.find_nvcc(), *flags, str(source), "-o", str(assembly)], check=True)
    stores = Counter(re.findall(r"\b(?:ld|st)\.(?:local|global)[.\w]*", assembly.read_text()))
    assert not [store for store in stores if ".local" in store]
    kinds = ("float32", "float16", "bfloat16")
    assert stores["st.global.wb.v4.u32"] >= 4 * len(kinds)  # the four packs of a thread of a gradient


def test_a_driver_of_an_older_generation_is_told_in_one_line():
    message = gpu_library.too_old((12, 9), Path(NAME))
    assert "\n" not in message
    assert "the driver knows CUDA 12.9, they were built with 13.0" in message
    assert gpu_library.too_old((13, 0), Path(NAME)) is None
    assert gpu_library.too_old((14, 1), Path(NAME)) is None


def test_an_old_driver_leaves_the_library_closed(monkeypatch):
    messages = []
    monkeypatch.setattr(gpu_library, "driver_version", lambda: (12, 4))
    monkeypatch.setattr(gpu_library, "find", lambda: Path(NAME))
    monkeypatch.setattr(tf, "load_library", lambda path: pytest.fail("opened"))
    monkeypatch.setattr(gpu_library.logging, "warning", lambda *message: messages.append(message))
    gpu_library.register.__wrapped__()
    assert len(messages) == 1


@pytest.mark.parametrize(("choice", "expected"), [("0", False), ("1", True), ("", False)])
def test_the_environment_decides_what_is_built(monkeypatch, choice, expected):
    monkeypatch.setenv("CASCADE_TF_CUDA", choice)
    assert cuda_build.wanted(tensorflow_has_cuda=False) is expected


def test_without_nvcc_nothing_is_built_unasked(monkeypatch, builder, tmp_path):
    monkeypatch.setattr(cuda_build, "find_nvcc", lambda: None)
    monkeypatch.delenv("CASCADE_TF_CUDA", raising=False)
    assert not cuda_build.wanted(tensorflow_has_cuda=True)
    with pytest.raises(build.BuildError, match="no nvcc found"):
        builder.compile_objects(tmp_path)


def test_nvcc_is_looked_for_in_three_places(monkeypatch, tmp_path):
    for name in ("home", "path"):
        nvcc = tmp_path / name / "bin" / "nvcc"
        nvcc.parent.mkdir(parents=True)
        nvcc.write_text("")
        nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert cuda_build.find_nvcc() == str(tmp_path / "home" / "bin" / "nvcc")
    for home in (str(tmp_path / "without"), ""):
        monkeypatch.setenv("CUDA_HOME", home)
        assert cuda_build.find_nvcc() == str(tmp_path / "path" / "bin" / "nvcc")


@pytest.mark.parametrize(
    ("gpus", "built", "choice", "count"),
    [(["a GPU"], None, "", 1), (["a GPU"], Path(NAME), "", 0), ([], None, "", 0), (["a GPU"], None, "0", 0)],
)
def test_a_gpu_without_kernels_is_said_in_one_line(monkeypatch, gpus, built, choice, count):
    messages = []
    monkeypatch.setenv("CASCADE_TF_CUDA", choice)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(gpu_library, "find", lambda: built)
    monkeypatch.setattr(gpu_library.logging, "warning", lambda text, *values: messages.append(text % values))
    monkeypatch.setattr(gpu_library, "warn_if_missing", gpu_library.warn_if_missing.__wrapped__)
    assert library.custom_ops("custom") is library.load()
    assert library.custom_ops("custom", on_host=True) is library.load()
    assert len(messages) == count
    assert all("TensorFlow 2" in one and "Install" in one and "\n" not in one for one in messages)


@needs_nvcc
def test_one_architecture_of_each_generation(monkeypatch):
    monkeypatch.delenv("CASCADE_TF_CUDA_ARCHITECTURES", raising=False)
    chosen = cuda_build.chosen_architectures(cuda_build.find_nvcc())
    assert {75, 80, 90} <= set(chosen)
    assert len({one // 10 for one in chosen}) == len(chosen)
    monkeypatch.setenv("CASCADE_TF_CUDA_ARCHITECTURES", "80,90")
    assert cuda_build.chosen_architectures(cuda_build.find_nvcc()) == [80, 90]
