"""KITTI's layout: ``training`` with ``image_2`` and ``label_2``, ``testing`` and lists in ``ImageSets``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_tf.conversion.annotated import (
    AnnotatedImage,
    clipped_corners,
    is_ignored,
    is_region,
    lost_masks,
    require_one_record_each,
)
from cascade_tf.conversion.pictures import flat_names, place_picture
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.kitti import CLASSES
from cascade_tf.files import write_atomically

# What is not known of the object in space, as the benchmark writes it.
_SPACE = "-1 -1 -1 -1000 -1000 -1000 -10"
_REGION = "DontCare"
"""Also what an ignored object of another class than the benchmark's is."""


def write_kitti(
    folder: Path,
    splits: Mapping[str, CocoDataset],
    images: Mapping[str, Sequence[AnnotatedImage]],
    pictures: str,
    progress: Callable[[int], object],
) -> list[str]:
    """Writes the frames and labels of all splits, and a list of each.

    Args:
        folder: where to.
        splits: by their names.
        images: of each split.
        pictures: as in `place_picture`.
        progress: called with the number of images that were written since its last call.

    Returns:
        A line for each thing that the layout cannot say.

    Raises:
        ValueError: a class is none of the benchmark's, or two images of a split are one file.
    """
    require_one_record_each(images)
    known = {name.lower(): name for name in CLASSES}
    for dataset in splits.values():
        foreign = [name for name in dataset.class_names if name.lower() not in known]
        if foreign:
            raise ValueError(f"class {foreign[0]!r}: is none of KITTI's, expected {', '.join(CLASSES)}")
    names = flat_names({one.path: one.name for name in splits for one in images[name]})
    for name, dataset in splits.items():
        classes = {one.id: known[one.name.lower()] for one in dataset.categories}
        part = folder / ("training" if dataset.labelled else "testing")
        stems = []
        for one in images[name]:
            picture = names[one.path]
            stems.append(os.path.splitext(picture)[0])
            place_picture(one.path, part / "image_2" / picture, pictures)
            if dataset.labelled:
                lines = dict.fromkeys(_line(record, one.size, classes) for record in one.objects)
                write_atomically(part / "label_2" / f"{stems[-1]}.txt", "".join(lines))
            progress(1)
        if dataset.labelled:
            write_atomically(folder / "ImageSets" / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
    return lost_masks(images)


def _line(record: Mapping[str, Any], size: tuple[int, int], classes: Mapping[int, str]) -> str:
    kind = classes[record["category_id"]]
    if is_ignored(record):
        kind = _REGION if is_region(record) else record.get("type", _REGION)
    truncated, occluded = float(record.get("truncated", 0)), int(record.get("occluded", 0))
    edges = " ".join(f"{edge:.10g}" for edge in clipped_corners(record, size))
    return f"{kind} {truncated:g} {occluded} -10 {edges} {_SPACE}\n"
