"""The images of an evaluation, shared among the processes that train together."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections.abc import Callable, Sequence

from cascade_tf.data.coco import CocoDataset
from cascade_tf.prediction.inference import ImageDetections
from cascade_tf.training.cluster import Workers
from cascade_tf.training.failed_evaluations import describe_error

Records = Sequence[ImageDetections]


def detect_together(
    workers: Workers, dataset: CocoDataset, detect: Callable[[CocoDataset], Sequence[Records]]
) -> list[list[ImageDetections]]:
    """Detects in every image of a data set, each process in its part, and gives all of them everything.

    What the processes tell each other is pickled: it comes over the connections that the weights are learnt
    over, from the programs of the same run.

    Args:
        workers: all of which call this.
        dataset: the images.
        detect: what detects in the images of a data set that is not empty: rows of records, of one stage
            each.

    Returns:
        The rows, with the images in the data set's order.

    Raises:
        RuntimeError: it failed in another process; in the one where it did, the error itself.
    """
    share = dataclasses.replace(dataset, examples=dataset.examples[workers.index :: workers.count])
    failure, rows = None, []
    try:
        rows = [list(row) for row in detect(share)] if share.examples else []
    except Exception as error:
        failure = error
    message = None if failure is None else describe_error(failure)
    told = [pickle.loads(content) for content in workers.gather(pickle.dumps((rows, message)))]
    if failure is not None:
        raise failure
    for index, (_, message) in enumerate(told):
        if message is not None:
            raise RuntimeError(f"process {index} of {workers.count}: {message}")
    places = {example.image_id: place for place, example in enumerate(dataset.examples)}
    by_row = zip(*(found for found, _ in told if found), strict=True)
    return [sorted(itertools.chain(*row), key=lambda record: places[record.image_id]) for row in by_row]
