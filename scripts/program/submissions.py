"""Files for the servers of benchmarks: the flags that ask for them, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .bar import waiting
from .flags import Flags
from .folders import writable_folder
from .log import warn

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.prediction.inference import ImageDetections

DETECTOR = "cascade"


def define_submission_flags(options: Flags) -> None:
    """Adds ``--submission`` and ``--submission_name`` to a program."""
    options.string(
        "submission", None, "Writes what is detected for the server of the data set's benchmark.", "DIR"
    )
    options.string("submission_name", DETECTOR, "The detector's name in such files.", "NAME")


def submission_folder(options: Flags) -> Path | None:
    """Makes the folder of ``--submission`` before anything is detected; None if there is to be none.

    Raises:
        ValueError: nothing can be written there, or no file can have the name.
    """
    if not options.values.submission:
        return None
    from cascade_tf.protocols.submissions.choice import check_name

    check_name(options.values.submission_name)
    return writable_folder(options.values.submission, "submission folder")


def check_submission(dataset: CocoDataset) -> None:
    """Raises a ValueError where the benchmark of a data set cannot take a detector's detections.

    Args:
        dataset: in the classes of the detector.
    """
    from cascade_tf.protocols.submissions.choice import check_submission as check

    check(dataset)


def write_submission(
    options: Flags, folder: Path, dataset: CocoDataset, records: Sequence[ImageDetections]
) -> None:
    """Writes the detections in the images of a data set, and says so.

    Args:
        options: with the flags of `define_submission_flags`.
        folder: of `submission_folder`.
        dataset: in the classes of the detector.
        records: what was detected, in each image that was read.

    Raises:
        ValueError: as in `cascade_tf.protocols.submissions.choice.write_submission`.
    """
    from cascade_tf.prediction.inference import to_coco_results
    from cascade_tf.protocols.submissions.choice import write_submission as write

    with waiting("writing the submission"):
        detections, image_ids = to_coco_results(records), [record.image_id for record in records]
        written = write(dataset, detections, image_ids, folder, name=options.values.submission_name)
    for line in written.notes:
        warn(line)
    first, count = written.paths[0], len(written.paths)
    files = f"is {first}" if count == 1 else f"are {count:,} files, the first {first}"
    print(f"\nThe submission with {len(detections):,} detections in {len(records):,} images {files}.")
