"""TensorFlow's C++ loader, which is the model server's, as a program on the command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf


def compile_loader(folder, name="run_saved_model", libraries=()):
    """A program of serving_cpp/ with the TensorFlow that runs the tests, and with further libraries."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: the C++ loader cannot be built")
    program = folder / name
    tensorflow = Path(tf.sysconfig.get_lib())
    libraries = [*libraries, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    command = [compiler, "-w", *tf.sysconfig.get_compile_flags()]
    command += [str(Path(__file__).parents[1] / "serving_cpp" / f"{name}.cc"), "-o", str(program)]
    command += [f"-L{tensorflow}", "-Wl,--no-as-needed", *libraries, f"-Wl,-rpath,{tensorflow}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def run_cpp(program, *arguments):
    """The outputs by name of a model that ran in the program."""
    result = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True)
    return dict(map(_output, result.stdout.splitlines()))


class Answer(NamedTuple):
    """What came back for a request: the code of its status, kilobytes of memory after it, and the outputs."""

    code: str
    kilobytes: int
    message: str
    outputs: dict[str, np.ndarray]


def answer_requests(program, model, requests, threads):
    """Answers of the program answer_requests; each request is a list of files."""
    lines = "".join("\t".join(map(str, files)) + "\n" for files in requests)
    command = [program, str(model), "serving_default", str(threads)]
    result = subprocess.run(command, input=lines, check=True, capture_output=True, text=True)
    answers = []
    for line in result.stdout.splitlines():
        if line.startswith("request "):
            _, code, kilobytes, message = line.split(" ", 3)
            answers.append(Answer(code, int(kilobytes), message, {}))
        else:
            answers[-1].outputs.update([_output(line)])
    return answers


def _output(line):
    name, shape, *values = line.split()
    return name, np.array(values, float).reshape([int(side) for side in shape.split("x")])
