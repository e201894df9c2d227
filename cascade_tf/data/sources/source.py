"""What every layout gives: the records of one split in COCO's form, and where the pictures are.

Annotations carry what else a protocol needs under COCO's names or the data set's own: ``ignore``,
``difficult``, ``truncated``, ``occluded``, ``vis_bbox``; images may carry an ``event``.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.files import Choice, ImageFiles, find_image_files


class Published(NamedTuple):
    """What a benchmark has published.

    Attributes:
        part: such as ``"KITTI training"``.
        images: of that part.
        classes: how many it has. Data of one's own may bear its files' names and have others.
    """

    part: str
    images: int
    classes: int


class Source(abc.ABC):
    """One split of a data set on a disk.

    Attributes:
        name: what messages begin with, the annotation file or the folder.
        labelled: whether there are annotations; those of benchmarks' test splits are not published.
        whole: whether it holds all images of the data set, of which a split is to be chosen.
        sized: whether the layout has a place for the sizes of images.
        exact_names: whether a picture has the very name that its image says. A layout of many folders has the
            same names in several of them.
        more_classes: names that objects of the data set have, and that are classes where they are asked for.
    """

    name: str
    labelled: bool = True
    whole: bool = False
    sized: ClassVar[bool] = True
    exact_names: ClassVar[bool] = True
    more_classes: ClassVar[tuple[str, ...]] = ()

    @property
    def published(self) -> Published | None:
        """The part of a benchmark of which it reads images; None: it is no benchmark's."""
        return None

    def classed_by(self, attribute: str) -> Source:
        """Gives the same source with the attribute of objects that names their class.

        Raises:
            ValueError: the layout has one name for each object.
        """
        raise ValueError(
            f"{self.name}: class_attribute is {attribute!r}, but objects have one name alone here"
        )

    def telling_apart(self, names: Sequence[str]) -> Source:
        """Gives the same source with those of `more_classes` as classes that are among the names."""
        return self

    @abc.abstractmethod
    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads ``images``, ``annotations`` and ``categories``, at every call with the same records.

        Args:
            report: takes what is broken and cannot be given as a record.
        """

    @abc.abstractmethod
    def image_dir(self, images: Sequence[Any]) -> Path:
        """The folder to which the images' ``file_name`` is relative."""

    def find_pictures(self, records: Sequence[Any], folder: Path, only: Choice | None) -> ImageFiles:
        """Finds the pictures of the images, see `find_image_files`.

        Args:
            records: the images.
            folder: that `image_dir` gave.
            only: chooses the images to read; None: all.
        """
        return find_image_files(records, folder, only, exact=self.exact_names)

    @abc.abstractmethod
    def note(self, image_dir: Path) -> str | None:
        """Says in one line what was recognised; None where there is nothing to say."""


def box_of_corners(corners: Iterable[float]) -> dict[str, Any]:
    """COCO's ``bbox`` and ``area`` of a box.

    Args:
        corners: x1, y1, x2, y2, continuous pixels.
    """
    x1, y1, x2, y2 = corners
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}


def pictures_by_stem(folder: Path) -> dict[str, str]:
    """Files of a folder by their names without the suffix; empty where there is no such folder."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except FileNotFoundError:
        return {}
    return {os.path.splitext(name)[0]: name for name in names if not name.startswith(".")}


def ids_of_names(names: Sequence[str]) -> list[int]:
    """Ids of images: the numbers that their names are, else 1, 2, 3, ...

    >>> ids_of_names(["000005", "2007_000027"])
    [5, 2007000027]
    >>> ids_of_names(["street", "000005"])
    [1, 2]
    """
    digits = [name.replace("_", "") for name in names]
    # Beyond 18 digits a number may not be one of 64 bits.
    if all(text.isascii() and text.isdigit() and len(text) <= 18 for text in digits):
        numbers = [int(text) for text in digits]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(names) + 1))
