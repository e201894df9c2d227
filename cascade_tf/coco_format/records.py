"""Records as labelling tools write them, read where they have one meaning; what was changed is counted.

Numbers come as text, whole numbers as fractions, flags as null or true, polygons flat or as lists of pairs. A
value with two meanings, or none, stays as it is: whoever takes the record complains of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from cascade_tf.coco_format.numbers import as_flag, as_integer, as_number, is_finite_number
from cascade_tf.coco_format.outlines import outline_area, outline_box, read_outline

MAX_AREA_OF_BOX = 1.5
"""An area above so many times its box, a pixel added to each side, is not the object's; COCO's reach 1.0."""

# What was found: one, several, and what became of them.
_SENTENCES = {
    "box": ("box", "boxes", "had numbers as text; read as numbers"),
    "no box": ("object", "objects", "had no box; taken from the outline"),
    "id": ("record", "records", "had ids as text or fractions such as 1.0; read as whole numbers"),
    "size": ("image", "images", "had sizes as text or fractions such as 96.0; read as whole numbers"),
    "flag": ("object", "objects", "had iscrowd as null, true, false or text; read as 0 or 1"),
    "outline": ("outline", "outlines", "had flat or paired coordinates or numbers as text; read as polygons"),
    "part": ("outline", "outlines", "had a broken polygon beside usable ones; read without it"),
    "picture": ("image", "images", "had no width and height; read from the pictures"),
    "area": ("object", "objects", "had no area, or not its own; taken from the mask or the box"),
}


class Noted(Counter[str]):
    """Counts what was read in another form than COCO's."""

    def lines(self) -> tuple[str, ...]:
        """One line for each form, such as ``37 boxes had numbers as text; read as numbers``."""
        return tuple(
            f"{self[kind]} {one if self[kind] == 1 else several} {sentence}"
            for kind, (one, several, sentence) in _SENTENCES.items()
            if self[kind]
        )


def read_image(record: dict[str, Any], noted: Noted) -> dict[str, Any]:
    """Returns an image's record with whole numbers where they can be told; itself if nothing changes."""
    ids, sizes = _whole(record, ("id",)), _whole(record, ("width", "height"))
    noted["id"] += bool(ids)
    noted["size"] += bool(sizes)
    return {**record, **ids, **sizes} if ids or sizes else record


def read_category(record: dict[str, Any], noted: Noted) -> dict[str, Any]:
    """Returns a category's record likewise."""
    ids = _whole(record, ("id",))
    noted["id"] += bool(ids)
    return {**record, **ids} if ids else record


def read_annotation(record: dict[str, Any], noted: Noted, *, outline: bool = True) -> dict[str, Any]:
    """Returns an annotation's record with numbers where they can be told; itself if nothing changes.

    Args:
        record: of an object.
        noted: counts what was changed.
        outline: look at the segmentation too; without it that is only done where there is no box.
    """
    changes: dict[str, Any] = {**_whole(record, ("id", "image_id", "category_id"))}
    noted["id"] += bool(changes.keys() - {"id"})
    if type(record.get("iscrowd", 0)) is not int:
        flag = as_flag(record["iscrowd"])
        # Of fractions nothing is said: 1.0 is 1 in every language.
        noted["flag"] += flag is not None and not isinstance(record["iscrowd"], float)
        changes |= {} if flag is None else {"iscrowd": flag}
    segmentation = record.get("segmentation")
    if outline or _has_no_box(record):
        read = read_outline(segmentation)
        noted["outline"] += read.reshaped
        noted["part"] += read.parts_left
        changes |= {} if read.segmentation is segmentation else {"segmentation": read.segmentation}
        segmentation = read.segmentation
    box = outline_box(segmentation) if _has_no_box(record) else _box_of_text(record["bbox"])
    if box is not None:
        noted["no box" if _has_no_box(record) else "box"] += 1
        changes["bbox"] = box
    if isinstance(record.get("area"), str) and as_number(record["area"]) is not None:
        changes["area"] = as_number(record["area"])
    return {**record, **changes} if changes else record


def has_own_area(record: Mapping[str, Any]) -> bool:
    """Whether the ``area`` of an annotation may be that of its object.

    Some tools write none, 0, or the area of the whole image, and the protocol sorts objects into small,
    medium and large by it. A crowd's is not compared.
    """
    area: Any = record.get("area")
    box = record.get("bbox")
    if not is_finite_number(area):
        return False
    if box is None or record.get("iscrowd"):
        return True
    width, height = float(box[2]), float(box[3])
    if width <= 0 or height <= 0:
        return True
    return bool(0 < area <= MAX_AREA_OF_BOX * (width + 1) * (height + 1))


def measure_area(record: Mapping[str, Any], size: tuple[int, int] | None) -> float:
    """Returns the area of an object: of its mask, or of its box where no mask can be drawn.

    Args:
        record: its annotation.
        size: (height, width) of the image, where it is known.
    """
    area = outline_area(record.get("segmentation"), size)
    box = record.get("bbox")
    return area if area > 0 or box is None else float(box[2]) * float(box[3])


def _has_no_box(record: Mapping[str, Any]) -> bool:
    box = record.get("bbox")
    return box is None or (isinstance(box, list) and not box)


def _box_of_text(box: Any) -> list | None:
    """The numbers of a box that holds some of them as text; None where it does not, or they are none."""
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not any(isinstance(side, str) for side in box):
        return None
    numbers = [as_number(side) for side in box]
    return None if None in numbers else numbers


def _whole(record: dict[str, Any], keys: tuple[str, ...]) -> dict[str, int]:
    """The values that stand for whole numbers but are none yet."""
    changes = {}
    for key in keys:
        value = record.get(key)
        if value is not None and not isinstance(value, Integral):
            number = as_integer(value)
            if number is not None:
                changes[key] = number
    return changes
