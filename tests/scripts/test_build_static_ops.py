"""The ops in a program that loads no library, as a model server rebuilt with them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import roi_align
from tests.serving.cpp_loader import compile_loader, run_cpp
from tests.tiny_detector import noise


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ar") is None, reason="no ar: no library can be made")
def test_a_program_with_the_library_runs_graphs_with_the_ops(call, tmp_path):
    said = call("build_static_ops", "--output", tmp_path)
    assert said.status == 0, said.err
    library = tmp_path / "libcascade_tf_ops.a"
    assert f"The ops for TensorFlow {tf.__version__} lie in {library}." in said.out
    linked = ["-Wl,--whole-archive", str(library), "-Wl,--no-whole-archive"]
    program = compile_loader(tmp_path, libraries=linked)

    boxes = tf.constant([[[4.0, 4, 40, 30], [0, 0, 9, 60]]])

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)], autograph=False)
    def pool(image):
        maps = [tf.cast(image, tf.float32)]
        return roi_align(maps, boxes, strides=[1], output_size=2, implementation="custom")

    module = tf.Module()
    module.pool = pool
    tf.saved_model.save(module, tmp_path / "model", signatures={"serving_default": pool})
    image = noise(48, 64)
    (tmp_path / "pixels").write_bytes(image.tobytes())
    [found] = run_cpp(
        program, tmp_path / "model", "serving_default", "--raw", 48, 64, tmp_path / "pixels"
    ).values()
    np.testing.assert_allclose(found, pool(tf.constant(image[None])), rtol=1e-6)
