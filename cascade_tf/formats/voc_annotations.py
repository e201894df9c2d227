"""PASCAL VOC's annotations, one XML file for each image; labelling tools write the same form.

Pixels are numbered from 1 and a box includes its last ones: its left and upper edges lie one lower as
continuous coordinates.
"""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import numpy as np

from cascade_tf.coco_format.fields import A_NUMBER, wrong

FIRST_PIXEL = np.array([1.0, 1.0, 0.0, 0.0])
"""What the corners of a box lie too far from the origin."""


class VocObject(NamedTuple):
    """An object of an annotation.

    Attributes:
        name: of its class.
        box: [4] (x1, y1, x2, y2), continuous pixels.
        difficult: hard to tell, so that nobody has to find it.
        truncated: reaches beyond its box or the image.
        occluded: partly hidden by another.
    """

    name: str
    box: np.ndarray
    difficult: bool
    truncated: bool
    occluded: bool


class VocAnnotation(NamedTuple):
    """What the XML file of an image says.

    Attributes:
        width: of the image, pixels; None: it does not say so.
        height: likewise.
        objects: in the order of the file.
        file_name: of the picture; None: it does not say so.
    """

    width: int | None
    height: int | None
    objects: list[VocObject]
    file_name: str | None = None


def read_annotation(path: str | os.PathLike[str], *, plain_edges: bool = False) -> VocAnnotation:
    """Reads the annotation of one image.

    Args:
        path: of the file.
        plain_edges: take the corners as continuous edges, as labelling tools write them, and not as the
            numbers of pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken; the message names file, object and field.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file, but the image is in the split") from None
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not XML: {error}") from None
    return VocAnnotation(
        _size(root, "width", str(path)),
        _size(root, "height", str(path)),
        [
            _object(element, f"{path}, object {number}", plain_edges)
            for number, element in enumerate(root.iter("object"))
        ],
        (root.findtext("filename") or "").strip() or None,
    )


def _size(root: ElementTree.Element, side: str, where: str) -> int | None:
    if root.find(f"size/{side}") is None:
        return None
    number = _number(root, f"size/{side}", where)
    if number != int(number):
        raise ValueError(f"{where}: {wrong(f'size/{side}', number, 'a whole number')}")
    return int(number)


def _object(element: ElementTree.Element, where: str, plain_edges: bool) -> VocObject:
    corners = [_number(element, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax")]
    marks = [_mark(element, mark, where) for mark in ("difficult", "truncated", "occluded")]
    box = np.array(corners) if plain_edges else np.array(corners) - FIRST_PIXEL
    return VocObject(_text(element, "name", where), box, *marks)


def _mark(element: ElementTree.Element, field: str, where: str) -> bool:
    return element.find(field) is not None and _number(element, field, where) != 0


def _text(element: ElementTree.Element, field: str, where: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise ValueError(f"{where}: {field} is missing")
    return text


def _number(element: ElementTree.Element, field: str, where: str) -> float:
    text = _text(element, field, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {wrong(field, text, A_NUMBER)}")
    return number
