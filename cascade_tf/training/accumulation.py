"""One update from several batches, in the memory of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.loss_counts import counts_become
from cascade_tf.structures import ImageBatch, Targets, Tensor
from cascade_tf.training.distribution import local_share
from cascade_tf.training.step import Step, StepReport, sum_over_replicas


class AccumulatedStep(Step):
    """Trains a detector on several global batches per call, with the update of one that holds all of them.

    The gradients of each batch are added up on the replica that computes them, in one further copy of the
    weights' memory, and summed over the replicas once, in the end. With ``losses_over="update"`` a first pass
    forward over all batches counts what losses are means over, because a loss must be divided by the count of
    the whole before its gradient is taken. Layers that draw random numbers afresh in every call (Keras's own
    dropout; not ours) then draw others than were counted.

    An update changes everything or nothing: until its last batch is done no weight, average or velocity has
    changed, and an update that is not finite restores the moving statistics too.

    Args:
        detector: as for `Step`.
        optimizer: likewise.
        strategy: likewise.
        signature: likewise, of each batch.
        num_parts: batches of an update.
        **settings: further arguments of `Step`.
    """

    def __init__(
        self,
        detector: Any,
        optimizer: Any,
        strategy: tf.distribute.Strategy,
        signature: Any,
        *,
        num_parts: int,
        **settings: Any,
    ) -> None:
        super().__init__(detector, optimizer, strategy, signature, **settings)
        self.num_parts = num_parts
        self._sums = [_own_sum(v) for v in self._weights]
        self._before = [tf.Variable(v, trainable=False, dtype=v.dtype) for v in self._statistics]
        # Those with a gradient; known once a batch has been traced.
        self._reached: list[int] = []
        self._count = tf.function(self._count_part, input_signature=signature, autograph=False)
        counted = self.losses_over == "update"
        counts = self._count.get_concrete_function().structured_outputs if counted else []
        of_counts = [tf.TensorSpec(count.shape, count.dtype) for count in counts]
        self._add = tf.function(self._add_part, input_signature=(*signature, of_counts), autograph=False)
        self._end = tf.function(self._update_from_sums, autograph=False)
        self._has_counts = bool(of_counts)

    def of_parts(self, parts: Sequence[tuple[ImageBatch, Targets]]) -> StepReport:
        """Updates the weights on ``num_parts`` global batches."""
        self._copy_each(self._statistics, self._before)
        counts: list[Tensor] = []
        if self._has_counts:
            counts = _added([self._count(*part) for part in parts])
            self._copy_each(self._before, self._statistics)
        losses, metrics = _added([self._add(*part, counts) for part in parts])
        return self._end(losses, metrics)

    def _count_part(self, batch: ImageBatch, targets: Targets) -> list[Tensor]:
        return self._of_first_replica(self.strategy.run(self._count_share, args=(batch, targets)))

    def _count_share(self, batch: ImageBatch, targets: Targets) -> list[Tensor]:
        """Runs on each replica; the counts of all of them, in the order in which losses ask for them."""
        counts: list[Tensor] = []

        def note(count: Tensor) -> Tensor:
            counts.append(count)
            return count

        with counts_become(note):
            self.detector.compute_losses(*local_share((batch, targets)))
        return sum_over_replicas(counts) if counts else []

    def _add_part(self, batch: ImageBatch, targets: Targets, counts: list[Tensor]) -> tuple:
        return self._of_first_replica(self.strategy.run(self._add_share, args=(batch, targets, counts)))

    def _add_share(self, batch: ImageBatch, targets: Targets, counts: list[Tensor]) -> tuple:
        """Runs on each replica; losses and metrics, summed over them."""
        shares = self.num_parts * tf.distribute.get_replica_context().num_replicas_in_sync
        of_losses = iter(counts)

        def divisor(count: Tensor) -> Tensor:
            return next(of_losses) / shares if counts else count

        gradients, losses, metrics = self._differentiate(batch, targets, divisor)
        self._reached = list(gradients)
        for index, gradient in gradients.items():
            self._sums[index].assign_add(gradient)
        return sum_over_replicas((losses, metrics))

    def _update_from_sums(self, losses: dict[str, Tensor], metrics: dict[str, Tensor]) -> StepReport:
        return self._apply(*self.strategy.run(self._conclude_sums, args=(losses, metrics)))

    def _conclude_sums(self, losses: dict[str, Tensor], metrics: dict[str, Tensor]) -> tuple:
        """Runs on each replica; what it returns, the statistics apart, is equal on all of them."""
        gradients = {i: tf.convert_to_tensor(self._sums[i]) for i in self._reached}
        for index in self._reached:
            self._sums[index].assign(tf.zeros_like(gradients[index]))
        concluded = self._conclude(sum_over_replicas(gradients), losses, metrics, self.num_parts)
        return *concluded, [tf.identity(v) for v in self._before]

    def _copy_each(self, sources: Sequence[Any], targets: Sequence[Any]) -> None:
        for source, target in zip(sources, targets, strict=True):
            self._update_each(target, lambda variable, value: variable.assign(value), source)


def _own_sum(weights: Any) -> tf.Variable:
    """A sum of each replica's own, that no other one sees."""
    return tf.Variable(
        tf.zeros(weights.shape, weights.dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _added(values: Sequence[Any]) -> Any:
    return tf.nest.map_structure(lambda *column: tf.add_n(column), *values)
