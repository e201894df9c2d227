"""The lists of versions, and those of the checksums that are written from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LISTS = sorted(path.stem for path in REQUIREMENTS.glob("*.in"))


def versions(path: Path) -> dict[str, str]:
    """Name to version, of a list and of those that it includes."""
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found |= versions(path.parent / line.split()[1])
        elif match := re.match(r"([\w.-]+)==([^ \\]+)", line):
            found[canonicalize_name(match[1])] = match[2]
    return found


@pytest.mark.parametrize("name", LISTS)
def test_every_version_has_checksums(name):
    pinned = REQUIREMENTS / f"{name}.txt"
    assert versions(pinned) == versions(REQUIREMENTS / f"{name}.in")
    entries = re.split(r"\n(?=\S)", pinned.read_text().strip())
    assert len(entries) == len(versions(pinned))
    for entry in entries:
        assert re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry


def test_nothing_is_installed_without_a_checksum():
    makefile = (REQUIREMENTS.parent / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if " -r " in line]
    assert len(installs) == 3
    assert all("$(PINNED)" in line for line in installs)
