"""Writes drawn scenes as the data sets lie on a disk whose kind they are of."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.data.scenes import faces, pedestrians, street
from cascade_tf.files import new_folder
from cascade_tf.formats.citypersons_json import ENDING, PICTURE_ENDING, write_image_annotation
from cascade_tf.formats.kitti import write_labels
from cascade_tf.formats.widerface import SETTINGS, Faces, write_ground_truth
from cascade_tf.formats.widerface_annotations import AnnotatedFaces, write_annotations, write_image_list

SPLITS = ("train", "val", "test")

_CITIES = ("alphaville", "betaburg", "gammaton")
_JPEG_QUALITY = 93
_LEAST_SIDE = 128


class _Wanted(NamedTuple):
    """What is to be drawn: pictures of each split, (height, width), the seed, and a count of the progress."""

    counts: Mapping[str, int]
    size: tuple[int, int]
    seed: int
    progress: Callable[[int], Any]

    def of(self, split: str, kind: int) -> Iterator[tuple[int, np.random.Generator]]:
        """Number and source of random numbers of each picture of a split."""
        for number in range(self.counts[split]):
            yield number, np.random.default_rng([self.seed, 1 + kind, SPLITS.index(split), number])
            self.progress(1)


def draw_scenes(
    folder: str | os.PathLike[str],
    kind: str,
    *,
    num_train: int,
    num_val: int,
    num_test: int = 0,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Callable[[int], Any] = lambda count: None,
) -> None:
    """Draws a data set in its benchmark's own layout, which `read_dataset_dir` reads.

    The same arguments give the same bytes. The folder appears when everything is in it, or not at all.

    Args:
        folder: where to; it must not exist or be empty.
        kind: one of ``KINDS``.
        num_train: pictures to train on.
        num_val: pictures to validate on.
        num_test: pictures without labels.
        image_size: (height, width), pixels; None: the kind's own. Heights of faces' pictures differ by a
            quarter.
        seed: of everything that is chosen, not negative.
        progress: called after each picture with 1.

    Raises:
        ValueError: there is no such kind, or a number is out of its range.
        FileExistsError: the folder holds something.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    size = image_size or KINDS[kind].size
    if min(size) < _LEAST_SIDE or num_train < 1 or num_val < 1 or num_test < 0 or seed < 0:
        raise ValueError(
            f"got num_train={num_train}, num_val={num_val}, num_test={num_test}, image_size={size}, "
            f"seed={seed}; expected at least one picture to train on and one to validate on, sides of at "
            f"least {_LEAST_SIDE} pixels and a seed of at least 0"
        )
    counts = dict(zip(SPLITS, (num_train, num_val, num_test), strict=True))
    with new_folder(folder) as partial:
        KINDS[kind].write(partial, _Wanted({s: n for s, n in counts.items() if n}, size, seed, progress))


def _write_kitti(folder: Path, wanted: _Wanted) -> None:
    first = 0
    for split in wanted.counts:
        part = folder / ("testing" if split == "test" else "training")
        (part / "image_2").mkdir(parents=True, exist_ok=True)
        # The frames of both labelled splits lie in one folder and have one row of numbers.
        first = 0 if split == "test" else first
        frames = []
        for number, rng in wanted.of(split, 0):
            picture, objects = street.draw_street(rng, wanted.size)
            frames.append(f"{first + number:06d}")
            picture.save(part / "image_2" / f"{frames[-1]}.png")
            if split != "test":
                write_labels(part / "label_2" / f"{frames[-1]}.txt", objects)
        first += len(frames)
        (folder / "ImageSets").mkdir(exist_ok=True)
        (folder / "ImageSets" / f"{split}.txt").write_text("".join(f"{frame}\n" for frame in frames))


def _write_citypersons(folder: Path, wanted: _Wanted) -> None:
    for split in wanted.counts:
        for number, rng in wanted.of(split, 1):
            picture, image = pedestrians.draw_pedestrians(rng, wanted.size)
            city = _CITIES[number % len(_CITIES)]
            name = f"{city}_000000_{number:06d}"
            pictures = folder / "leftImg8bit" / split / city
            pictures.mkdir(parents=True, exist_ok=True)
            picture.save(pictures / f"{name}{PICTURE_ENDING}")
            if split != "test":
                path = folder / "gtBboxCityPersons" / split / city / f"{name}{ENDING}"
                write_image_annotation(path, image, wanted.size)


def _write_widerface(folder: Path, wanted: _Wanted) -> None:
    lists = folder / "wider_face_split"
    for split in wanted.counts:
        images = []
        for number, rng in wanted.of(split, 2):
            event = list(faces.EVENTS)[number % len(faces.EVENTS)]
            picture, image = faces.draw_faces(rng, event, wanted.size)
            images.append(image._replace(name=f"{image.event.replace('--', '_')}_{number}"))
            pictures = folder / f"WIDER_{split}" / "images" / image.event
            pictures.mkdir(parents=True, exist_ok=True)
            picture.save(pictures / f"{images[-1].name}.jpg", quality=_JPEG_QUALITY, subsampling=0)
        # The files list the images event by event.
        images.sort(key=lambda one: one.event)
        if split == "test":
            names = [(one.event, one.name) for one in images]
            write_image_list(lists / "wider_face_test_filelist.txt", names)
        else:
            write_annotations(lists / f"wider_face_{split}_bbx_gt.txt", images)
        # What the evaluation needs are .mat files. Without SciPy nobody could read them either.
        if split == "val" and importlib.util.find_spec("scipy"):
            counted = {(one.event, one.name): _counted(one) for one in images}
            write_ground_truth(folder / "ground_truth", counted)


def _counted(image: AnnotatedFaces) -> Faces:
    """The faces of an image by how hard they are to find: by their heights, what hides them and the blur."""
    valid, heights = image.marks["invalid"] == 0, image.boxes[:, 3]
    hidden, sharp = image.marks["occlusion"], image.marks["blur"] == 0
    medium = valid & (heights >= 16) & (hidden < 2)
    easy = medium & (heights >= 32) & (hidden == 0) & sharp
    corners = np.concatenate([image.boxes[:, :2], image.boxes[:, :2] + image.boxes[:, 2:]], axis=1)
    return Faces(corners, dict(zip(SETTINGS, (easy, medium, valid), strict=True)))


class Kind(NamedTuple):
    """What can be drawn: (height, width) of its pictures in pixels, and what writes it."""

    size: tuple[int, int]
    write: Callable[[Path, _Wanted], None]


KINDS: Mapping[str, Kind] = {
    "street": Kind(street.SIZE, _write_kitti),
    "pedestrians": Kind(pedestrians.SIZE, _write_citypersons),
    "faces": Kind(faces.SIZE, _write_widerface),
}
