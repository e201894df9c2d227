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
from cascade_tf.data.sources.tools.pascal_xml import is_cvat_devkit
from cascade_tf.data.sources.tools.recognition import TOOLS, recognise_tool, tools_in
from cascade_tf.data.sources.voc import find_voc, is_voc
from cascade_tf.data.sources.widerface import find_widerface, is_widerface

Find = Callable[..., Source]
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
}
"""Layouts in which data sets are distributed, and those of labelling tools, by their names."""


def find_source(
    dataset_dir: str | os.PathLike[str], split: str, *, layout: str = "auto", splitting: bool = False
) -> Source:
    """Finds a split of a data set.

    Args:
        dataset_dir: the folder of the data set, or one annotation file: in COCO's format, of a tool that
            writes one for many images, or a description of YOLO's.
        split: as in `cascade_tf.data.coco.read_dataset_dir`.
        layout: "coco", one of ``LAYOUTS``, or "auto": COCO's where files bear its names, else the benchmark
            whose folders are there, else the only tool whose files are.
        splitting: whether images without a split, or those to train on where none are to measure on, may be
            split.

    Raises:
        FileNotFoundError: there is no such folder, or no such split in it.
        ValueError: there is no such layout, or as the layout says.
    """
    folder = Path(dataset_dir)
    if layout == "auto":
        layout = _recognise(folder)
    if layout == "coco":
        return find_coco(folder, split, splitting=splitting)
    if layout not in LAYOUTS:
        raise ValueError(f"layout: got {layout!r}, expected auto, coco, {', '.join(LAYOUTS)}")
    if not LAYOUTS[layout].matches(folder):
        raise FileNotFoundError(f"{folder}: no folder in the layout {layout!r}, see docs/own_data.md")
    return LAYOUTS[layout].find(folder, split, splitting=splitting)


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


def _recognise(folder: Path) -> str:
    if not folder.exists() or (folder.is_dir() and has_coco_names(folder)):
        return "coco"
    if is_cvat_devkit(folder):
        return "xml"
    benchmark = next((name for name, layout in _BENCHMARKS.items() if layout.matches(folder)), None)
    return benchmark or recognise_tool(folder) or "coco"
