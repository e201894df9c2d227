"""Annotation files in COCO's "instances" format, as they are, and COCO's lists of test images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.layouts import UNLABELLED, describe_layout, find_image_dir, find_split
from cascade_tf.data.sources.source import Published, Source

_PUBLISHED = {
    "instances_train2017": 118_287,
    "instances_val2017": 5_000,
    "image_info_test-dev2017": 20_288,
    "image_info_test2017": 40_670,
    "instances_train2014": 82_783,
    "instances_val2014": 40_504,
}
"""Images of COCO's annotation files."""

_CLASSES = 80


@dataclass(frozen=True)
class CocoFile(Source):
    """An annotation file.

    Attributes:
        name: of the file.
        pictures: the image folder; None: it is found, beside the file or where labelling tools put it.
        root: the folder of the data set, if it was found in one.
        whole: see `Source`.
        labelled: see `Source`.
        published: see `Source`.
    """

    name: str
    pictures: Path | None = None
    root: Path | None = None
    whole: bool = False
    labelled: bool = True
    published: Published | None = None
    exact_names = False

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the file, see `Source.content`."""
        return load_annotation_file(self.name, labelled=self.labelled)

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return find_image_dir(self.name, images) if self.pictures is None else self.pictures

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return None if self.root is None else describe_layout(self.root, Path(self.name), image_dir)


def find_coco(dataset_dir: str | os.PathLike[str], split: str, *, splitting: bool) -> CocoFile:
    """Finds the annotation file of a split, see `cascade_tf.data.layouts.find_split`."""
    found = find_split(dataset_dir, split, splitting=splitting)
    return CocoFile(
        str(found.annotation_file),
        root=Path(dataset_dir),
        whole=found.whole,
        labelled=not found.annotation_file.name.startswith(UNLABELLED),
        published=_published(found.annotation_file.name.partition(".")[0]),
    )


def _published(stem: str) -> Published | None:
    if stem not in _PUBLISHED:
        return None
    return Published(f"COCO {stem.rpartition('_')[2]}", _PUBLISHED[stem], _CLASSES)
