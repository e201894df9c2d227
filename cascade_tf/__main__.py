"""``cascade-tf PROGRAM FLAGS`` and ``python -m cascade_tf PROGRAM FLAGS``: the programs of ``scripts/``."""

from __future__ import annotations

import ast
import contextlib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from cascade_tf import __version__
from cascade_tf.files import shared_folder

_HELP = ("help", "--help", "-h", "-help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a program, or lists them, and returns the exit status.

    Args:
        argv: the program's name and its flags; None: the process's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    found = programs()
    if not words or words[0] in _HELP:
        with contextlib.suppress(BrokenPipeError):
            print(_page(found), flush=True)
            return 0
        # Whoever reads the list has seen enough; Python's own end would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if words[0] == "--version":
        print(__version__)
        return 0
    name = words[0].replace("_", "-")
    if name not in found:
        known = ", ".join(found)
        print(f"cascade-tf: error: got the program {words[0]!r}, expected one of {known}", file=sys.stderr)
        return 1
    file = found[name]
    sys.argv = [str(file), *words[1:]]
    sys.path.insert(0, str(file.parent))
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.path.remove(str(file.parent))
    return 0


def programs() -> dict[str, Path]:
    """The programs' files by their commands' names, without those that write this project's documents."""
    files = sorted(shared_folder("scripts").glob("*.py"))
    return {command_of(file.stem): file for file in files if not file.stem.startswith("document_")}


def command_of(program: str) -> str:
    """What ``cascade-tf`` calls a program: ``"prepare-data"`` for ``prepare_data``."""
    return program.removesuffix("_weights").replace("_", "-")


def _page(found: dict[str, Path]) -> str:
    width = max(map(len, found))
    lines = [f"  {name.ljust(width)}  {_first_line(file)}" for name, file in found.items()]
    head = (
        "usage: cascade-tf PROGRAM [flags]\n\nCascade R-CNN: trains, measures, exports and serves detectors."
    )
    return "\n".join([head, "", *lines, "", "cascade-tf PROGRAM --help lists a program's flags."])


def _first_line(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
