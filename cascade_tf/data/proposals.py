"""A data set with proposals that were collected beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Example
from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.structures import Proposals, Tensor


def with_proposals(dataset: CocoDataset, proposals: ProposalSet) -> CocoDataset:
    """Returns the data set with proposals for its images.

    Args:
        dataset: the images.
        proposals: of at least these images.

    Raises:
        ValueError: images are not among them, or had another size when the proposals were made.
    """
    records = _records_of(dataset.examples, proposals)
    if proposals.sizes is not None:
        sizes = np.array([(example.height, example.width) for example in dataset.examples], np.int32)
        differ = np.flatnonzero(np.any(proposals.sizes[records] != sizes, axis=1))
        if len(differ):
            example, record = dataset.examples[differ[0]], records[differ[0]]
            height, width = proposals.sizes[record].tolist()
            raise ValueError(
                f"{proposals.source}: record {record} (image id {example.image_id}): proposals of an image "
                f"of {width} x {height} pixels, expected {example.width} x {example.height} ({example.path})"
            )
    return replace(dataset, proposals=proposals)


def _records_of(examples: Sequence[Example], proposals: ProposalSet) -> np.ndarray:
    """[M] int64, where the proposals of each example are."""
    record_of = {image_id: record for record, image_id in enumerate(proposals.image_ids.tolist())}
    missing = [example for example in examples if example.image_id not in record_of]
    if missing:
        raise ValueError(
            f"{proposals.source}: {len(missing)} of {len(examples)} images are not in it, the first has the "
            f"id {missing[0].image_id} ({missing[0].path}); expected all of them, if need be without a box"
        )
    return np.array([record_of[example.image_id] for example in examples], np.int64)


class ProposalTable(NamedTuple):
    """The proposals of M examples as tensors, so that a tf.data graph looks them up without Python.

    Attributes:
        rows: [M, 2] int64, the first row of each example's proposals and the one behind the last.
        boxes: [N, 4] float32.
        scores: [N] float32.
        capacity: no example has more; at least 1.
    """

    rows: Tensor
    boxes: Tensor
    scores: Tensor
    capacity: int

    @classmethod
    def of(cls, dataset: CocoDataset) -> ProposalTable | None:
        """Makes the table; None where the data set has no proposals."""
        given = dataset.proposals
        if given is None:
            return None
        records = _records_of(dataset.examples, given)
        rows = np.stack([given.offsets[records], given.offsets[records + 1]], axis=1)
        # Look-ups run where tf.data runs, whatever device is current while the table is made.
        with tf.device("CPU:0"):
            return cls(
                tf.constant(rows, tf.int64),
                tf.constant(given.boxes),
                tf.constant(given.scores),
                int(np.max(rows[:, 1] - rows[:, 0], initial=1)),
            )

    def proposals_of(self, index: Tensor) -> Proposals:
        """The proposals of an example in pixels of its file, boxes [r, 4], best first."""
        rows = slice(self.rows[index, 0], self.rows[index, 1])
        scores = self.scores[rows]
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        scores = tf.gather(scores, order)
        return Proposals(tf.gather(self.boxes[rows], order), scores, tf.ones_like(scores, tf.bool))

    @property
    def shapes(self) -> Proposals:
        """What a batch pads each example's proposals to."""
        return Proposals([self.capacity, 4], [self.capacity], [self.capacity])
