"""YOLO's layout: ``data.yaml``, ``images/<split>`` and ``labels/<split>``, a text file for each picture.

A line is an object: its class from 0 and the centre, width and height of its box as shares of the picture's
sides. A picture without objects has an empty file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cascade_tf.conversion.annotated import (
    AnnotatedImage,
    clipped_corners,
    is_ignored,
    lost_masks,
    require_one_record_each,
)
from cascade_tf.conversion.pictures import flat_names, place_picture
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.files import write_atomically

# A millionth of a pixel of the largest pictures.
_DIGITS = 10


def write_yolo(
    folder: Path,
    splits: Mapping[str, CocoDataset],
    images: Mapping[str, Sequence[AnnotatedImage]],
    pictures: str,
    progress: Callable[[int], object],
) -> list[str]:
    """Writes the pictures and labels of each split, and the file that names them and the classes.

    Args:
        folder: where to.
        splits: by their names, all with the same classes.
        images: of each split.
        pictures: as in `place_picture`.
        progress: called with the number of images that were written since its last call.

    Returns:
        A line for each thing that the layout cannot say.

    Raises:
        ValueError: two images of a split are one file.
    """
    require_one_record_each(images)
    ignored = 0
    for name, dataset in splits.items():
        classes = {category_id: index for index, category_id in enumerate(dataset.category_ids)}
        names = flat_names({one.path: one.name for one in images[name]})
        for one in images[name]:
            picture = names[one.path]
            place_picture(one.path, folder / "images" / name / picture, pictures)
            objects = [record for record in one.objects if not is_ignored(record)]
            ignored += len(one.objects) - len(objects)
            lines = [
                f"{classes[record['category_id']]} {_shares(clipped_corners(record, one.size), one.size)}\n"
                for record in objects
            ]
            if dataset.labelled:
                stem = os.path.splitext(picture)[0]
                write_atomically(folder / "labels" / name / f"{stem}.txt", "".join(lines))
            progress(1)
    write_atomically(folder / "data.yaml", _description(splits))
    line = (
        f"{ignored:,} crowds and ignored objects are left out, since the layout knows none: they will "
        "be learnt as background"
    )
    return [*([line] if ignored else []), *lost_masks(images)]


def _shares(corners: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = corners
    shares = ((x1 + x2) / 2 / size[0], (y1 + y2) / 2 / size[1], (x2 - x1) / size[0], (y2 - y1) / size[1])
    return " ".join(f"{share:.{_DIGITS}f}" for share in shares)


def _description(splits: Mapping[str, CocoDataset]) -> str:
    # JSON's texts are YAML's.
    lines = ["path: .", *(f"{name}: images/{name}" for name in splits), "names:"]
    names = next(iter(splits.values())).class_names
    lines += [f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(names)]
    return "\n".join(lines) + "\n"
