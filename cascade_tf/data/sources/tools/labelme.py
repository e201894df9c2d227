"""labelme's JSON: a file for each picture. Shapes of one label and ``group_id`` are parts of one object."""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.coco_format.fields import shown
from cascade_tf.coco_format.numbers import as_integer
from cascade_tf.coco_format.other_tools import is_labelme
from cascade_tf.coco_format.outlines import is_polygon
from cascade_tf.data.picture_files import PILLOW_ERRORS
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.tools.folders import below, by_split, files_of, list_tree
from cascade_tf.data.sources.tools.json_kind import load_json
from cascade_tf.data.sources.tools.labelled import (
    LabelledObject,
    LabelledPicture,
    LabelledPictures,
    class_name,
)
from cascade_tf.data.sources.tools.shapes import (
    Corners,
    box_around,
    list_of,
    mapping_of,
    points_of,
    polygon_of,
    round_outline,
)

_DRIVE = re.compile("[A-Za-z]:")

# Masks are drawn; pictures have fewer pixels.
_MOST_PIXELS = 1 << 29


@dataclass(frozen=True)
class LabelmeFiles(LabelledPictures):
    """Files of pictures.

    Attributes:
        files: paths below the folder.
    """

    files: tuple[str, ...] = ()

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        yield from zip(self.files, self.files, strict=True)

    def read(self, record: str) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        content = load_json(Path(self.name, record))
        if not is_labelme(content):
            raise ValueError("is not labelme's file of a picture, expected shapes and imagePath")
        size = (content.get("imageHeight"), content.get("imageWidth"))
        parts = [
            _part(one, f"shapes[{n}]", size) for n, one in enumerate(list_of(content["shapes"], "shapes"))
        ]
        return LabelledPicture(self._picture(record, content["imagePath"]), _joined(parts), size[1], size[0])

    def _picture(self, file: str, image_path: Any) -> Any:
        """The picture below the folder: where the file says, as seen from it."""
        if not isinstance(image_path, str) or not image_path:
            raise ValueError(f"imagePath is {shown(image_path)}, expected the name of a picture")
        written = image_path.replace("\\", "/")
        path = os.path.normpath(os.path.join(os.path.dirname(file), written)).replace(os.sep, "/")
        # A path of another machine says nothing but the name.
        is_below = not path.startswith(("/", "../")) and not _DRIVE.match(written)
        return path if is_below else image_path


def find_labelme(root: Path, split: str, *, splitting: bool) -> LabelmeFiles:
    """Finds the files of a split.

    Args:
        root: the folder of the data set.
        split: "train", "val" or "test", for which the name of a folder has a word; "all" is all files.
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: as in `choose_list`.
    """
    files = files_of(list_tree(root), ".json")
    chosen, whole = choose_list(root, split, by_split(files, root), splitting=splitting)
    paths = tuple(below(file, root) for file in chosen)
    return LabelmeFiles(str(root), f"{len(paths)} files of labelme's", whole=whole, files=paths)


@dataclass(frozen=True)
class _Part:
    label: str
    group: Any
    where: str
    corners: Corners
    polygon: list[float] | None = None
    run_lengths: dict | None = None


def _part(record: Any, where: str, size: tuple[Any, Any]) -> _Part:
    fields = mapping_of(record, where)
    label = class_name(fields.get("label"), f"{where}: label")
    group = fields.get("group_id")
    if isinstance(group, (list, dict)):
        raise ValueError(f"{where}: group_id is {shown(group)}, expected a number")
    field, kind = f"{where}: points", fields.get("shape_type") or "polygon"
    if kind == "rectangle":
        return _Part(label, group, where, box_around(points_of(fields.get("points"), field, least=2)))
    if kind == "polygon":
        points = points_of(fields.get("points"), field, least=3)
        return _Part(label, group, where, box_around(points), polygon_of(points))
    if kind == "circle":
        (x, y), edge = points_of(fields.get("points"), field, least=2)[:2]
        radius = math.dist((x, y), edge)
        corners, polygon = round_outline(x, y, radius, radius)
        return _Part(label, group, where, corners, polygon)
    if kind == "mask":
        first = points_of(fields.get("points"), field, least=2)[0]
        run_lengths = _run_lengths(fields.get("mask"), first, size, where)
        x, y, width, height = coco_mask.toBbox(run_lengths).tolist()
        return _Part(label, group, where, (x, y, x + width, y + height), run_lengths=run_lengths)
    raise ValueError(
        f"{where}: shape_type is {shown(kind)}, which has no box; expected rectangle, polygon, circle or mask"
    )


def _run_lengths(mask: Any, first: tuple[float, float], size: tuple[Any, Any], where: str) -> dict:
    """The bitmap of a shape, whose first pixel lies at its first point, in the whole picture."""
    height, width = as_integer(size[0]), as_integer(size[1])
    if height is None or width is None or not 0 < height * width <= _MOST_PIXELS or height < 0:
        raise ValueError(
            f"imageHeight and imageWidth are {shown(size)}, expected the picture's size beside a mask"
        )
    try:
        bitmap = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask, validate=True)))) != 0
    except (binascii.Error, *PILLOW_ERRORS):
        raise ValueError(f"{where}: mask is {shown(mask)}, expected a bitmap in base64") from None
    left, top = int(first[0]), int(first[1])
    if bitmap.ndim != 2 or min(left, top) < 0 or not _fits(bitmap, (top, left), (height, width)):
        raise ValueError(f"{where}: mask has the shape {bitmap.shape}, expected one inside the picture")
    pixels = np.zeros((height, width), np.uint8, order="F")
    pixels[top : top + bitmap.shape[0], left : left + bitmap.shape[1]] = bitmap
    found = coco_mask.encode(pixels)
    return {"size": [height, width], "counts": found["counts"].decode("ascii")}


def _fits(bitmap: np.ndarray, first: tuple[int, int], size: tuple[int, int]) -> bool:
    return all(start + side <= whole for start, side, whole in zip(first, bitmap.shape, size, strict=True))


def _joined(parts: Sequence[_Part]) -> list[LabelledObject]:
    groups: dict[Any, list[_Part]] = {}
    for number, part in enumerate(parts):
        groups.setdefault((part.label, part.group) if part.group is not None else number, []).append(part)
    return [_object(group) for group in groups.values()]


def _object(parts: Sequence[_Part]) -> LabelledObject:
    corners = box_around([point for part in parts for point in (part.corners[:2], part.corners[2:])])
    first = parts[0]
    masks = [part.run_lengths for part in parts if part.run_lengths is not None]
    polygons = [part.polygon for part in parts if part.polygon is not None]
    if masks:
        height, width = masks[0]["size"]
        if not all(map(is_polygon, polygons)):
            raise ValueError(f"{first.where}: its parts have a polygon that cannot be drawn")
        drawn = coco_mask.frPyObjects(polygons, height, width) if polygons else []
        counts = coco_mask.merge([*masks, *drawn])["counts"].decode("ascii")
        segmentation: Any = {"size": [height, width], "counts": counts}
    else:
        segmentation = polygons or None
    return LabelledObject(first.label, corners, first.where, segmentation)
