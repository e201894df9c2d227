"""The proposals of a detector for a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.boxes import is_proper
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.images import broken_image_line
from cascade_tf.data.pipeline import eval_batches
from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.prediction.inference import input_size, to_original_frame
from cascade_tf.prediction.network_calls import prepare_weights, traced
from cascade_tf.structures import Batch, Proposals, Tensor


def collect_proposals(
    detector: Any,
    dataset: CocoDataset,
    *,
    stage: int = 1,
    batch_size: int = 1,
    progress: Callable[[int], Any] | None = None,
    skip_broken: bool = False,
    upright: bool = True,
) -> ProposalSet:
    """Proposes boxes in every image of a data set.

    Args:
        detector: a ``TwoStageDetector``.
        dataset: the images; their objects are not looked at.
        stage: whose proposals: the boxes that this stage of the cascade sees at test, with the scores of the
            first stage's. For the first no heads are run.
        batch_size: images that go through the network together.
        progress: called after each batch with the number of its images.
        skip_broken: images that cannot be read get no proposals, with a warning, instead of stopping.
        upright: as in ``eval_batches``.

    Returns:
        The proposals at test in the image, best first, of every image in the data set's order, with the sizes
        of the images and their names below the data set's folder of pictures.

    Raises:
        ValueError: there is no such stage, ``batch_size`` is below 1, or an image cannot be read (the message
            names it).
    """
    check_stage(detector, stage)
    prepare_weights(detector)
    name = f"proposals of stage {stage}"
    run = traced(detector, name, lambda network, batch: _in_original_frame(network, batch, stage))
    batches = eval_batches(
        dataset,
        batch_size=batch_size,
        **input_size(detector),
        size_divisor=detector.size_divisor,
        skip_broken=skip_broken,
        upright=upright,
    )
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    try:
        for batch in batches:
            all_boxes, all_scores, valid = (value.numpy() for value in run(batch))
            rows = zip(batch.image_id.numpy().tolist(), all_boxes, all_scores, valid, strict=True)
            found |= {image_id: (boxes[kept], scores[kept]) for image_id, boxes, scores, kept in rows}
            if progress is not None:
                progress(len(valid))
    except tf.errors.OpError as error:
        line = broken_image_line(error)
        if line is None:
            raise
        raise ValueError(line) from None
    examples = dataset.examples
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    boxes, scores = zip(nothing, *(found.get(example.image_id, nothing) for example in examples), strict=True)
    return ProposalSet(
        image_ids=np.array([example.image_id for example in examples], np.int64),
        offsets=np.cumsum([len(some) for some in scores], dtype=np.int64),
        boxes=np.concatenate(boxes),
        scores=np.concatenate(scores),
        sizes=np.array([(example.height, example.width) for example in examples], np.int32).reshape(-1, 2),
        file_names=tuple(_name(example.path, dataset.image_dir) for example in examples),
    )


def check_stage(detector: Any, stage: int) -> None:
    """Raises a ValueError unless the detector has a stage of this number."""
    if not 1 <= stage <= detector.num_stages:
        raise ValueError(f"stage: got {stage}, expected one of the detector's, 1..{detector.num_stages}")


def _in_original_frame(detector: Any, batch: Batch, stage: int) -> tuple[Tensor, Tensor, Tensor]:
    features, _, proposals = detector.propose(batch)
    if stage > 1:
        with detector.in_areas(batch):
            samples = detector.heads(features, proposals, batch.image_size)[stage - 1].samples
        proposals = Proposals(samples.boxes, samples.scores, samples.valid)
    boxes = to_original_frame(proposals.boxes, batch.image_size, batch.original_size)
    # Some parts sort by level first.
    order = tf.argsort(proposals.scores, direction="DESCENDING", stable=True)
    values = (boxes, proposals.scores, proposals.valid & is_proper(boxes))
    boxes, scores, valid = (tf.gather(value, order, batch_dims=1) for value in values)
    return boxes, scores, valid


def _name(path: str, folder: str) -> str:
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else Path(path).name
