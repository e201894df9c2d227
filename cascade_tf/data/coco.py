"""Reader of annotation files in COCO's "instances" format.

Every complaint is one line that names the annotation file, the record and the field. COCO boxes are
``[x, y, width, height]`` in continuous pixels; this is the one file that converts them.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from cascade_tf.data.examples import Category, Example
from cascade_tf.data.segmentation import compact_segmentation

# Narrower boxes are slips of the annotator; their encoded offsets (logarithms of sides) would be huge.
MIN_SIDE = 0.01


@dataclass(frozen=True)
class CocoDataset:
    """A data set in memory: everything but the pixels.

    Attributes:
        categories: sorted by id; class ``i`` in 1..K is ``categories[i - 1]``.
        examples: the images in the file's order, those without objects included.
        dropped: one line for each record that was left out, or whose object is ignored for want of a mask,
            with the reason.
        annotation_file: the file that was read.
        kept: positions of the file's annotations that became objects or crowds.
        ignored: those of them without a usable mask, where masks were asked for: all are crowds.
    """

    categories: tuple[Category, ...]
    examples: tuple[Example, ...]
    dropped: tuple[str, ...]
    annotation_file: str
    kept: tuple[int, ...] = ()
    ignored: frozenset[int] = frozenset()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K names, in the order of the classes 1..K."""
        return tuple(category.name for category in self.categories)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The K ids of the file, in the order of the classes 1..K."""
        return tuple(category.id for category in self.categories)

    def ground_truth(self) -> dict[str, list]:
        """The annotation file's content without the records that were left out, for evaluation.

        Annotations that are ignored for want of a mask are crowds here too, and their box is their mask:
        nobody can say whether a mask that was found there is right.
        """
        content = _load(self.annotation_file)
        records: dict[int, dict] = {}
        for record in content["images"]:
            if isinstance(record, dict) and _is_integer(record.get("id")):
                records.setdefault(record["id"], record)
        return {
            "images": [records[example.image_id] for example in self.examples],
            "annotations": [
                _as_crowd(content["annotations"][position])
                if position in self.ignored
                else content["annotations"][position]
                for position in self.kept
            ],
            "categories": content["categories"],
        }

    def summary(self) -> str:
        """One line for people: how many images, objects, crowds, classes and dropped records."""
        crowds = sum(int(example.crowd.sum()) for example in self.examples)
        objects = sum(len(example.boxes) for example in self.examples) - crowds
        empty = sum(len(example.boxes) == 0 for example in self.examples)
        return (
            f"{len(self.examples)} images ({empty} without objects), {objects} objects and {crowds} crowds "
            f"of {len(self.categories)} classes, {len(self.dropped)} records dropped"
        )


def _as_crowd(record: dict) -> dict:
    x, y, width, height = record["bbox"]
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {**record, "iscrowd": 1, "segmentation": [corners], "area": width * height}


def read_dataset_dir(
    dataset_dir: str | os.PathLike[str], split: str, *, skip_broken: bool = False, segmentations: bool = False
) -> CocoDataset:
    """Reads one split of a folder that holds ``images/`` and ``instances_<split>.json``.

    Args:
        dataset_dir: the folder.
        split: "train" or "val", or any other split whose annotation file exists.
        skip_broken: as in `read_coco`.
        segmentations: as in `read_coco`.

    Raises:
        FileNotFoundError: the folder, its ``images/`` or its annotation file is missing.
        ValueError: as in `read_coco`.
    """
    folder = Path(dataset_dir)
    annotation_file = folder / f"instances_{split}.json"
    if not (folder / "images").is_dir() or not annotation_file.is_file():
        missing = "no such folder"
        if folder.is_dir():
            missing = f"no {annotation_file.name}" if (folder / "images").is_dir() else "no folder images/"
        raise FileNotFoundError(
            f"{folder}: {missing}; expected a data set folder with images/, instances_train.json and "
            "instances_val.json"
        )
    return read_coco(annotation_file, folder / "images", skip_broken=skip_broken, segmentations=segmentations)


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    skip_broken: bool = False,
    segmentations: bool = False,
) -> CocoDataset:
    """Reads an annotation file and checks every record.

    Boxes that are empty or lie outside their image are dropped and reported, whatever ``skip_broken`` says;
    boxes that stick out are clipped. Image files must exist; one is opened only where its size is not given.

    Args:
        annotation_file: a JSON file with ``images``, ``annotations`` and ``categories``.
        image_dir: the folder to which each ``file_name`` is relative.
        skip_broken: leave out broken images and annotations and list them in ``dropped``, instead of stopping
            at the first. A broken file or a broken category always stops.
        segmentations: read the masks too, for a detector that learns them; without it nothing looks at them.
            Each object needs one then, crowds do not. With ``skip_broken`` an object without a usable mask
            becomes a crowd, which is neither learnt nor punished: left out, it would be learnt as background.

    Raises:
        FileNotFoundError: the annotation file, the image folder or an image file does not exist.
        ValueError: a record or the whole file is not as expected; with ``segmentations`` also if objects have
            no masks.
    """
    if not Path(image_dir).is_dir():
        raise FileNotFoundError(f"{image_dir}: no such image folder")
    content = _load(annotation_file)
    report = _Report(annotation_file, skip_broken)
    masks = _Masks(report) if segmentations else None
    categories = _read_categories(content["categories"], str(annotation_file))
    objects, unusable = _read_images(content["images"], Path(image_dir), report)
    classes = {category.id: index for index, category in enumerate(categories, start=1)}
    kept = tuple(
        position
        for position, record in enumerate(content["annotations"])
        if _read_annotation(position, record, classes, objects, unusable, report, masks)
    )
    examples = tuple(image.finish(segmentations) for image in objects.values())
    if not examples:
        raise ValueError(f"{annotation_file}: no usable image, expected at least one in 'images'")
    if masks is not None:
        masks.finish()
    ignored = frozenset() if masks is None else frozenset(masks.ignored)
    return CocoDataset(categories, examples, tuple(report.dropped), str(annotation_file), kept, ignored)


class _Report:
    """Stops at a broken record or, where told so, notes it."""

    def __init__(self, annotation_file: str | os.PathLike[str], skip_broken: bool):
        self.annotation_file = str(annotation_file)
        self.skip_broken = skip_broken
        self.dropped: list[str] = []

    def broken(self, message: str, error: type[Exception] = ValueError) -> None:
        if not self.skip_broken:
            raise error(f"{self.annotation_file}: {message}")
        self.drop(message)

    def drop(self, message: str) -> None:
        self.dropped.append(message)


class _Masks:
    """Checks the masks of annotations; those that are missing are told together at the end."""

    def __init__(self, report: _Report):
        self.ignored: list[int] = []
        self._report = report
        self._missing: list[str] = []
        self._objects = self._found = 0

    def read(self, position: int, record: dict, height: int, width: int) -> Any:
        """Gives an object's mask in compact form; None for a crowd, and for an object that becomes one."""
        where, crowd = _name("annotations", position, record), bool(record.get("iscrowd", 0))
        segmentation, mask = record.get("segmentation"), None
        # Tools that draw boxes alone write nothing, null or an empty list.
        if segmentation not in (None, []):
            mask = self._check(where, segmentation, height, width)
        elif not crowd:
            self._missing.append(where)
        if mask is None:
            self.ignored.append(position)
        if crowd:
            return None
        self._objects += 1
        self._found += mask is not None
        return mask

    def _check(self, where: str, segmentation: Any, height: int, width: int) -> Any:
        try:
            return compact_segmentation(segmentation, (height, width))
        except ValueError as error:
            ending = "; its object is ignored" if self._report.skip_broken else ""
            self._report.broken(f"{where}: segmentation: {error}{ending}")
            return None

    def finish(self) -> None:
        """Complains about the objects without a mask; where none has one, whatever may be skipped."""
        count = f"{len(self._missing)} of {self._objects} objects have no segmentation"
        if self._missing and not (self._report.skip_broken and self._found):
            raise ValueError(
                f"{self._report.annotation_file}: {count}, the first is {self._missing[0]}; expected one for "
                "each object, since masks are to be learnt"
            )
        if self._objects and not self._found:
            dropped = self._report.dropped
            raise ValueError(
                f"{self._report.annotation_file}: no object has a usable segmentation, expected masks to "
                f"learn; {len(dropped)} records were dropped, the first: {dropped[0]}"
            )
        for where in self._missing:
            self._report.drop(f"{where}: has no segmentation; its object is ignored")


class _Objects:
    """An image while its annotations arrive."""

    def __init__(self, image_id: int, path: str, height: int, width: int):
        self.image_id, self.path, self.height, self.width = image_id, path, height, width
        self.boxes: list[np.ndarray] = []
        self.classes: list[int] = []
        self.crowd: list[bool] = []
        self.segmentations: list[Any] = []

    def finish(self, segmentations: bool) -> Example:
        return Example(
            self.image_id,
            self.path,
            self.height,
            self.width,
            np.array(self.boxes, np.float32).reshape(-1, 4),
            np.array(self.classes, np.int32),
            np.array(self.crowd, bool),
            tuple(self.segmentations) if segmentations else (),
        )


def _load(annotation_file: str | os.PathLike[str]) -> dict[str, list]:
    expected = "a COCO annotation file with the lists 'images', 'annotations' and 'categories'"
    try:
        text = Path(annotation_file).read_text(encoding="utf-8")
        content = json.loads(text)
    except FileNotFoundError:
        raise FileNotFoundError(f"{annotation_file}: no such annotation file") from None
    except IsADirectoryError:
        raise ValueError(f"{annotation_file}: is a folder, expected {expected}") from None
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        reason = f"is not JSON ({error})" if Path(annotation_file).stat().st_size else "is empty"
        raise ValueError(f"{annotation_file}: {reason}, expected {expected}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{annotation_file}: holds a {type(content).__name__}, expected {expected}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            got = f"{key!r} is a {type(content[key]).__name__}" if key in content else f"{key!r} is missing"
            raise ValueError(f"{annotation_file}: {got}, expected {expected}")
    return content


def _name(kind: str, index: int, record: Any) -> str:
    """How a message calls a record: by place, since ids may be missing or wrong."""
    known = f" (id {record['id']!r})" if isinstance(record, dict) and "id" in record else ""
    return f"{kind}[{index}]{known}"


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_categories(records: list, annotation_file: str) -> tuple[Category, ...]:
    names: dict[int, str] = {}
    for index, record in enumerate(records):
        where = f"{annotation_file}: {_name('categories', index, record)}"
        if not isinstance(record, dict) or not _is_integer(record.get("id")):
            raise ValueError(f"{where}: is {record!r}, expected an object with an integer 'id' and a 'name'")
        if not isinstance(record.get("name"), str) or not record["name"]:
            raise ValueError(f"{where}: name is {record.get('name')!r}, expected a non-empty string")
        if record["id"] in names:
            raise ValueError(f"{where}: a category before it has the same id, expected distinct ids")
        if record["name"] in names.values():
            raise ValueError(
                f"{where}: a category before it is also named {record['name']!r}, expected distinct names"
            )
        names[record["id"]] = record["name"]
    if not names:
        raise ValueError(f"{annotation_file}: 'categories' is empty, expected at least one category")
    return tuple(Category(category_id, names[category_id]) for category_id in sorted(names))


def _read_images(records: list, image_dir: Path, report: _Report) -> tuple[dict[int, _Objects], set[int]]:
    """Gives the images by id, and the ids of those that were skipped."""
    images: dict[int, _Objects] = {}
    unusable: set[int] = set()
    for index, record in enumerate(records):
        where = _name("images", index, record)
        if not isinstance(record, dict) or not _is_integer(record.get("id")):
            report.broken(f"{where}: is {record!r}, expected an object with an integer 'id'")
        elif record["id"] in images or record["id"] in unusable:
            report.broken(f"{where}: an image before it has the same id, expected distinct ids")
        else:
            image = _read_image_record(where, record, image_dir, report)
            if image is None:
                unusable.add(record["id"])
            else:
                images[image.image_id] = image
    return images, unusable


def _read_image_record(where: str, record: dict, image_dir: Path, report: _Report) -> _Objects | None:
    file_name = record.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        report.broken(f"{where}: file_name is {file_name!r}, expected the name of an image file")
        return None
    path = image_dir / file_name
    # Without following links: a data set may link to images, but not name files elsewhere on the machine.
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(image_dir)):
        report.broken(f"{where}: file_name is {file_name!r}, expected a name inside the image folder")
        return None
    if not path.is_file():
        report.broken(f"{where}: file_name: no such image file: {path}", FileNotFoundError)
        return None
    width, height = record.get("width"), record.get("height")
    if width is None or height is None:
        try:
            with Image.open(path) as opened:
                width, height = opened.size
        except (UnidentifiedImageError, OSError):
            report.broken(f"{where}: gives no width and height, and {path} is not a readable image")
            return None
    for key, value in (("width", width), ("height", height)):
        if not _is_integer(value) or value <= 0:
            report.broken(f"{where}: {key} is {value!r}, expected a positive integer")
            return None
    return _Objects(record["id"], str(path), height, width)


def _read_annotation(
    position: int,
    record: Any,
    classes: dict[int, int],
    images: dict[int, _Objects],
    unusable: set[int],
    report: _Report,
    masks: _Masks | None,
) -> bool:
    """Adds an object to its image; returns whether it did."""
    where = _name("annotations", position, record)
    fault = _annotation_fault(record, classes, images, unusable)
    if fault:
        report.broken(f"{where}: {fault}")
        return False
    if record["image_id"] in unusable:
        return False  # its image is in the report already
    image = images[record["image_id"]]
    x, y, width, height = (float(value) for value in record["bbox"])
    sides = f"of image {image.image_id}: box [x, y, width, height] = {record['bbox']}"
    if width < MIN_SIDE or height < MIN_SIDE:
        report.drop(f"{where} {sides} is empty")
        return False
    x1, x2 = max(x, 0.0), min(x + width, float(image.width))
    y1, y2 = max(y, 0.0), min(y + height, float(image.height))
    if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE:
        report.drop(f"{where} {sides} lies outside the image of {image.width} x {image.height} pixels")
        return False
    image.boxes.append(np.array([x1, y1, x2, y2], np.float32))
    image.classes.append(classes[record["category_id"]])
    crowd, mask = bool(record.get("iscrowd", 0)), None
    if masks is not None:
        mask = masks.read(position, record, image.height, image.width)
        crowd = mask is None
    image.crowd.append(crowd)
    image.segmentations.append(mask)
    return True


def _annotation_fault(
    record: Any, classes: dict[int, int], images: dict[int, _Objects], unusable: set[int]
) -> str | None:
    """Says what is wrong with a record, None where nothing is."""
    if not isinstance(record, dict):
        return f"is {record!r}, expected an object"
    image_id, category_id = record.get("image_id"), record.get("category_id")
    if not _is_integer(image_id) or not (image_id in images or image_id in unusable):
        return f"image_id is {image_id!r}, expected the id of an entry of 'images'"
    if not _is_integer(category_id) or category_id not in classes:
        return (
            f"category_id is {category_id!r}, which no category bears; expected one of {_some(list(classes))}"
        )
    box = record.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite_number(value) for value in box):
        return f"bbox is {box!r}, expected four finite numbers [x, y, width, height]"
    if record.get("iscrowd", 0) not in (0, 1):
        return f"iscrowd is {record['iscrowd']!r}, expected 0 or 1"
    return None


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _some(values: list[int], limit: int = 10) -> str:
    shown = ", ".join(str(value) for value in sorted(values)[:limit])
    return shown + (f", ... ({len(values)} in all)" if len(values) > limit else "")
