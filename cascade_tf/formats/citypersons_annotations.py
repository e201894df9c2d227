"""CityPersons' annotations as they are distributed: ``anno_train.mat`` and ``anno_val.mat``."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from cascade_tf.coco_format.fields import wrong
from cascade_tf.formats.mat import read_mat, table_of

CLASSES = ("ignore region", "pedestrian", "rider", "sitting person", "other person", "people group")
"""Names of the labels 0 to 5.

Boxes of pedestrians and riders reach from head to feet, as if nothing hid them; those of the others are what
can be seen.
"""

_COLUMNS = (
    "class_label", "x", "y", "width", "height", "instance_id",
    "x_vis", "y_vis", "width_vis", "height_vis",
)  # fmt: skip


class AnnotatedImage(NamedTuple):
    """An image's annotations, n of them.

    Attributes:
        city: its folder in ``leftImg8bit/<split>``.
        name: of its file there.
        labels: [n] int64, positions in ``CLASSES``.
        boxes: [n, 4] float64 (x, y, width, height).
        visible: [n, 4] float64, the same of what can be seen.
    """

    city: str
    name: str
    labels: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray


def read_annotations(path: str | os.PathLike[str]) -> list[AnnotatedImage]:
    """Reads the annotations of a split, the images in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: SciPy, which reads it, is not installed.
        ValueError: it is broken or another .mat file; the message names image, object and column.
    """
    content = read_mat(path)
    cells = next((value for name, value in content.items() if name.startswith("anno_")), None)
    if cells is None:
        raise ValueError(f"{path}: has no variable 'anno_..._aligned', is it CityPersons' annotations?")
    return [_image(cell, f"{path}: image {number}") for number, cell in enumerate(cells.ravel())]


def _image(cell: np.ndarray, where: str) -> AnnotatedImage:
    try:
        record = cell[0, 0]
        city, name = str(record["cityname"][0]), str(record["im_name"][0])
        table = record["bbs"]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: not built as CityPersons' annotations ({error})") from None
    where = f"{where} ({name})"
    rows = table_of(table, _COLUMNS, where)
    for row in np.flatnonzero(~np.isin(rows[:, 0], range(len(CLASSES)))):
        complaint = wrong(_COLUMNS[0], rows[row, 0].item(), f"a whole number from 0 to {len(CLASSES) - 1}")
        raise ValueError(f"{where}, object {row}: {complaint}")
    return AnnotatedImage(city, name, rows[:, 0].astype(np.int64), rows[:, 1:5], rows[:, 6:10])
