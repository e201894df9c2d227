"""CityPersons: one JSON list, images numbered from 1 in the order of the benchmark's annotations."""

from __future__ import annotations

from cascade_tf.data.sources.citypersons import CityPersonsSplit
from cascade_tf.formats.citypersons import PEDESTRIAN, read_detections, write_detections
from cascade_tf.formats.citypersons_annotations import CLASSES
from cascade_tf.protocols.submissions.submission import (
    Request,
    Submission,
    incomplete,
    left_out,
    not_looked_at,
    require_same,
)

_CLASS = CLASSES[PEDESTRIAN]


def write_citypersons(request: Request) -> Submission:
    """Writes ``citypersons_<split>_<name>.json``, whose name the benchmark leaves open."""
    source = request.dataset.source
    assert isinstance(source, CityPersonsSplit)
    found = {image_id: some.of(_CLASS) for image_id, some in request.by_image().items()}
    path = request.folder / f"citypersons_{source.split}_{request.name}.json"
    write_detections(path, [(image_id, some.boxes, some.scores) for image_id, some in found.items()])
    for (boxes, scores), some in zip(read_detections(path, found), found.values(), strict=True):
        require_same(path, (boxes, some.boxes), (scores, some.scores))
    skipped = request.dataset.images_in_file - len(found)
    notes = [*left_out(request, (_CLASS,)), *not_looked_at(skipped), *incomplete(request)]
    return Submission((path,), tuple(notes))
