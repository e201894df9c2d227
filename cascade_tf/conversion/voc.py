"""PASCAL VOC's layout: ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``.

Boxes count pixels from 1 and include the last ones: the continuous left and upper edges are written one
higher. Edges between pixels are written as they are, with their fraction.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
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
from cascade_tf.files import write_atomically

_MARKS = ("truncated", "difficult", "occluded")


def write_voc(
    folder: Path,
    splits: Mapping[str, CocoDataset],
    images: Mapping[str, Sequence[AnnotatedImage]],
    pictures: str,
    progress: Callable[[int], object],
) -> list[str]:
    """Writes one year of a devkit with a list for each split.

    Args:
        folder: where to, itself the folder of the year.
        splits: by their names.
        images: of each split.
        pictures: as in `place_picture`.
        progress: called with the number of images that were written since its last call.

    Returns:
        A line for each thing that the layout cannot say.

    Raises:
        ValueError: two images of a split are one file.
    """
    require_one_record_each(images)
    names = flat_names({one.path: one.name for name in splits for one in images[name]})
    regions = 0
    for name, dataset in splits.items():
        classes = {category.id: category.name for category in dataset.categories}
        stems = []
        for one in images[name]:
            picture = names[one.path]
            stems.append(os.path.splitext(picture)[0])
            place_picture(one.path, folder / "JPEGImages" / picture, pictures)
            if dataset.labelled:
                text = _annotation(picture, one, classes)
                write_atomically(folder / "Annotations" / f"{stems[-1]}.xml", text)
            regions += sum(map(is_region, one.objects))
            progress(1)
        lines = "".join(f"{stem}\n" for stem in stems)
        write_atomically(folder / "ImageSets" / "Main" / f"{name}.txt", lines)
    line = f"{regions:,} crowds and regions are difficult objects: the layout knows no regions"
    return [*([line] if regions else []), *lost_masks(images)]


def _annotation(picture: str, one: AnnotatedImage, classes: Mapping[int, str]) -> str:
    root = ElementTree.Element("annotation")
    _text(root, "folder", "JPEGImages")
    _text(root, "filename", picture)
    size = ElementTree.SubElement(root, "size")
    for field, value in zip(("width", "height", "depth"), (*one.size, 3), strict=True):
        _text(size, field, value)
    _text(root, "segmented", 0)
    for record in one.objects:
        _object(root, record, one.size, classes)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _object(
    root: ElementTree.Element, record: Mapping[str, Any], size: tuple[int, int], classes: Mapping[int, str]
) -> None:
    element = ElementTree.SubElement(root, "object")
    _text(element, "name", classes[record["category_id"]])
    _text(element, "pose", "Unspecified")
    marks = {**record, "difficult": is_ignored(record)}
    for mark in _MARKS:
        _text(element, mark, int(bool(marks.get(mark, 0))))
    x1, y1, x2, y2 = clipped_corners(record, size)
    box = ElementTree.SubElement(element, "bndbox")
    for side, value in zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True):
        _text(box, side, f"{value:.10g}")


def _text(parent: ElementTree.Element, field: str, value: object) -> None:
    ElementTree.SubElement(parent, field).text = str(value)
