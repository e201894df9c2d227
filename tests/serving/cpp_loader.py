"""TensorFlow's C++ loader, which is the model server's, as a program on the command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf


def compile_loader(folder):
    """The program of serving_cpp/, compiled against the TensorFlow that runs the tests."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: the C++ loader cannot be built")
    program = folder / "run_saved_model"
    tensorflow = Path(tf.sysconfig.get_lib())
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    command = [compiler, "-w", *tf.sysconfig.get_compile_flags()]
    command += [str(Path(__file__).parents[1] / "serving_cpp" / "run_saved_model.cc"), "-o", str(program)]
    command += [f"-L{tensorflow}", "-Wl,--no-as-needed", *libraries, f"-Wl,-rpath,{tensorflow}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def run_cpp(program, *arguments):
    """The outputs by name of a model that ran in the program."""
    result = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True)
    outputs = {}
    for line in result.stdout.splitlines():
        name, shape, *values = line.split()
        outputs[name] = np.array(values, float).reshape([int(side) for side in shape.split("x")])
    return outputs
