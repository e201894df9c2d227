"""Data sets in TFRecord shards, see `cascade_tf.data.shards.layout`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.files import Choice, ImageFiles
from cascade_tf.data.file_names import FoundFile
from cascade_tf.data.layouts import ALL
from cascade_tf.data.shards.layout import SUMMARY, location_of, read_summary, records_of, splits_in
from cascade_tf.data.shards.storage import storage_path
from cascade_tf.data.sources.source import Source
from cascade_tf.data.splitting import SIDES


@dataclass(frozen=True)
class TfRecordShards(Source):
    """One split in shards. The records are those that were written, pictures are parts of shards.

    Attributes:
        name: of the split's file.
        folder: of the shards, any path that TensorFlow reads.
        split: as in the shards' names.
        whole: see `Source`.
        labelled: see `Source`.
    """

    name: str
    folder: str
    split: str
    whole: bool = False
    labelled: bool = True

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the records of all shards, see `Source.content`."""
        summary = read_summary(self.folder, self.split)
        images: list[Any] = []
        annotations: list[Any] = []
        for records in records_of(self.folder, summary):
            images += records["images"]
            annotations += records["annotations"]
        return {"images": images, "annotations": annotations, "categories": summary.categories}

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return Path(self.folder)

    def find_pictures(self, records: Sequence[Any], folder: Path, only: Choice | None) -> ImageFiles:
        """Gives the pictures' places in the shards, see `Source.find_pictures`."""
        places = [location_of(self.folder, record) for record in records]
        missing = "file_name: no such image file, expected its place in a shard"
        found = [FoundFile(None, missing) if place is None else FoundFile(str(place)) for place in places]
        left_out: set[int] = set()
        if only is not None:
            named = [number for number, place in enumerate(places) if place is not None]
            chosen = only([records[number]["file_name"] for number in named])
            left_out = {number for number, is_read in zip(named, chosen, strict=True) if not is_read}
        return ImageFiles(found, frozenset(left_out), None)

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return None


def is_tfrecord(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds shards."""
    return bool(splits_in(storage_path(folder)))


def find_tfrecord(folder: str | os.PathLike[str], split: str, *, splitting: bool = False) -> TfRecordShards:
    """Finds a split.

    Args:
        folder: of the shards.
        split: its name.
        splitting: whether images without a split, or those to train on where none are to measure on, may be
            split.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = storage_path(folder)
    there = splits_in(path)
    whole = splitting and split in SIDES and not set(SIDES) <= set(there)
    if whole:
        split = next((name for name in (SIDES[0], ALL) if name in there), split)
    if split not in there:
        raise FileNotFoundError(
            f"{path}: no {split}{SUMMARY}, expected one of {', '.join(there) or 'a whole data set'}; it is "
            "written when all shards of the split are"
        )
    labelled = read_summary(path, split).labelled
    return TfRecordShards(f"{path}/{split}{SUMMARY}", path, split, whole, labelled)
