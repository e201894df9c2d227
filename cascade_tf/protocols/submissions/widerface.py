"""WIDER FACE: ``<event>/<image>.txt``, one for each image, with the count 0 where nothing was detected."""

from __future__ import annotations

from cascade_tf.data.sources.widerface import FACE, WiderFaceSplit
from cascade_tf.formats.widerface import read_detections, write_detections
from cascade_tf.protocols.submissions.submission import (
    NOTHING,
    Request,
    Submission,
    incomplete,
    left_out,
    not_looked_at,
    require_same,
    strangers,
)


def write_widerface(request: Request) -> Submission:
    """Writes the file of every image."""
    source = request.dataset.source
    assert isinstance(source, WiderFaceSplit)
    images = {image_id: (image.event, image.name) for image_id, image in source.annotated()}
    found = request.by_image()
    faces = {image_id: found.get(image_id, NOTHING).of(FACE) for image_id in images}
    write_detections(request.folder, [(*images[i], some.corners(), some.scores) for i, some in faces.items()])
    paths = [request.folder / event / f"{name}.txt" for event, name in images.values()]
    read = read_detections(request.folder, images.values())
    for path, (boxes, scores), some in zip(paths, read, faces.values(), strict=True):
        require_same(path, (boxes, some.corners()), (scores, some.scores))
    notes = [
        *left_out(request, (FACE,)),
        *not_looked_at(len(images.keys() - found.keys())),
        *incomplete(request),
        *strangers(request.folder, paths, "*/*.txt"),
    ]
    return Submission(tuple(paths), tuple(notes))
