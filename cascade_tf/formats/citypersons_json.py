"""CityPersons' annotations as Cityscapes distributes them: a JSON file an image, in folders of cities."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.coco_format.fields import box_in, known_in, record_at
from cascade_tf.files import write_atomically
from cascade_tf.formats.citypersons_annotations import AnnotatedImage

ENDING = "_gtBboxCityPersons.json"
PICTURE_ENDING = "_leftImg8bit.png"

_LABELS = ("ignore", "pedestrian", "rider", "sitting person", "person (other)", "person group")
"""The files' names of the labels 0 to 5; three are others than CityPersons' own."""


def read_image_annotation(path: str | os.PathLike[str]) -> AnnotatedImage:
    """Reads the annotations of an image.

    Args:
        path: ``<city>/<city>_000000_000019_gtBboxCityPersons.json``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken; the message names file, object and field.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file of annotations") from None
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error})") from None
    objects = content.get("objects") if isinstance(content, dict) else None
    if not isinstance(objects, list):
        raise ValueError(f"{path}: expected an object with a list 'objects'")
    rows = [_row(one, f"{path}, object {number}") for number, one in enumerate(objects)]
    table = np.array(rows, np.float64).reshape(-1, 9)
    name = path.name.removesuffix(ENDING) + PICTURE_ENDING
    return AnnotatedImage(path.parent.name, name, table[:, 0].astype(np.int64), table[:, 1:5], table[:, 5:])


def write_image_annotation(
    path: str | os.PathLike[str], image: AnnotatedImage, size: tuple[int, int]
) -> Path:
    """Writes the annotations of an image as `read_image_annotation` reads them, and returns the path.

    Args:
        path: as there.
        image: the annotations; city and name are the path's.
        size: (height, width) of the image, pixels.
    """
    rows = zip(image.labels, image.boxes.tolist(), image.visible.tolist(), strict=True)
    objects = [
        {"instanceId": number, "label": _LABELS[label], "bbox": box, "bboxVis": visible}
        for number, (label, box, visible) in enumerate(rows)
    ]
    content = {"imgHeight": size[0], "imgWidth": size[1], "objects": objects}
    return write_atomically(path, json.dumps(content) + "\n")


def _row(one: Any, where: str) -> list[float]:
    with record_at(where, one):
        label = known_in(one, "label", _LABELS, f"one of {', '.join(_LABELS)}")
        full, visible = (box_in(one, field, signed=True) for field in ("bbox", "bboxVis"))
        return [_LABELS.index(label), *full, *visible]
