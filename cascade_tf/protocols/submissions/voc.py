"""PASCAL VOC, competition 4: ``results/<year>/Main/comp4_det_<list>_<class>.txt``, one file a class."""

from __future__ import annotations

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.voc import VocLists
from cascade_tf.formats.voc import VocDetections, read_results, require_file_names, write_results
from cascade_tf.protocols.submissions.submission import (
    Request,
    Submission,
    incomplete,
    require_same,
    strangers,
)


def write_voc(request: Request) -> Submission:
    """Writes the files of every year, of a data set that `check_voc` takes."""
    check_voc(request.dataset)
    source = request.dataset.source
    assert isinstance(source, VocLists)
    # What is broken was told when the data set was read.
    annotated = source.annotated(BrokenRecords(source.name, skip_broken=True))
    entries = {image_id: entry for image_id, entry, _ in annotated}
    classes = request.dataset.class_names
    found = request.by_image()
    paths, notes = [], incomplete(request)
    for edition, (split,) in source.lists().items():
        own = {image_id: some for image_id, some in found.items() if entries[image_id].edition == edition}
        folder = request.folder / "results" / edition.resolve().name / "Main"
        counts = [len(some.scores) for some in own.values()]
        rows = VocDetections(
            np.repeat(np.array([entries[image_id].name for image_id in own], str), counts),
            np.concatenate([np.zeros(0, str), *(some.names for some in own.values())]),
            np.concatenate([np.zeros((0, 4)), *(some.corners() for some in own.values())]),
            np.concatenate([np.zeros(0), *(some.scores for some in own.values())]),
        )
        written = write_results(folder, split, rows, classes)
        order = np.argsort(rows.classes, kind="stable")
        read = read_results(folder, split)[1]
        back = np.argsort(read.classes, kind="stable")
        require_same(folder, *((a[back], b[order]) for a, b in zip(read, rows, strict=True)))
        notes += strangers(folder, written, "*.txt")
        paths += written
    return Submission(tuple(paths), tuple(notes))


def check_voc(dataset: CocoDataset) -> None:
    """Raises a ValueError unless the images are those of one list a year, and classes can name files."""
    source = dataset.source
    assert isinstance(source, VocLists)
    require_file_names(dataset.class_names)
    for edition, names in source.lists().items():
        if len(names) != 1:
            raise ValueError(
                f"{source.name}: a submission needs the images of one list of {edition.name}, "
                f"got {', '.join(names) or 'no list'}"
            )
