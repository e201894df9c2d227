"""Recognises in which layout a data set lies on a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cascade_tf.data.layouts import ALL, has_coco_names
from cascade_tf.data.sources.citypersons import find_citypersons, is_citypersons
from cascade_tf.data.sources.coco import find_coco
from cascade_tf.data.sources.kitti import find_kitti, is_kitti
from cascade_tf.data.sources.source import Source
from cascade_tf.data.sources.tfrecord import find_tfrecord, is_tfrecord
from cascade_tf.data.sources.tools.pascal_xml import is_cvat_devkit
from cascade_tf.data.sources.tools.recognition import TOOLS, recognise_tool, tools_in
from cascade_tf.data.sources.voc import find_voc, is_voc
from cascade_tf.data.sources.widerface import find_widerface, is_widerface

Find = Callable[..., Source]
_MOST_NEIGHBOURS = 50
_MOST_NAMES = 20_000
SPLITS = ("train", "val", "test", "test-dev")


class Layout(NamedTuple):
    """A layout that is no COCO file.

    Attributes:
        matches: says of a folder whether it is laid out so.
        find: gives a split of such a folder: (folder, split, splitting=...).
    """

    matches: Callable[[Path], bool]
    find: Find


_BENCHMARKS: Mapping[str, Layout] = {
    "voc": Layout(is_voc, find_voc),
    "kitti": Layout(is_kitti, find_kitti),
    "citypersons": Layout(is_citypersons, find_citypersons),
    "widerface": Layout(is_widerface, find_widerface),
}


def _written_by(name: str) -> Callable[[Path], bool]:
    return lambda path: name in tools_in(path)


LAYOUTS: Mapping[str, Layout] = {
    **_BENCHMARKS,
    **{name: Layout(_written_by(name), tool.find) for name, tool in TOOLS.items()},
    "tfrecord": Layout(is_tfrecord, find_tfrecord),
}
"""Layouts in which data sets are distributed, those of labelling tools, and shards, by their names."""


def find_source(
    dataset_dir: str | os.PathLike[str], split: str, *, layout: str = "auto", splitting: bool = False
) -> Source:
    """Finds a split of a data set.

    Args:
        dataset_dir: the folder of the data set, or one annotation file: in COCO's format, of a tool that
            writes one for many images, or a description of YOLO's. A folder of shards may lie anywhere that
            TensorFlow reads.
        split: as in `cascade_tf.data.coco.read_dataset_dir`.
        layout: "coco", one of ``LAYOUTS``, or "auto": COCO's where files bear its names, else the benchmark
            whose folders are there, else the only tool whose files are.
        splitting: whether images without a split, or those to train on where none are to measure on, may be
            split.

    Raises:
        FileNotFoundError: there is no such folder, or no such split in it.
        ValueError: there is no such layout, or as the layout says.
    """
    if layout in ("auto", "tfrecord") and is_tfrecord(dataset_dir):
        return find_tfrecord(dataset_dir, split, splitting=splitting)
    folder = Path(dataset_dir)
    if layout not in ("auto", "coco", *LAYOUTS):
        raise ValueError(f"layout: got {layout!r}, expected auto, coco, {', '.join(LAYOUTS)}")
    known = _recognise(folder) if layout == "auto" else layout
    if known is None:
        try:
            return find_coco(folder, split, splitting=splitting)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}{_elsewhere(folder)}") from None
    if known == "coco":
        return find_coco(folder, split, splitting=splitting)
    if not LAYOUTS[known].matches(folder):
        complaint = f"{folder}: no folder in the layout {known!r}, see docs/own_data.md"
        raise FileNotFoundError(complaint + _elsewhere(folder, known))
    return LAYOUTS[known].find(folder, split, splitting=splitting)


def find_splits(
    dataset_dir: str | os.PathLike[str], *, layout: str = "auto", splitting: bool = False
) -> tuple[str, ...]:
    """Finds the splits that a data set has: of "train", "val", "test" and "test-dev", else "all".

    A split that is another one under a second name is left out.

    Args:
        dataset_dir: as in `find_source`.
        layout: likewise.
        splitting: likewise.

    Raises:
        FileNotFoundError: there is no such folder, or no split in it.
        ValueError: as in `find_source`.
    """
    found: dict[str, Source] = {}
    failed: list[Exception] = []

    def look_for(split: str) -> None:
        try:
            source = find_source(dataset_dir, split, layout=layout, splitting=splitting)
        except (FileNotFoundError, ValueError) as error:
            failed.append(error)
        else:
            # Both sides of images that are to be split come from the same source.
            if source.whole or source not in found.values():
                found[split] = source

    for split in SPLITS:
        look_for(split)
    unclear = next((error for error in failed if isinstance(error, ValueError)), None)
    if unclear or not found.keys() & {"train", "val"}:
        look_for(ALL)
    if ALL not in found and (unclear or not found):
        raise unclear or failed[0]
    return tuple(found)


def _recognise(folder: Path) -> str | None:
    """The layout of a folder or file; None: nothing is known of it."""
    if folder.exists():
        return _by_names(folder) or recognise_tool(folder)
    return None


def _by_names(folder: Path) -> str | None:
    """COCO or a benchmark, by the names of files and folders alone."""
    if folder.is_dir() and has_coco_names(folder):
        return "coco"
    if is_cvat_devkit(folder):
        return "xml"
    return next((name for name, layout in _BENCHMARKS.items() if layout.matches(folder)), None)


def _elsewhere(folder: Path, layout: str | None = None) -> str:
    """Ends a complaint about a folder with those above and in it that would have been understood.

    Args:
        folder: that was given.
        layout: that was expected; None: any.
    """
    above = folder.absolute().parent
    places = [above] if above != above.parent else []
    found = {place: _looks_like(place) for place in (*places, *_folders_in(folder))}
    near = [
        f"{place} looks like {known}"
        for place, known in found.items()
        if known and known == (layout or known)
    ]
    if not near:
        return ""
    return f"; {' and '.join(near)}: expected such a folder (in programs --dataset_dir FOLDER)"


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
    return list(map(Path, found)) if len(found) <= _MOST_NEIGHBOURS else []


def _looks_like(folder: Path) -> str | None:
    """The layout of a folder that nobody has named, at a look that does not take long."""
    try:
        # A folder of so many others is that of many data sets, or of something else.
        if len(os.listdir(folder)) > _MOST_NEIGHBOURS:
            return None
        known = _by_names(folder)
        tools = {known: ()} if known else tools_in(folder, _MOST_NAMES)
    except OSError:  # nobody has asked for it: what may not be read is not looked at
        return None
    return next(iter(tools)) if len(tools) == 1 else None
