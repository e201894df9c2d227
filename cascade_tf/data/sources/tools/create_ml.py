"""CreateML's JSON: a list of pictures, boxes by their centres in pixels from the upper left corner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.coco_format.other_tools import CREATE_ML_ANNOTATIONS, CREATE_ML_IMAGE, is_create_ml
from cascade_tf.data.sources.tools.json_file import JsonFile, choose_file
from cascade_tf.data.sources.tools.labelled import LabelledObject, LabelledPicture, class_name
from cascade_tf.data.sources.tools.shapes import list_of, mapping_of, number_of


@dataclass(frozen=True)
class CreateMlFile(JsonFile):
    """A file of CreateML's."""

    sized = False

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        content = self.load()
        if not is_create_ml(content):
            raise ValueError(f"{self.name}: is not CreateML's list of pictures")
        for number, record in enumerate(content):
            yield self.place(number), record

    def read(self, record: Any) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        fields = mapping_of(record, "the picture")
        image, annotations = _field(fields, CREATE_ML_IMAGE), _field(fields, CREATE_ML_ANNOTATIONS)
        objects = list_of(fields.get(annotations), annotations)
        return LabelledPicture(
            fields.get(image),
            [_object(one, f"{annotations}[{number}]") for number, one in enumerate(objects)],
        )


def find_create_ml(root: Path, split: str, *, splitting: bool) -> CreateMlFile:
    """Finds the file of a split, see `choose_file`."""
    file, shown, whole = choose_file(root, "createml", split, splitting=splitting)
    return CreateMlFile(str(file), f"CreateML's {shown}", whole=whole)


def _field(record: dict, names: Sequence[str]) -> str:
    return next((name for name in names if name in record), names[0])


def _object(record: Any, where: str) -> LabelledObject:
    fields = mapping_of(record, where)
    coordinates = mapping_of(fields.get("coordinates"), f"{where}: coordinates")
    x, y, width, height = (
        number_of(coordinates.get(side), f"{where}: coordinates.{side}")
        for side in ("x", "y", "width", "height")
    )
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return LabelledObject(class_name(fields.get("label"), f"{where}: label"), corners, where)
