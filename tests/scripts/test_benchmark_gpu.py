"""The benchmark and the session for a machine with a GPU, as far as a machine without one can run them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks import gpu_cases
from scripts.benchmarks.gpu_timing import Case, Report, measure, prepared

SESSION = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "gpu_session.sh"


def fails():
    raise RuntimeError("not implemented for 'BFloat16'\nand more")


def time_of(call):
    return float(call())


def measured(makers, rounds=3):
    cases = [Case("copy", lambda: 2.0, 200.0), *prepared(makers)]
    measure(cases, time_of, lambda call: 2 * time_of(call), rounds)
    return cases


def test_what_fails_is_a_row_beside_the_others(tmp_path, capsys):
    good = [Case("ours", lambda: 1.0, 50.0, "theirs"), Case("theirs", lambda: 2.0, 50.0), Case("bad", fails)]
    report = Report(str(tmp_path / "figures.json"), {"card": "a card"})
    report.add(measured([("good", lambda: good), ("never made", fails)]))
    content = json.loads((tmp_path / "figures.json").read_text())
    rows = {row["name"]: row for row in content["rows"]}
    assert content["card"] == "a card"
    assert (
        rows["bad"]["error"] == rows["never made"]["error"] == "RuntimeError: not implemented for 'BFloat16'"
    )
    assert rows["ours"]["milliseconds"] == [1.0] * 3
    assert rows["ours"]["alone"] == [2.0] * 3
    assert (rows["ours"]["of_peer"], rows["ours"]["share_of_bandwidth"]) == (0.5, 0.5)
    assert report.failed
    printed = capsys.readouterr().out
    assert "| ours | 1.000 | 1.000 to 1.000 | 2.000 | 50% | 0.50 (reached 0.7) |" in printed
    assert "| bad | failed: RuntimeError" in printed


def test_the_file_is_there_after_each_group(tmp_path):
    report = Report(str(tmp_path / "figures.json"), {})
    for count in (2, 3):
        report.add(measured([("one", lambda: [Case("one", lambda: 1.0)])])[: count - 1])
        assert len(json.loads((tmp_path / "figures.json").read_text())["rows"]) == count * (count - 1) // 2
    assert not report.failed


def test_a_peer_that_failed_gives_no_ratio():
    cases = measured([("ours", lambda: [Case("ours", lambda: 1.0, 0.0, "theirs")]), ("theirs", fails)])
    report = Report("", {})
    report.add(cases)
    assert report.failed


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ([0, 0, 8, 8], 3 * 3),  # from -0.5 to 1.5: rows 0, 1 and 2
        ([80, 40, 100, 48], 4 * 7),  # 9.5 to 11.5 and 19.5 to 24.5
        ([-200, -200, -100, -100], 0),
    ],
)
def test_cells_that_a_box_reads(box, cells):
    boxes = np.array([box, box], np.float32)
    assert gpu_cases.touched_cells(boxes, np.zeros(2, np.int32)) == cells


def run_session(folder, *steps, cuda_home):
    """With a Python and a sanitizer that write down what they are called with."""
    tool = cuda_home / "bin" / "compute-sanitizer"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\necho "$@"\nenv\n')
    tool.chmod(0o755)
    environment = {**os.environ, "CUDA_HOME": str(cuda_home), "PYTHON": "python3"}
    done = subprocess.run(["bash", SESSION, folder, *steps], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return {step: (folder / f"{step}.log").read_text() for step in steps}


def test_sanitizers_see_each_array_and_all_kernels(tmp_path):
    tools = ("memcheck", "racecheck", "synccheck", "initcheck")
    logs = run_session(tmp_path / "logs", *tools, cuda_home=tmp_path / "cuda")
    for tool, log in logs.items():
        assert f"--tool {tool} --error-exitcode 1" in log
        assert "PYTORCH_NO_CUDA_MEMORY_CACHING=1\n" in log
        assert "CASCADE_TF_UNWRITTEN=1\n" in log
        assert log.splitlines()[0].endswith("-k gpu and not 136 and not 31")
        assert ("--report-api-errors no" in log) is (tool == "memcheck")
