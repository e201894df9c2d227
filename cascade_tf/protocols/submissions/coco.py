"""COCO: ``detections_<split>_<name>_results.json``, a list of records.

Where there are masks, boxes and masks are two submissions with files of the same name, in the folders
``bbox`` and ``segm``: a record with both would be measured by its box.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from cascade_tf.coco_format.results_file import load_results_file
from cascade_tf.files import write_atomically
from cascade_tf.protocols.submissions.submission import Request, Submission, incomplete

_SPLIT = re.compile(r"(?:instances|image_info)_(?P<split>.+)")
_ALL = {"image_id", "category_id", "score"}


def write_coco(request: Request) -> Submission:
    """Writes the file of boxes, and that of masks where there are some."""
    name = Path(request.dataset.annotation_file).name.partition(".json")[0]
    match = _SPLIT.fullmatch(name)
    file = f"detections_{match['split'] if match else name}_{request.name}_results.json"
    looked_at = set(request.image_ids)
    records = [dict(one) for one in request.detections if one["image_id"] in looked_at]
    masks = any("segmentation" in one for one in records)
    paths = []
    for folder, field in (("bbox", "bbox"), ("segm", "segmentation")) if masks else (("", "bbox"),):
        some = [{key: value for key, value in one.items() if key in _ALL | {field}} for one in records]
        path = write_atomically(request.folder / folder / file, json.dumps(some, allow_nan=False) + "\n")
        if load_results_file(path) != some:
            raise RuntimeError(f"{path}: reads as other detections than those that were written")
        paths.append(path)
    return Submission(tuple(paths), tuple(incomplete(request)))
