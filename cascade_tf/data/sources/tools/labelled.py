"""What all labelling tools write: pictures with the names and boxes of their objects."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.values import PLACE, is_text
from cascade_tf.data.sources.source import Source, box_of_corners


class LabelledObject(NamedTuple):
    """An object of a picture.

    Attributes:
        name: of its class.
        corners: x1, y1, x2, y2, continuous pixels.
        where: in the picture's place, such as ``"line 3"``.
        segmentation: as COCO has it; None: there is no outline.
        marks: further fields of the annotation, such as ``iscrowd``.
    """

    name: str
    corners: tuple[float, float, float, float]
    where: str
    segmentation: Any = None
    marks: Mapping[str, Any] = {}


class LabelledPicture(NamedTuple):
    """A picture.

    Attributes:
        file_name: below the image folder, or as the tool calls it.
        objects: in the order of the file.
        width: pixels; None: it is not said.
        height: likewise.
    """

    file_name: Any
    objects: Sequence[LabelledObject]
    width: Any = None
    height: Any = None


@dataclass(frozen=True)
class LabelledPictures(Source):
    """One split of what a tool has written.

    A picture with a broken object is broken: without it, the object would be learnt as background.

    Attributes:
        name: of the folder, or of the file.
        what: what is read, as notes call it.
        labelled: see `Source`.
        whole: see `Source`.
    """

    name: str
    what: str
    labelled: bool = True
    whole: bool = False
    exact_names = False

    @abc.abstractmethod
    def records(self) -> Iterator[tuple[str, Any]]:
        """Gives for each picture what messages call its labels, and what holds them.

        Raises:
            FileNotFoundError: there are none.
            ValueError: they cannot be read at all.
        """

    @abc.abstractmethod
    def read(self, record: Any) -> LabelledPicture:
        """Reads the labels of a picture.

        Raises:
            FileNotFoundError: there are none.
            ValueError: they are broken; the message goes on after their place.
        """

    def class_names(self) -> Sequence[str] | None:
        """All classes in their order; None: those of the objects, by the alphabet."""
        return None

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the labels, see `Source.content`. Pictures whose labels are broken are left out."""
        pictures: list[tuple[int, str, LabelledPicture]] = []
        for number, (place, record) in enumerate(self.records(), start=1):
            try:
                pictures.append((number, place, self.read(record)))
            except (FileNotFoundError, ValueError) as error:
                report.broken(f"{place}: {error}", missing_file=isinstance(error, FileNotFoundError))
        names = self.class_names()
        if names is None:
            names = sorted({one.name for _, _, picture in pictures for one in picture.objects})
        if not names:
            report.finish()
            raise ValueError(f"{self.name}: no picture has an object, expected at least one class")
        ids = {name: number for number, name in enumerate(names, start=1)}
        images: list[dict] = []
        annotations: list[dict] = []
        for image_id, place, picture in pictures:
            images.append(
                {
                    "id": image_id,
                    "file_name": picture.file_name,
                    "width": picture.width,
                    "height": picture.height,
                    PLACE: place,
                }
            )
            for one in picture.objects:
                outline = {} if one.segmentation is None else {"segmentation": one.segmentation}
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": ids[one.name],
                        **box_of_corners(one.corners),
                        "iscrowd": 0,
                        **one.marks,
                        **outline,
                        PLACE: f"{place}, {one.where}",
                    }
                )
        categories = [{"id": number, "name": name} for name, number in ids.items()]
        return {"images": images, "annotations": annotations, "categories": categories}

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return Path(self.name)

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return f"reading {self.what}"


def class_name(value: Any, field: str) -> str:
    """Checks the name of a class.

    Raises:
        ValueError: it is no text, or empty.
    """
    if not is_text(value) or not value.strip():
        raise ValueError(f"{field} is {value!r}, expected the name of a class")
    return value.strip()
