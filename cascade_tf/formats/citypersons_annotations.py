"""CityPersons' annotations as they are distributed: ``anno_train.mat`` and ``anno_val.mat``."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from cascade_tf.formats.mat import read_mat

CLASSES = ("ignore region", "pedestrian", "rider", "sitting person", "other person", "people group")
"""Names of the labels 0 to 5.

Boxes of pedestrians and riders reach from head to feet, as if nothing hid them; those of the others are what
can be seen.
"""

_COLUMNS = 10


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
        ValueError: it is broken or another .mat file.
    """
    content = read_mat(path)
    cells = next((value for name, value in content.items() if name.startswith("anno_")), None)
    if cells is None:
        raise ValueError(f"{path}: has no variable 'anno_..._aligned', is it CityPersons' annotations?")
    try:
        return [_image(cell[0, 0]) for cell in cells.ravel()]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not built as CityPersons' annotations ({error})") from None


def _image(record: np.void) -> AnnotatedImage:
    # Label, box, number of the person, box of what is visible.
    rows = record["bbs"].astype(np.float64).reshape(-1, _COLUMNS)
    labels = rows[:, 0].astype(np.int64)
    if np.any((labels < 0) | (labels >= len(CLASSES))):
        raise ValueError(f"{record['im_name'][0]}: got the labels {labels}, expected 0 to 5")
    return AnnotatedImage(
        str(record["cityname"][0]), str(record["im_name"][0]), labels, rows[:, 1:5], rows[:, 6:10]
    )
