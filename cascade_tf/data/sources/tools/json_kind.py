"""Whose annotations a JSON file holds."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cascade_tf.coco_format import other_tools
from cascade_tf.coco_format.file import LISTS
from cascade_tf.data.sources.tools.folders import Tree

# Larger files are left to the reader of COCO's, as others of other tools are.
_LARGEST = 64 << 20
_LOOKS_IN_FOLDER = 8
_LOOKS = 24
# What cannot be read is of no known kind, and not of none either.
_BROKEN = "broken"

_KINDS = {
    "via": other_tools.is_via,
    "createml": other_tools.is_create_ml,
    "labelme": other_tools.is_labelme,
    "datumaro": other_tools.is_datumaro,
}


def kind_of_json(file: Path) -> str | None:
    """The layout of a file: "coco", "via", "createml", "labelme" or "datumaro"; None: none of these."""
    kind = _kind_of(file)
    return None if kind == _BROKEN else kind


def broken_in(tree: Tree) -> list[Path]:
    """The JSON files of a folder that cannot be read, so that nobody knows who wrote them; a bounded look."""
    files = [file for place, names in tree.items() for file in _sample(place, names)]
    return [file for file in files[:_LOOKS] if _kind_of(file) == _BROKEN]


def kinds_in(tree: Tree) -> dict[str, list[Path]]:
    """The layouts of the JSON files of a folder, with the files that say so.

    A bounded look: where a tool writes a file for each picture, the first and the last say it for all.
    """
    files = [file for place, names in tree.items() for file in _sample(place, names)]
    kinds: dict[str, list[Path]] = {}
    for file in files[:_LOOKS]:
        kind = kind_of_json(file)
        if kind is not None:
            kinds.setdefault(kind, []).append(file)
    return kinds


def load_json(file: Path) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError("no such file") from None
    except RecursionError:
        raise ValueError("is nested too deeply, expected JSON") from None
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from None


def _sample(place: Path, names: Sequence[str]) -> list[Path]:
    files = [place / name for name in names if name.lower().endswith((".json", ".createml"))]
    half = _LOOKS_IN_FOLDER // 2
    return files if len(files) <= _LOOKS_IN_FOLDER else [*files[:half], *files[-half:]]


def _kind_of(file: Path) -> str | None:
    status = os.stat(file)
    return _kind(str(file), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _kind(file: str, size: int, changed: int) -> str | None:
    if size > _LARGEST:
        return None
    try:
        content = load_json(Path(file))
    except (OSError, ValueError):
        return _BROKEN
    if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in LISTS):
        return "coco"
    return next((kind for kind, matches in _KINDS.items() if matches(content)), None)
