"""Programs as a user sees them: their own process, with a terminal and without."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# A line of the log.
OURS = re.compile(r"\d\d:\d\d:\d\d \S")
SOON = 2.0
TRIES = 3  # another process may have the cores

TINY_CONFIG = """
from cascade_tf.experiment.config import Experiment
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.training.settings import TrainConfig

def experiment():
    model = cascade_rcnn_fpn.replace({tiny})
    return Experiment("tiny", model, train=TrainConfig(batch_size=2, steps=2, log_every=1, decay_steps=()))
"""


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments)]


@pytest.fixture
def run(tmp_path):
    """Runs a program with its output in files, and returns its exit status and the two texts."""

    def start(name: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        with out.open("w") as to_out, err.open("w") as to_err:
            done = subprocess.run(
                command(name, *arguments),
                cwd=tmp_path,
                env={**os.environ, **environment},
                stdout=to_out,
                stderr=to_err,
                check=False,
            )
        return done.returncode, out.read_text(), err.read_text()

    return start


@pytest.fixture
def tiny_config(tmp_path) -> Path:
    from tests.scripts.conftest import TINY

    file = tmp_path / "tiny.py"
    file.write_text(TINY_CONFIG.format(tiny=TINY))
    return file


def arguments_of(name: str, workdir: Path, dataset: Path, config: Path) -> list[str]:
    """What lets a program do its whole work on little."""
    return {
        "train": [f"--config={config}", f"--dataset_dir={dataset}", "--workdir=new"],
        "evaluate": [f"--workdir={workdir}"],
        "predict": [f"--workdir={workdir}", "--output=found", str(dataset / "images")],
        "export": [f"--workdir={workdir}"],
        "convert_weights": ["--checkpoint=nothing.pkl", "--output=x.weights.h5"],
        "demo": ["--workdir=demo"],
    }[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status", "phases"),
    [
        (
            "train",
            0,
            ["learning rate 0.0025 = train.learning_rate 0.02 x batch 2 / 16", "training: 2 of 2 steps"],
        ),
        ("evaluate", 0, ["val: 4 images"]),
        ("predict", 0, []),
        ("export", 0, []),
        ("convert_weights", 1, []),
    ],
)
def test_without_a_terminal_each_line_is_our_own(
    run, name, status, phases, workdir, dataset, tiny_config, monkeypatch
):
    """None of TensorFlow's: about CPU features, oneDNN, its log, the end of a data set."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    got, out, err = run(name, *arguments_of(name, workdir, dataset, tiny_config))
    lines = err.splitlines()
    assert got == status, err
    assert lines[0].endswith(" loading TensorFlow ...")
    if status:
        assert lines.pop().startswith(f"{name}.py: error: ")
    assert [line for line in lines if not OURS.match(line)] == []
    for phase in phases:
        assert phase in err
    assert "tensorflow" not in (out + err).replace("loading TensorFlow", "")


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export", "convert_weights", "demo"])
@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
def test_a_sign_of_life_within_two_seconds(
    name, terminal, tmp_path, workdir, drawn, tiny_config, monkeypatch
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    arguments = arguments_of(name, workdir, drawn, tiny_config)
    seconds, text = 60.0, ""
    for _ in range(TRIES):
        if seconds >= SOON:
            seconds, text = first_words(command(name, *arguments), terminal=terminal)
    assert "loading TensorFlow ..." in text
    assert seconds < SOON


def first_words(arguments: list[str], *, terminal: bool) -> tuple[float, str]:
    """Starts a program, and ends it at its first words on the standard error; returns when they came."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    start = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=writer, start_new_session=True)
    try:
        text = ""
        # A bar begins with the return to the start of the line, which may come alone.
        while not text.strip() and select.select([reader], [], [], 20)[0]:
            text += os.read(reader, 1000).decode()
        seconds = time.monotonic() - start
        while "..." not in text and select.select([reader], [], [], 1)[0]:
            text += os.read(reader, 1000).decode()
        return seconds, text
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(reader)
        os.close(writer)


@pytest.mark.slow
def test_on_a_terminal_bars_come_and_go(workdir, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        command("evaluate", f"--workdir={workdir}", "--output=found"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=writer,
    )
    os.close(writer)
    painted = b""
    # The other end of a terminal that is closed is an error on Linux.
    with contextlib.suppress(OSError):
        while piece := os.read(reader, 4096):
            painted += piece
    os.close(reader)
    out, _ = process.communicate()
    shown = [text.strip() for text in painted.decode().split("\r") if text.strip()]
    starts = [
        "loading TensorFlow ...",
        "loading the detector",
        "reading the annotations of val",
        "tracing the network",
    ]
    positions = [next(i for i, text in enumerate(shown) if text.startswith(start)) for start in starts]
    assert positions == sorted(positions)
    assert any(re.match(r"detecting 100 % \|.*\| 4 of 4 images, .*, 0 s left$", text) for text in shown)
    assert "oneDNN" not in painted.decode()
    assert process.returncode == 0
    assert "all classes" in out.decode()


IN_THE_FILTER = """
import os, sys
sys.path.insert(0, {scripts!r})
from program.quiet import filtered
with filtered():
    os.write(2, {written!r})
    {then}
print("after", file=sys.stderr)
"""
NOISE = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795801931.689907   12394 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1795802020.729382   12739 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
W0000 00:00:1795802020.729382   12739 computation_placer.cc:177] computation placer already registered.
E0000 00:00:1795802020.729382   12739 cuda_fft.cc:477] Unable to register cuFFT factory: one is registered
2026-01-02 03:04:05.678901: W tensorflow/core/common_runtime/gpu.cc:1] a warning
"""
ERRORS = b"""\
E0000 00:00:1795802020.729382   12739 cuda_platform.cc:51] failed call to cuInit: no device
2026-01-02 03:04:05.678901: E tensorflow/core/x.cc:1] an error
F0000 00:00:1795802020.729382   12739 cpu_feature_guard.cc:30] The library was compiled to use AVX
ImportError: libsomething.so: cannot open shared object file
"""


class TestFilter:
    def run(self, written: bytes, then: str = "pass") -> tuple[int, bytes]:
        code = IN_THE_FILTER.format(scripts=str(SCRIPTS), written=written, then=then)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        return done.returncode, done.stderr

    def test_errors_stay_and_nothing_else_of_tensorflow(self):
        assert self.run(NOISE + ERRORS) == (0, ERRORS + b"after\n")

    def test_a_crash_is_told(self):
        status, err = self.run(NOISE + ERRORS, then="os.abort()")
        assert (status, err) == (-signal.SIGABRT, ERRORS)

    def test_an_exception_is_told(self):
        status, err = self.run(NOISE, then="raise ImportError('no such library')")
        assert status == 1
        assert err.endswith(b"ImportError: no such library\n")
        assert b"oneDNN" not in err

    def test_a_line_without_an_end_is_kept(self):
        assert self.run(b"Illegal instruction") == (0, b"Illegal instructionafter\n")


IMPORT = """
import sys
sys.path.insert(0, {scripts!r})
import program
from program.log import start_log
from program.quiet import await_tensorflow
start_log()
await_tensorflow()
import importlib.util
assert importlib.util.find_spec("tensorflow") is not None
import tensorflow as tf
print(tf.constant(3).numpy(), tf.__spec__.name, sys.meta_path[0].__class__.__name__)
"""


class TestImport:
    def run(self, level: str | None) -> tuple[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        done = subprocess.run(
            [sys.executable, "-c", IMPORT.format(scripts=str(SCRIPTS))],
            capture_output=True,
            text=True,
            env=environment | ({} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}),
            check=True,
        )
        return done.stdout, done.stderr

    def test_is_quiet_and_leaves_no_trace(self):
        out, err = self.run(None)
        assert out.split()[:2] == ["3", "tensorflow"]
        assert out.split()[2] != "_Finder"
        assert [line.split(" ", 1)[1] for line in err.splitlines()] == ["loading TensorFlow ..."]

    def test_who_wants_all_lines_gets_them(self):
        _, err = self.run("0")
        assert "All log messages before absl::InitializeLog()" in err
        assert "cpu_feature_guard" in err
