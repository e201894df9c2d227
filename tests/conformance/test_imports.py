"""Modules import in one direction, the package root imports nothing heavy, and only programs define flags."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


def test_import_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_package_root_imports_nothing_heavy():
    code = "import sys, cascade_tf; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    assert run(code) == "[]"


def test_metrics_and_pictures_work_without_tensorflow():
    code = (
        "import sys; import cascade_tf.metrics, cascade_tf.visualization, cascade_tf.report;"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_flags_belong_to_programs():
    importers = []
    for path in sorted((ROOT / "cascade_tf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            )
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if {f"{module}.{name}".lstrip(".") for name in names} & {"absl.flags", "absl.app", "argparse"}:
                importers.append(path.name)
    assert importers == []
