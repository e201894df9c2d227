"""KITTI: one text file a frame, empty where nothing was detected. The server takes them in a zip archive."""

from __future__ import annotations

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.sources.kitti import CLASSES, KittiFrames
from cascade_tf.formats.kitti import KittiDetections, read_results, write_results
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


def write_kitti(request: Request) -> Submission:
    """Writes the file of every frame, with the detections of the benchmark's classes."""
    source = request.dataset.source
    assert isinstance(source, KittiFrames)
    # What is broken was told when the data set was read.
    annotated = source.annotated(BrokenRecords(source.name, skip_broken=True))
    frames = {image_id: frame for image_id, frame, _ in annotated}
    found = request.by_image()
    detections = {}
    for image_id, frame in frames.items():
        some = found.get(image_id, NOTHING).of(*CLASSES)
        detections[frame] = KittiDetections(some.names, some.corners(), some.scores)
    write_results(request.folder, detections)
    paths = []
    for frame, written in detections.items():
        paths.append(request.folder / f"{frame}.txt")
        require_same(paths[-1], *zip(read_results(paths[-1]), written, strict=True))
    notes = [
        *left_out(request, CLASSES),
        *not_looked_at(len(frames.keys() - found.keys())),
        *incomplete(request),
        *strangers(request.folder, paths, "*.txt"),
    ]
    return Submission(tuple(paths), tuple(notes))
