"""Where the programs and the package lie: side by side in a clone, or as in wheels one in the other."""

from __future__ import annotations

import re
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
"""The folder of the programs."""
INSTALLED = (SCRIPTS.parent / "__init__.py").is_file()
"""Whether that folder is inside the package."""
ROOT = SCRIPTS.parents[1] if INSTALLED else SCRIPTS.parent
"""Holds ``cascade_tf/``."""
_CALL = re.compile(r"python scripts/(\w+)\.py")


def as_commands(text: str) -> str:
    """The text of a page of help, with the calls of programs as they are made here."""
    if not INSTALLED:
        return text
    from cascade_tf.__main__ import command_of

    return _CALL.sub(lambda call: f"cascade-tf {command_of(call[1])}", text)
