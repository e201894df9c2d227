"""Pictures of a data set with their objects and what detectors find in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.report.side_by_side import Found, Scene


def scenes_of(dataset: CocoDataset, found: Mapping[str, Sequence[Found]], *, upright: bool) -> list[Scene]:
    """Reads all images of a data set.

    Args:
        dataset: the images; objects that do not count are left out.
        found: what each detector finds in each image, by the detectors' names.
        upright: turns images as their EXIF orientation says.
    """
    from cascade_tf.prediction.image_files import read_image
    from cascade_tf.report.side_by_side import Scene

    scenes = []
    for index, example in enumerate(dataset.examples):
        pixels = read_image(example.path, upright=upright, size=(example.height, example.width))
        objects = example.boxes[~(example.crowd | example.ignored)]
        of_each = {name: boxes[index] for name, boxes in found.items()}
        scenes.append(Scene(Path(example.path).name, pixels, objects, of_each))
    return scenes
