"""Finds the picture that an annotation file names, also where the name comes from another system.

A name is taken as it stands if there is such a file. Otherwise it is cut into parts (backslashes, drives,
addresses, percent signs), and the file below the image folder whose path ends like it is taken, in any case
and any Unicode form of its letters. Nothing outside of the image folder is ever looked at.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_SHOWN_CANDIDATES = 5
# Label Studio puts eight hexadecimal digits before the names of uploaded files.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
_PLAIN = re.compile(r"[^./\\][^/\\]*(?:/[^./\\][^/\\]*)*\Z")
_DRIVE = re.compile(r"^/*[A-Za-z]:")
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


class FoundFile(NamedTuple):
    """What became of a name.

    Attributes:
        path: the file, below the image folder; None: there is none.
        fault: why there is none, as a message goes on after the name's place; empty where there is a file.
        how: in which way the name differs from the file's; empty where it does not.
    """

    path: str | None
    fault: str = ""
    how: str = ""


class ImageFolder:
    """A folder of pictures, listed at the first name that is not there as it stands.

    Args:
        folder: where pictures lie, sub-folders included.
        exact: take no file by likeness.
    """

    def __init__(self, folder: str | os.PathLike[str], *, exact: bool = False) -> None:
        self.folder = Path(folder)
        self._root = str(self.folder)
        self._exact = exact
        self._files: dict[str, list[str]] | None = None

    def find_all(self, names: Sequence[str | None]) -> list[FoundFile]:
        """Finds the files of many names; two different names never get the same file by likeness.

        Args:
            names: None stands for a record without a name, whose result has no path and no fault.
        """
        found = [FoundFile(None) if name is None else self.find(name) for name in names]
        users: dict[str, set[str]] = defaultdict(set)
        for name, file in zip(names, found, strict=True):
            if name is not None and file.path is not None:
                users[file.path].add(name)
        return [
            self._shared(file, users[file.path] - {name})
            if name is not None and file.path is not None and file.how and len(users[file.path]) > 1
            else file
            for name, file in zip(names, found, strict=True)
        ]

    def find(self, name: str) -> FoundFile:
        """Finds the file of one name."""
        if _PLAIN.match(name):  # the most names, without the time that pathlib takes
            path, inside = os.path.join(self._root, name), True
        else:
            path = str(self.folder / name)
            # Without following links: a data set may link to images, but not name files elsewhere.
            inside = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self._root))
        if inside and os.path.isfile(path):
            return FoundFile(path)
        readings = [] if self._exact else _readings(name)
        return self._find_alike(name, readings, inside)

    def _find_alike(
        self, name: str, readings: Sequence[tuple[tuple[str, ...], str]], inside: bool
    ) -> FoundFile:
        for parts, how in readings:
            candidates = _best_ends(parts, self._listing().get(_key(parts[-1]), []))
            if len(candidates) == 1:
                path = os.path.join(self._root, candidates[0])
                return FoundFile(path, how=how or _difference(parts, candidates[0]))
            if candidates:
                return FoundFile(
                    None, f"file_name is {name!r}, which may be {_some(candidates)}; expected one"
                )
        if not inside:
            return FoundFile(None, f"file_name is {name!r}, expected a name inside the image folder")
        return FoundFile(None, f"file_name: no such image file: {self.folder / name}")

    def _shared(self, file: FoundFile, others: set[str]) -> FoundFile:
        path = os.path.relpath(str(file.path), self.folder)
        return FoundFile(
            None, f"file_name: no such image file; {path} has its name and is that of {min(others)!r}"
        )

    def _listing(self) -> dict[str, list[str]]:
        if self._files is None:
            self._files = defaultdict(list)
            for path in _walk(self._root):
                self._files[_key(os.path.basename(path))].append(path)
        return self._files


def telling_line(names: Sequence[str | None], found: Sequence[FoundFile], folder: Path) -> str | None:
    """Says in one line how many names were found by likeness, and how; None: all stand as they are."""
    ways = Counter(file.how for file in found if file.path and file.how)
    if not ways:
        return None
    name, path = next(
        (name, file.path) for name, file in zip(names, found, strict=True) if file.path and file.how
    )
    counts = ", ".join(f"{count} {way}" for way, count in ways.most_common())
    total = sum(file.path is not None for file in found)
    return (
        f"{ways.total()} of {total} pictures were found under another name than file_name: {counts}; "
        f"the first is {name!r}, found as {os.path.relpath(str(path), folder)} in {folder}"
    )


def _readings(name: str) -> list[tuple[tuple[str, ...], str]]:
    """The parts of a path that a name may mean, the likeliest first, each with what was changed."""
    plain = _parts(_without_address(name))
    readings = [(plain, "")]
    decoded = tuple(part for text in plain for part in _parts(unquote(text)))
    if decoded != plain:
        readings.append((decoded, "by percent encoding"))
    for parts, _ in tuple(readings):
        if parts and _UPLOAD_PREFIX.match(parts[-1]):
            short = _UPLOAD_PREFIX.sub("", parts[-1])
            readings.append(((*parts[:-1], short), "without the upload's prefix"))
    return [(parts, how) for parts, how in readings if parts]


def _without_address(name: str) -> str:
    """Takes the path out of an address; Label Studio keeps the path of local files in the query."""
    path, _, query = _ADDRESS.sub("", name).partition("?")
    local = re.search(r"(?:^|&)d=([^&]+)", query)
    return local.group(1) if local else path


def _parts(path: str) -> tuple[str, ...]:
    parts = _DRIVE.sub("", path.replace("\\", "/")).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _key(part: str) -> str:
    return unicodedata.normalize("NFC", part).casefold()


def _best_ends(parts: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """The candidates that share the most parts with a name from its end; of those, the ones in its case."""
    if len(candidates) < 2:
        return list(candidates)
    wanted = [_key(part) for part in reversed(parts)]
    lengths = {}
    for candidate in candidates:
        own = [_key(part) for part in reversed(candidate.split("/"))]
        pairs = zip(wanted, own, strict=False)
        lengths[candidate] = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    best = [candidate for candidate in candidates if lengths[candidate] == max(lengths.values())]
    name = unicodedata.normalize("NFC", parts[-1])
    exact = [c for c in best if unicodedata.normalize("NFC", os.path.basename(c)) == name]
    return sorted(exact or best)


def _difference(parts: Sequence[str], path: str) -> str:
    base, name = os.path.basename(path), parts[-1]
    if base != name:
        same_form = unicodedata.normalize("NFC", base) == unicodedata.normalize("NFC", name)
        return "in another Unicode form" if same_form else "in another case"
    return "with the path written in another way" if "/".join(parts) == path else "by base name"


def _walk(root: str) -> list[str]:
    """All files below a folder as paths from it, ``/`` between their parts; links to folders are followed."""
    found: list[str] = []
    seen = set()
    for folder, inner, files in os.walk(root, followlinks=True):
        identity = os.path.realpath(folder)
        if identity in seen:
            inner.clear()
            continue
        seen.add(identity)
        inner.sort()
        prefix = os.path.relpath(folder, root).replace(os.sep, "/") + "/" if folder != root else ""
        found += [prefix + name for name in files]
    return found


def _some(candidates: Sequence[str]) -> str:
    shown = " or ".join(candidates[:_SHOWN_CANDIDATES])
    return shown + (f" ({len(candidates)} in all)" if len(candidates) > _SHOWN_CANDIDATES else "")
