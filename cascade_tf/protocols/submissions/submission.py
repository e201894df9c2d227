"""What submissions to all benchmarks have in common: the request, the answer, and how files are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.protocols.detections import Found, by_image
from cascade_tf.wording import count_of


class Request(NamedTuple):
    """What is to be written.

    Attributes:
        folder: where to.
        dataset: the images, with or without labels, in the classes of the detector.
        detections: in COCO's result format.
        image_ids: of the images that were looked at.
        name: of the detector, where the benchmark wants one.
    """

    folder: Path
    dataset: CocoDataset
    detections: Sequence[Mapping[str, Any]]
    image_ids: Sequence[int]
    name: str

    def by_image(self) -> dict[int, Found]:
        """The detections of each image that was looked at, best first."""
        found = by_image(self.detections, self.image_ids, self.dataset.categories)
        return {image_id: some.best_first() for image_id, some in found.items()}


class Submission(NamedTuple):
    """What was written.

    Attributes:
        paths: the files, which were read again and hold what was detected.
        notes: a line for each thing that the benchmark's server may refuse, or that could not be told.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


NOTHING = Found(np.zeros(0, str), np.zeros((0, 4)), np.zeros(0))
"""What is written for an image that was not looked at, where every image needs its file."""


def require_same(path: Path, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """Makes sure that a file says what was written.

    Args:
        path: the file, for the error.
        pairs: an array that was read and one that was written; numbers may differ by a rounding.

    Raises:
        RuntimeError: one differs.
    """
    for read, written in pairs:
        numbers = np.issubdtype(written.dtype, np.number)
        same = read.shape == written.shape and (
            np.allclose(read, written, rtol=0.0, atol=1e-6) if numbers else bool((read == written).all())
        )
        if not same:
            raise RuntimeError(f"{path}: reads as other detections than those that were written")


def left_out(request: Request, known: Sequence[str]) -> list[str]:
    """A line about the detections of classes that a benchmark does not know, if there are some.

    Args:
        request: with the detections.
        known: the benchmark's classes.
    """
    names = {category.id: category.name for category in request.dataset.categories}
    foreign = [names[one["category_id"]] for one in request.detections]
    foreign = [name for name in foreign if name not in known]
    if not foreign:
        return []
    classes = ", ".join(sorted(set(foreign)))
    noun = "a class" if len(set(foreign)) == 1 else "classes"
    return [
        f"{count_of(len(foreign), 'detection', 'detections')} of {noun} that the benchmark does not know "
        f"{'is' if len(foreign) == 1 else 'are'} left out: {classes}"
    ]


def not_looked_at(count: int) -> list[str]:
    """A line about images that could not be read, if there are some."""
    if not count:
        return []
    images = count_of(count, "image was not looked at and is", "images were not looked at and are")
    return [f"{images} written as without detections"]


def incomplete(request: Request) -> list[str]:
    """A line about the images of a benchmark's test set that are not here, if their number is known."""
    published = None if request.dataset.source is None else request.dataset.source.published
    count = request.dataset.images_in_file
    if published is None or published.images == count or request.dataset.labelled:
        return []
    return [
        f"{published.part} has {published.images:,} images, and {count:,} are here: a server wants them all"
    ]


def strangers(folder: Path, paths: Sequence[Path], pattern: str) -> list[str]:
    """A line about files that lie among those that were written and are none of them, if there are some.

    Args:
        folder: that was written to.
        paths: the files that were written.
        pattern: of the files that a server would take for detections.
    """
    others = sorted(set(folder.glob(pattern)) - set(paths))
    if not others:
        return []
    name = others[0].relative_to(folder)
    files, verb = count_of(len(others), "other file", "other files"), "is" if len(others) == 1 else "are"
    return [f"{folder}: holds {files}, such as {name}, that {verb} not of this submission"]
