"""Which example stands where in which batch, flipped or not, at which scale: a function of seed and step.

Nothing here has a state, so a run that resumes at step s costs the same as one that starts at step 0 and
gets the same batches as a run that never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

# Streams of random numbers: no two purposes share one.
_ORDER, _FLIP, _SCALE, _SAMPLING = range(4)


def random_bits(seed: int, *counters: int | np.ndarray) -> np.ndarray:
    """64 random bits for each combination of counters, a pure function of them.

    The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), applied once for each counter. NumPy promises
    that its generators keep their streams only within a version; a resumed run may meet another one.

    Args:
        seed: any integer.
        *counters: integers or integer arrays, broadcast against each other.

    Returns:
        uint64 array of the broadcast shape, of one dimension at least.
    """
    bits = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    for counter in counters:
        bits = bits + np.uint64(0x9E3779B97F4A7C15) + np.asarray(counter).astype(np.uint64)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    return bits


class PlannedSteps(NamedTuple):
    """The plan of some consecutive steps, M = steps * batch size examples in order.

    Attributes:
        example: [M] int32, index into the data set's examples.
        short_side: [M] int32 pixels, equal within a batch.
        flip: [M] bool, mirror left and right.
        seed: [M, 2] int32, the seed of the example's sampling.
    """

    example: np.ndarray
    short_side: np.ndarray
    flip: np.ndarray
    seed: np.ndarray


def aspect_buckets(sizes: np.ndarray, batch_size: int) -> tuple[np.ndarray, ...]:
    """Splits examples into wide and tall, so that a batch of one kind needs little padding.

    Args:
        sizes: [M, 2] (height, width).
        batch_size: where a bucket is smaller than this, it would repeat an example within a batch; then there
            is one bucket.

    Returns:
        One or two int32 arrays of indices, together 0..M-1.
    """
    everything = np.arange(len(sizes), dtype=np.int32)
    tall = sizes[:, 0] > sizes[:, 1]
    buckets = (everything[~tall], everything[tall])
    if min(len(bucket) for bucket in buckets) < batch_size:
        return (everything,)
    return buckets


@dataclass
class BatchPlan:
    """The batches of a training run.

    Each bucket is an endless row of epochs, every epoch an own permutation of the bucket; batches are cut
    from it one after the other and may straddle two epochs. The buckets take turns in proportion to their
    sizes.

    Attributes:
        buckets: one or two arrays of example indices.
        batch_size: examples in a batch.
        short_sides: the scales to choose from, one for a whole batch.
        flip: mirror every second example, by chance.
        seed: of all random choices.
    """

    buckets: Sequence[np.ndarray]
    batch_size: int
    short_sides: Sequence[int]
    flip: bool
    seed: int
    _orders: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)

    def steps(self, first: int, count: int) -> PlannedSteps:
        """Plans steps ``first`` to ``first + count - 1``."""
        step = np.arange(first, first + count)
        position = (step[:, None] * self.batch_size + np.arange(self.batch_size)).reshape(-1)
        scale = random_bits(self.seed, _SCALE, step) % np.uint64(len(self.short_sides))
        flip = (random_bits(self.seed, _FLIP, position) >> np.uint64(63)).astype(bool) & self.flip
        sampling = random_bits(self.seed, _SAMPLING, position)
        return PlannedSteps(
            self._indices(step),
            np.repeat(np.asarray(self.short_sides, np.int32)[scale], self.batch_size),
            flip,
            sampling.view(np.int32).reshape(-1, 2),
        )

    def _indices(self, step: np.ndarray) -> np.ndarray:
        before = self._first_bucket_batches(step)
        from_first = self._first_bucket_batches(step + 1) > before
        batch = np.where(from_first, before, step - before)
        rows = [
            self._batch(0 if first else 1, int(number))
            for first, number in zip(from_first, batch, strict=True)
        ]
        return np.concatenate([np.zeros(0, np.int32), *rows])

    def _first_bucket_batches(self, step: np.ndarray) -> np.ndarray:
        """How many of the batches before ``step`` come from bucket 0: an even spread, without a state."""
        total = sum(len(bucket) for bucket in self.buckets)
        return (step * len(self.buckets[0]) + total // 2) // total

    def _batch(self, bucket: int, number: int) -> np.ndarray:
        members = self.buckets[bucket]
        epoch, rank = np.divmod(number * self.batch_size + np.arange(self.batch_size), len(members))
        ranks = [self._order(bucket, int(e))[r] for e, r in zip(epoch, rank, strict=True)]
        return members[ranks]

    def _order(self, bucket: int, epoch: int) -> np.ndarray:
        order = self._orders.get((bucket, epoch))
        if order is None:
            keys = random_bits(self.seed, _ORDER, bucket, epoch, np.arange(len(self.buckets[bucket])))
            order = np.argsort(keys, kind="stable")
            # Replaced as a whole, not changed: several iterators may plan at the same time.
            kept = {k: v for k, v in self._orders.items() if k[0] != bucket or abs(k[1] - epoch) <= 1}
            self._orders = {**kept, (bucket, epoch): order}
        return order
