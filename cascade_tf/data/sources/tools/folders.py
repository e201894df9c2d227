"""What lies in a folder that a labelling tool has written: names alone, nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cascade_tf.data.layouts import ALL, split_of_names
from cascade_tf.data.picture_files import IMAGE_SUFFIXES

Tree = Mapping[Path, Sequence[str]]
"""Folders with the names of their files, both in order."""

_LEVELS = 3
"""So deep do tools put their files below the folder of the data set: ``export/images/train``."""

_SHOWN = 8


def list_tree(root: Path, most: int | None = None) -> Tree:
    """Lists a folder and the folders in it, those aside that are hidden or that archives of macOS bring.

    Args:
        root: the folder.
        most: so many files are enough: no folder is opened after them; None: all are listed.
    """
    tree: dict[Path, list[str]] = {}
    places, count = [root], 0
    for _ in range(_LEVELS + 1):
        inner: list[Path] = []
        for place in places:
            if most is not None and count >= most:
                return tree
            tree[place] = []
            for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    inner.append(Path(entry.path))
                else:
                    tree[place].append(entry.name)
            count += len(tree[place])
        places = inner
    return tree


def files_of(tree: Tree, suffix: str) -> list[Path]:
    """All files whose names end so, in any case."""
    return [place / name for place, names in tree.items() for name in names if name.lower().endswith(suffix)]


def is_picture(name: str) -> bool:
    """Whether a name is that of a picture file."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def pictures_of(names: Iterable[str]) -> dict[str, list[str]]:
    """The pictures of one folder by their names without the suffix."""
    pictures: dict[str, list[str]] = {}
    for name in filter(is_picture, names):
        pictures.setdefault(os.path.splitext(name)[0], []).append(name)
    return pictures


def below(path: Path, root: Path) -> str:
    """A path as it is seen from the folder of the data set, ``/`` between its parts."""
    return os.path.relpath(path, root).replace(os.sep, "/")


def by_split(
    files: Sequence[Path], root: Path, names_of: Callable[[Path], Sequence[str]] = lambda file: ()
) -> dict[str, list[Path]]:
    """Sorts files by the splits that the names of their folders have words for; "all" is all of them.

    Args:
        files: below the root.
        root: the folder of the data set, whose own name says nothing.
        names_of: names of a file that are looked at before those of its folders. The names of pictures say
            nothing of splits.
    """
    lists: dict[str, list[Path]] = {ALL: list(files)}
    splits: dict[tuple[str, ...], str | None] = {}
    for file in files:
        names = (*names_of(file), *reversed(file.relative_to(root).parts[:-1]))
        if names not in splits:
            splits[names] = split_of_names(names)
        split = splits[names]
        if split is not None:
            lists.setdefault(split, []).append(file)
    return lists


def find_below(root: Path, path: str, *, kept: int = 1) -> Path | None:
    """The file or folder of a data set that a path of another machine, or from another folder, means.

    Args:
        root: nothing outside of it is found.
        path: such as ``../train/images`` or ``/content/set/train/images``. The longest end of it that is
            there counts.
        kept: so many of its last parts must be there.
    """
    parts = parts_of(path)
    for start in range(len(parts) - max(kept, 1) + 1):
        candidate = root.joinpath(*parts[start:])
        if candidate.exists():
            return candidate
    return root if not parts and path.strip() else None


def parts_of(path: str) -> list[str]:
    """The names in a path."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def some_files(files: Sequence[Path], root: Path) -> str:
    """Names of the first files, and how many there are if not all are shown."""
    shown = ", ".join(below(file, root) for file in files[:_SHOWN])
    return shown + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
