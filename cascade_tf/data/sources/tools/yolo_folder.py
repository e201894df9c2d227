"""Where YOLO's pictures and labels lie, and what its classes are called.

A description names them: ``data.yaml`` of Ultralytics and Roboflow, ``obj.data`` of darknet and CVAT. Without
one they are the pictures that labels lie beside or in a folder of their own, and ``classes.txt``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cascade_tf.data.layouts import ALL
from cascade_tf.data.sources.tools.folders import (
    Tree,
    below,
    by_split,
    files_of,
    find_below,
    is_picture,
    list_tree,
    parts_of,
    pictures_of,
    some_files,
)
from cascade_tf.data.sources.tools.plain_yaml import Value, read_fields

_SPLITS = ("train", "val", "test")
_FIELDS = ("path", *_SPLITS, "names", "nc", "kpt_shape")
CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt", "predefined_classes.txt")
"""Files with a class on each line: of labelImg and Label Studio, darknet and CVAT, Roboflow, makesense."""

_LOOKS = 8
# Darknet's paths are seen from where it was started.
_ANYWHERE = "/"


class YoloFolder(NamedTuple):
    """A data set.

    Attributes:
        lists: pictures by splits; "all" is all of them.
        classes: names, by YOLO's numbers.
        described: the file that says so.
        missing: what to say of the splits whose folder or list is not there, as in exports without them.
        with_points: whether labels have key points behind the box, and not an outline.
    """

    lists: Mapping[str, Sequence[Path]]
    classes: tuple[str, ...]
    described: Path
    missing: Mapping[str, str] = {}
    with_points: bool = False


def yolo_files(tree: Tree, root: Path) -> list[Path]:
    """The files that say that a folder is YOLO's: descriptions, else the first labels; else nothing."""
    described = _descriptions(tree)
    if described:
        return described
    for place, names in tree.items():
        labels = label_folder(place, names, tree, root)
        if labels is None:
            continue
        there = set(tree[labels])
        texts = (labels / f"{stem}.txt" for stem in pictures_of(names) if f"{stem}.txt" in there)
        looked = list(islice(texts, _LOOKS))
        found = [text for text in looked if _is_label(text)]
        if not found and looked and not any(os.path.getsize(text) for text in looked):
            # Empty files are anybody's, but for a file with the classes.
            found = _class_files(tree)
        if found:
            return found[:1]
    return []


def read_folder(root: Path) -> YoloFolder:
    """Finds what a data set is made of.

    Raises:
        FileNotFoundError: a file or folder that a description names is not there.
        ValueError: there are several descriptions, or one is broken, or no file names the classes.
    """
    tree = list_tree(root if root.is_dir() else root.parent)
    described = _descriptions(tree) if root.is_dir() else [root]
    root = root if root.is_dir() else root.parent
    if len(described) > 1:
        raise ValueError(
            f"{root}: found {len(described)} descriptions: {some_files(described, root)}; expected one, "
            "which may be given itself in place of the folder"
        )
    if not described:
        return _undescribed(tree, root)
    try:
        read = _of_yaml if described[0].suffix.lower() in (".yaml", ".yml") else _of_darknet
        return read(described[0], tree, root)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{described[0]}: {error}") from None


def label_folder(place: Path, names: Sequence[str], tree: Tree, root: Path) -> Path | None:
    """The folder of the labels of a folder of pictures; None: there is none with a label of any.

    Args:
        place: of the pictures.
        names: of the files there.
        tree: of the data set.
        root: of the data set.
    """
    stems = pictures_of(names).keys()
    if not stems:
        return None
    parts = place.relative_to(root).parts
    twins = [
        root.joinpath(*parts[:level], "labels", *parts[level + 1 :])
        for level in reversed(range(len(parts)))
        if parts[level].lower() in ("images", "imgs", "img", "image")
    ]
    candidates = [
        *twins,
        place,
        place / "labels",
        place.parent / "labels" / place.name,
        place.parent / "labels",
    ]
    known = [folder for folder in candidates if folder in tree]
    with_labels = (
        folder
        for folder in known
        if any(
            name.endswith(".txt") and name[:-4] in stems for name in tree[folder] if name not in CLASS_FILES
        )
    )
    return next(with_labels, next((folder for folder in twins if folder in tree), None))


def _descriptions(tree: Tree) -> list[Path]:
    return [
        path
        for path in (*files_of(tree, ".yaml"), *files_of(tree, ".yml"), *files_of(tree, ".data"))
        if len(path.relative_to(next(iter(tree))).parts) <= 2 and _is_description(path)
    ]


def _is_description(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[: 1 << 16]
        if path.suffix.lower() == ".data":
            return "names" in _darknet_fields(text)
        keys = {line.partition(":")[0].strip() for line in text.splitlines() if line[:1].isalpha()}
    except OSError:
        return False
    return "names" in keys and bool(keys & {"train", "val", "nc", "path"})


def _is_label(path: Path) -> bool:
    """Whether a file's first line is a class and shares; an empty file may be anybody's."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        words = stream.readline(4096).split()
    return len(words) >= 5 and words[0].isdigit() and all(_is_number(word) for word in words[1:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _of_yaml(file: Path, tree: Tree, root: Path) -> YoloFolder:
    fields = read_fields(file.read_text(encoding="utf-8", errors="replace"), _FIELDS)
    classes = _names_of(fields.get("names"))
    count = fields.get("nc")
    if count is not None and count != str(len(classes)):
        raise ValueError(f"nc is {count!r}, but names has {len(classes)} classes")
    base = fields.get("path")
    lists: dict[str, Sequence[Path]] = {}
    missing: dict[str, str] = {}
    for split in _SPLITS:
        entries = fields.get(split)
        if entries:
            texts = [entries] if isinstance(entries, str) else list(entries)
            try:
                lists[split] = _pictures(texts, base if isinstance(base, str) else "", split, tree, root)
            except FileNotFoundError as error:
                missing[split] = f"{file}: {error}"
    return YoloFolder(_with_all(lists, tree, root), classes, file, missing, "kpt_shape" in fields)


def _names_of(names: Value) -> tuple[str, ...]:
    if isinstance(names, dict):
        numbered = {int(key): name for key, name in names.items() if key.isascii() and key.isdigit()}
        if sorted(numbered) != list(range(len(names))):
            raise ValueError(
                f"names has the keys {', '.join(names)[:80]}, expected 0, 1, 2, ... without gaps"
            )
        names = [numbered[number] for number in range(len(numbered))]
    if not isinstance(names, list) or not names:
        raise ValueError(f"names is {names!r}, expected the names of the classes")
    return _distinct(names)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"names has {twice!r} twice, expected distinct names")
    return tuple(names)


def _darknet_fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _of_darknet(file: Path, tree: Tree, root: Path) -> YoloFolder:
    fields = _darknet_fields(file.read_text(encoding="utf-8", errors="replace"))
    names = find_below(root, fields["names"])
    if names is None or not names.is_file():
        raise FileNotFoundError(f"names is {fields['names']!r}, which is not in {root}")
    lists = {
        split: _pictures([fields[field]], _ANYWHERE, field, tree, root)
        for field, split in (("train", "train"), ("valid", "val"), ("test", "test"))
        if fields.get(field) and find_below(root, fields[field]) is not None
    }
    return YoloFolder(_with_all(lists, tree, root), _class_file(names), file)


def _undescribed(tree: Tree, root: Path) -> YoloFolder:
    places = [place for place, names in tree.items() if label_folder(place, names, tree, root)]
    pictures = [place / name for place in places for name in tree[place] if is_picture(name)]
    files = _class_files(tree)
    contents = {_class_file(file) for file in files}
    if len(contents) != 1:
        found = f"found {some_files(files, root)}, which differ" if contents else "no file names the classes"
        raise ValueError(f"{root}: {found}; expected one classes.txt with a name on each line, or data.yaml")
    return YoloFolder(by_split(pictures, root), contents.pop(), files[0])


def _class_files(tree: Tree) -> list[Path]:
    return [place / name for place, names in tree.items() for name in CLASS_FILES if name in names]


def _class_file(file: Path) -> tuple[str, ...]:
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    try:
        return _distinct([line.strip() for line in lines if line.strip()])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _with_all(lists: Mapping[str, Sequence[Path]], tree: Tree, root: Path) -> dict[str, Sequence[Path]]:
    together = list(dict.fromkeys(path for pictures in lists.values() for path in pictures))
    if not together:
        labelled = [place for place, names in tree.items() if label_folder(place, names, tree, root)]
        together = [place / name for place in labelled for name in tree[place] if is_picture(name)]
    return {**lists, ALL: together}


def _pictures(entries: Sequence[str], base: str, field: str, tree: Tree, root: Path) -> list[Path]:
    """The pictures of the folders and lists that a field of a description names."""
    found: list[Path] = []
    for entry in entries:
        # Of a path on another machine the beginning is not here; else all of it is meant.
        is_elsewhere = base == _ANYWHERE or re.match(r"[/\\]|[A-Za-z]:", entry) is not None
        kept = 1 if is_elsewhere else len(parts_of(entry))
        place = find_below(root, entry if is_elsewhere else f"{base}/{entry}", kept=kept)
        if place is None:
            raise FileNotFoundError(f"{field} is {entry!r}, which is no folder and no list in {root}")
        if place.is_dir():
            inner = [folder for folder in tree if folder == place or place in folder.parents]
            found += [folder / name for folder in inner for name in tree[folder] if is_picture(name)]
        elif is_picture(place.name):
            found.append(place)
        else:
            lines = place.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            # A name that is not found stays, to be told with its list.
            found += [
                find_below(root, line.strip()) or root / os.path.basename(line.strip())
                for line in lines
                if line.strip()
            ]
    return list(dict.fromkeys(found))


def shown_description(folder: YoloFolder, root: Path) -> str:
    """What notes call the file that describes a data set."""
    return below(folder.described, root if root.is_dir() else root.parent)
