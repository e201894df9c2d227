"""Recognises how the folder of a data set is laid out, as labelling tools export it.

An annotation file belongs to the split that its name or its folder has a word for (``instances_Train.json``,
``valid/_annotations.coco.json``, ``annotations/instances_val2017.json``); one that has none holds all images.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.other_tools import foreign_folder, foreign_json

ALL = "all"
"""The split that is the whole of a file that holds no split."""

LAYOUTS = (
    "images/ with instances_<split>.json, <split>/_annotations.coco.json (Roboflow), "
    "annotations/instances_<split>.json with images/ or <split>/ (CVAT, COCO), result.json (Label Studio), "
    "annotations.json (labelme), labels.json with data/ (FiftyOne), or one COCO file; "
    "what YOLO, labelImg, VIA, CreateML, labelme or Datumaro write; or PASCAL VOC, KITTI, CityPersons or "
    "WIDER FACE as they are distributed"
)
_WORDS = {"train": {"train", "training"}, "val": {"val", "valid", "validation"}, "test": {"test", "testing"}}
# Names of files without a split, in the order in which they are preferred to other JSON files.
_WHOLE_FILES = (
    *("instances_default", "_annotations.coco", "result", "labels", "annotations", "dataset", "instances"),
    *("coco", "_annotations"),
)
UNLABELLED = "image_info_"
"""What the names of COCO's lists of test images begin with, which have no annotations."""

_OTHER_TASKS = ("captions_", "stuff_", "panoptic_", UNLABELLED, "person_keypoints_")
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels", "json")
_PICTURE_FOLDERS = ("images", "data", "JPEGImages", "imgs", "img", "image")
_SUFFIXES = (".json", ".json.gz")
_SAMPLES = 50
_SHOWN = 8
_LARGEST_PEEK = 64 << 20


class SplitFile(NamedTuple):
    """Where a split is.

    Attributes:
        annotation_file: the file that holds it.
        whole: whether it holds other images too, of which the split is to be chosen.
    """

    annotation_file: Path
    whole: bool


def find_split(dataset_dir: str | os.PathLike[str], split: str, *, splitting: bool = False) -> SplitFile:
    """Finds the annotation file of a split.

    Args:
        dataset_dir: the folder of the data set, or one annotation file.
        split: "train", "val", "test" or another word; "all" is a file that holds no split.
        splitting: whether a file without a split, or one of images to train on where none are to measure on,
            may be split.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: there are several, or the annotations are another tool's.
    """
    folder = Path(dataset_dir)
    if folder.is_file():
        return _of_whole(folder, split, folder, splitting)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected a data set folder: {LAYOUTS}")
    files = _annotation_files(folder)
    found = _of_split(files, split, folder)
    train, val = _of_split(files, "train", folder), _of_split(files, "val", folder)
    if split in ("train", "val") and splitting and train and not val:
        return SplitFile(_only(train, folder, "train"), whole=True)
    if found:
        return SplitFile(_only(found, folder, split), whole=False)
    whole = [file for file in files if _split_of(file, folder) is None]
    if whole and (split == ALL or not (train or val)):
        return _of_whole(_only_whole(whole, folder), split, folder, splitting)
    raise _missing(folder, split, files)


def find_image_dir(annotation_file: str | os.PathLike[str], records: Sequence[Any]) -> Path:
    """Finds the folder of an annotation file's pictures, where the most of some file names exist.

    Args:
        annotation_file: pictures are looked for beside it, and where tools put them from there.
        records: the file's images.
    """
    candidates = list(
        dict.fromkeys(folder for folder in _image_dirs(Path(annotation_file)) if folder.is_dir())
    )
    step = max(1, len(records) // _SAMPLES)
    names = [
        record["file_name"]
        for record in records[::step]
        if isinstance(record, dict) and isinstance(record.get("file_name"), str) and record["file_name"]
    ]
    hits = [sum(os.path.isfile(folder / name) for name in names) for folder in candidates]
    return candidates[hits.index(max(hits))]


def has_coco_names(folder: Path) -> bool:
    """Whether a folder holds annotation files that bear the names of COCO's, or of its exports."""
    return any(
        file.name.startswith(("instances_", UNLABELLED, "_annotations.coco"))
        for file in _annotation_files(folder)
    )


def describe_layout(
    dataset_dir: str | os.PathLike[str], annotation_file: Path, image_dir: Path
) -> str | None:
    """Says in one line what was recognised; None for this project's own layout."""
    root = Path(dataset_dir)
    root = root.parent if root.is_file() else root
    own = annotation_file.parent == root and annotation_file.name.startswith("instances_")
    if own and image_dir == root / "images":
        return None
    tool = next((tool for tool, matches in _TOOLS.items() if matches(annotation_file, image_dir)), "")
    name = _relative(annotation_file, root)
    pictures = _relative(image_dir, root)
    where = "beside it" if image_dir == annotation_file.parent else f"in {pictures}/"
    return f"reading {name} with the pictures {where}{tool}"


_TOOLS = {
    ", as Roboflow exports": lambda file, _: file.name.startswith("_annotations.coco"),
    ", as Label Studio exports": lambda file, _: file.stem == "result",
    ", as FiftyOne exports": lambda file, images: file.stem == "labels" and images.name == "data",
    ", as CVAT exports": lambda file, _: file.stem == "instances_default",
    ", as labelme exports": lambda file, images: (
        images.name == "JPEGImages" or (file.stem == "annotations" and images == file.parent)
    ),
    ", as COCO lies": lambda file, _: re.search(r"20\d\d$", file.stem) is not None,
}


def _annotation_files(folder: Path) -> list[Path]:
    """The JSON files of a folder, of its folders and of the folders of annotations in those."""
    places = [folder, *_folders(folder)]
    places += [
        inner for place in places[1:] for inner in _folders(place) if inner.name in _ANNOTATION_FOLDERS
    ]
    return [
        Path(entry.path)
        for place in places
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name)
        if entry.name.lower().endswith(_SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
    ]


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(e.path) for e in os.scandir(folder) if not e.name.startswith(".") and e.is_dir())


def _stem(file: Path) -> str:
    return re.sub(r"\.json(\.gz)?$", "", file.name, flags=re.IGNORECASE)


def _split_of(file: Path, root: Path) -> str | None:
    return split_of_names((_stem(file), *reversed(file.parent.relative_to(root).parts)))


def split_of_names(names: Iterable[str]) -> str | None:
    """The split that the first of some names that has a word for any has: "train", "val" or "test"."""
    for text in names:
        words = {re.sub(r"\d+$", "", word) for word in re.split(r"[^a-z0-9]+", text.lower())}
        splits = [split for split, names in _WORDS.items() if names & words]
        if splits:
            return splits[0] if len(splits) == 1 else None
    return None


def _of_split(files: Sequence[Path], split: str, root: Path) -> list[Path]:
    own = root / f"instances_{split}.json"
    if own in files:
        return [own]
    # COCO has several lists of test images: test, test-dev and more.
    lists = [file for file in files if re.sub(r"\d+$", "", _stem(file)) == UNLABELLED + split]
    if split in _WORDS:
        found = _without_other_tasks([file for file in files if _split_of(file, root) == split])
        return lists if lists and all(file.name.startswith(UNLABELLED) for file in found) else found
    return lists or [
        file for file in files if split != ALL and split in re.split(r"[^A-Za-z0-9]+", _stem(file))
    ]


def _without_other_tasks(files: Sequence[Path]) -> list[Path]:
    """Leaves out COCO's files for other tasks where there is one for objects."""
    objects = [file for file in files if not file.name.startswith(_OTHER_TASKS)]
    instances = [file for file in objects if file.name.startswith("instances_")]
    return instances or objects or list(files)


def _of_whole(file: Path, split: str, root: Path, splitting: bool) -> SplitFile:
    if split == ALL:
        return SplitFile(file, whole=False)
    if split not in ("train", "val"):
        raise FileNotFoundError(f"{root}: no split {split!r}; {file.name} holds no split, expected {ALL!r}")
    if not splitting:
        load_annotation_file(file)  # another tool's file is refused as such
        raise ValueError(
            f"{file}: holds no split, expected a part to measure on: val_fraction takes one (in programs "
            f"--set data.val_fraction=0.2), the split {ALL!r} is the whole file"
        )
    return SplitFile(file, whole=True)


def _only_whole(files: Sequence[Path], root: Path) -> Path:
    for name in _WHOLE_FILES:
        named = [file for file in files if _stem(file).lower() == name]
        if named:
            return _only(named, root, "all images")
    return _only(_without_other_tasks(files), root, "all images")


def _only(files: Sequence[Path], root: Path, split: str) -> Path:
    if len(files) == 1:
        return files[0]
    _refuse_foreign(files[0])
    names = [_relative(file, root) for file in files[:_SHOWN]]
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    raise ValueError(
        f"{root}: found {len(files)} annotation files for {split}: {', '.join(names)}{more}; expected one, "
        "which may be given itself in place of the folder"
    )


def _missing(folder: Path, split: str, files: Sequence[Path]) -> FileNotFoundError | ValueError:
    if not files:
        what = foreign_folder(folder)
        if what:
            return ValueError(f"{folder}: holds {what}")
    known = [_relative(file, folder) for file in files[:_SHOWN]]
    found = f"; found {', '.join(known)}" if known else ""
    remedy = ""
    if split == "val" and _of_split(files, "train", folder):
        remedy = "; val_fraction takes a part of train (in programs --set data.val_fraction=0.2)"
    return FileNotFoundError(
        f"{folder}: no instances_{split}.json{found}; expected a data set folder: {LAYOUTS}{remedy}"
    )


def _refuse_foreign(file: Path) -> None:
    if file.stat().st_size > _LARGEST_PEEK:
        return
    try:
        what = foreign_json(json.loads(file.read_bytes()))
    except ValueError:
        return
    if what:
        raise ValueError(f"{file}: is {what}")


def _image_dirs(file: Path) -> list[Path]:
    """Folders that may hold the pictures of an annotation file, the likeliest first."""
    parent = file.parent
    base = parent.parent if parent.name.lower() in _ANNOTATION_FOLDERS else parent
    tag = re.sub(r"^(instances|image_info|person_keypoints|annotations)_|_annotations$", "", _stem(file))
    # The images of test-dev are among those of test.
    words = [
        *dict.fromkeys((tag, re.sub(r"-[a-z]+(?=\d*$)", "", tag))),
        *sorted(next((names for names in _WORDS.values() if tag.lower() in names), ())),
    ]
    folders = [base / folder / word for word in words for folder in _PICTURE_FOLDERS]
    folders += [base / folder for folder in _PICTURE_FOLDERS]
    folders += [base / word for word in words]
    # The split's folder may hold annotations alone, and lie beside images/.
    folders += [base.parent / "images" / base.name] if _is_word(base.name) else []
    return [*folders, base]


def _is_word(name: str) -> bool:
    return any(name.lower() in names for names in _WORDS.values())


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")
