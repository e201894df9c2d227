"""COCO: ``detections_<split>_<name>_results.json``, a list of records.

Where there are masks, boxes and masks are two submissions with files of the same name, in the folders
``bbox`` and ``segm``: a record with both would be measured by its box.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from cascade_tf.coco_format.results_file import load_results_file
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.source import Source
from cascade_tf.files import write_atomically
from cascade_tf.protocols.submissions.submission import Request, Submission, incomplete, left_out

_SPLIT = re.compile(r"(?:instances|image_info)_(?P<split>.+)")
_ALL = {"image_id", "category_id", "score"}


def write_coco(request: Request) -> Submission:
    """Writes the file of boxes, and that of masks where there are some."""
    name = Path(request.dataset.annotation_file).name.partition(".json")[0]
    match = _SPLIT.fullmatch(name)
    file = f"detections_{match['split'] if match else name}_{request.name}_results.json"
    looked_at, ids = set(request.image_ids), _file_ids(request.dataset)
    records = [
        {**one, "category_id": ids[one["category_id"]]}
        for one in request.detections
        if one["image_id"] in looked_at and one["category_id"] in ids
    ]
    masks = any("segmentation" in one for one in records)
    paths = []
    for folder, field in (("bbox", "bbox"), ("segm", "segmentation")) if masks else (("", "bbox"),):
        some = [{key: value for key, value in one.items() if key in _ALL | {field}} for one in records]
        path = write_atomically(request.folder / folder / file, json.dumps(some, allow_nan=False) + "\n")
        if load_results_file(path) != some:
            raise RuntimeError(f"{path}: reads as other detections than those that were written")
        paths.append(path)
    known = [category.name for category in request.dataset.categories if category.id in ids]
    return Submission(tuple(paths), (*left_out(request, known), *incomplete(request)))


def check_coco(dataset: CocoDataset) -> None:
    """Raises a ValueError where the data set's file has none of the detector's classes."""
    if not _file_ids(dataset):
        raise ValueError(
            f"{dataset.annotation_file}: a submission needs its classes, "
            f"got a detector of {', '.join(dataset.class_names)}"
        )


def _file_ids(dataset: CocoDataset) -> dict[int, int]:
    """The ids that the data set's file gives to the detector's classes; their own where it names none.

    A detector that learnt from another file may number them otherwise.
    """
    named = {} if dataset.source is None else _named(dataset.source)
    categories = dataset.categories
    if not named:
        return {category.id: category.id for category in categories}
    return {category.id: named[category.name] for category in categories if category.name in named}


def _named(source: Source) -> dict[str, int]:
    # What is broken was told when the data set was read.
    content = source.content(BrokenRecords(source.name, skip_broken=True))
    return {str(one["name"]): int(one["id"]) for one in content["categories"]}
