"""One update: losses, gradient, sum over the replicas, clipping, weights, average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.loss_counts import counts_become
from cascade_tf.structures import ImageBatch, Targets, Tensor
from cascade_tf.training.average import AveragedWeights
from cascade_tf.training.distribution import local_share
from cascade_tf.training.optimizer import MomentumSGD
from cascade_tf.training.precision import LossScale


class StepReport(NamedTuple):
    """What one update computed; scalars of the global batch that nothing has fetched from the device yet.

    Attributes:
        losses: float32 by name, and their sum as ``total``.
        metrics: float32 by name.
        learning_rate: float32.
        gradient_norm: float32 norm of the global batch's gradient before clipping.
        applied: float32, 1 where the weights were updated.
        failed: float32, 1 from the first update on whose loss or gradient was not finite.
    """

    losses: dict[str, Tensor]
    metrics: dict[str, Tensor]
    learning_rate: Tensor
    gradient_norm: Tensor
    applied: Tensor
    failed: Tensor


class _Decision(NamedTuple):
    """Scalars on each replica, equal on all of them, that say how the update goes on."""

    gradient_factor: Tensor
    gate: Tensor
    failed: Tensor
    overflow: Tensor
    learning_rate: Tensor
    average_rate: Tensor


class Step:
    """What updates from one batch and from several share: gradient, decision, changes of variables.

    The gradient is that of ``sum(losses)``, averaged over the replicas, and is clipped after the average:
    Keras' ``global_clipnorm`` clips each replica's own gradient, which is another direction altogether. An
    update whose losses or gradient are not finite leaves every weight, velocity, average and moving statistic
    as it was, and so does every later one; ``StepReport.failed`` tells. Nothing in the graph waits for the
    host.

    Args:
        detector: a built model with ``compute_losses(batch, targets) -> (losses, metrics)``.
        optimizer: counts the updates in ``iterations``; is built here.
        strategy: in whose scope the detector was built; this constructor runs inside the scope too.
        signature: of (ImageBatch, Targets) with the global batch size, see `batch_signature`.
        clip_norm: largest global norm of the gradient; None: no limit.
        loss_scale: for float16; None: none.
        average: the weights' average to maintain; None: none.
        losses_over: ``"update"`` or ``"device"``, see ``TrainConfig``.

    Raises:
        ValueError: the detector has no trainable variables (it is not built, say).
    """

    def __init__(
        self,
        detector: Any,
        optimizer: MomentumSGD,
        strategy: tf.distribute.Strategy,
        signature: Any,
        *,
        clip_norm: float | None = None,
        loss_scale: LossScale | None = None,
        average: AveragedWeights | None = None,
        losses_over: str = "update",
    ) -> None:
        if not detector.trainable_variables:
            raise ValueError(
                f"detector {detector.name!r}: got no trainable variables, expected a built detector"
            )
        self.detector = detector
        self.optimizer = optimizer
        self.strategy = strategy
        self.clip_norm = clip_norm
        self.loss_scale = loss_scale
        self.average = average
        self.losses_over = losses_over
        optimizer.build(detector.trainable_variables)
        self._weights = [raw_variable(v) for v in detector.trainable_variables]
        self._statistics = [raw_variable(v) for v in detector.non_trainable_variables if _is_statistic(v)]
        once = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self._failed = tf.Variable(0.0, trainable=False, dtype=tf.float32, aggregation=once)
        self._signature = signature

    def _apply(
        self, report: StepReport, gradients: dict[int, Tensor], decision: _Decision, statistics: list[Tensor]
    ) -> StepReport:
        """Changes the variables on all replicas, and returns the report of the first."""
        for index, gradient in gradients.items():
            self._update_each(self._weights[index], self._descend, gradient, decision)
        if self.average is not None:
            for mean, weights in zip(self.average.variables, self._weights, strict=True):
                self._update_each(mean, _follow, weights, decision)
        for variable, before in zip(self._statistics, statistics, strict=True):
            self._update_each(variable, _keep_or_restore, before, decision)
        self._update_each(self._failed, lambda variable, d: variable.assign(d.failed), decision)
        if self.loss_scale is not None:
            self._update_each(self.loss_scale.factor, self._rescale, decision)
        raw_variable(self.optimizer.iterations).assign_add(1)
        return self._of_first_replica(report)

    def _of_first_replica(self, values: Any) -> Any:
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], values)

    def _update_each(self, variable: Any, function: Any, *args: Any) -> None:
        self.strategy.extended.update(variable, function, args=args, group=False)

    def _differentiate(
        self, batch: ImageBatch, targets: Targets, divisor: Callable[[Tensor], Tensor]
    ) -> tuple[dict[int, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Gradients by the weight's index, times the loss scale, losses and metrics of a replica's images."""
        with tf.GradientTape() as tape, counts_become(divisor):
            losses, metrics = self.detector.compute_losses(*local_share((batch, targets)))
            losses = {name: tf.cast(value, tf.float32) for name, value in losses.items()}
            if self.detector.losses:
                losses["regularization"] = tf.add_n(self.detector.losses)
            total = tf.add_n(list(losses.values()))
            scaled = total * self._scale()
        found = tape.gradient(scaled, self._weights)
        gradients = {i: tf.convert_to_tensor(g) for i, g in enumerate(found) if g is not None}
        metrics = {name: tf.cast(value, tf.float32) for name, value in metrics.items()}
        return gradients, {**losses, "total": total}, metrics

    def _scale(self) -> Tensor | float:
        return 1.0 if self.loss_scale is None else tf.convert_to_tensor(self.loss_scale.factor)

    def _conclude(
        self,
        gradients: dict[int, Tensor],
        losses: dict[str, Tensor],
        metrics: dict[str, Tensor],
        num_parts: int = 1,
    ) -> tuple[StepReport, dict[int, Tensor], _Decision]:
        """The report and the decision of an update, from sums over all replicas and ``num_parts`` batches."""
        share = 1.0 / (num_parts * tf.distribute.get_replica_context().num_replicas_in_sync)
        factor = share / self._scale()
        losses, metrics = tf.nest.map_structure(lambda value: value * share, (losses, metrics))
        norm = tf.linalg.global_norm(list(gradients.values())) * factor
        decision = self._decide(losses, norm, factor)
        report = StepReport(losses, metrics, decision.learning_rate, norm, decision.gate, decision.failed)
        return report, gradients, decision

    def _decide(self, losses: dict[str, Tensor], norm: Tensor, factor: Tensor) -> _Decision:
        losses_finite = tf.reduce_all(tf.math.is_finite(tf.stack(list(losses.values()))))
        gradient_finite = tf.math.is_finite(norm)
        overflow = tf.constant(False)
        if self.loss_scale is not None:
            overflow = self.loss_scale.is_overflow(losses_finite, gradient_finite)
        fine = losses_finite & gradient_finite
        failed = tf.maximum(tf.convert_to_tensor(self._failed), tf.cast(~fine & ~overflow, tf.float32))
        gate = tf.cast(fine, tf.float32) * (1.0 - failed)
        if self.clip_norm is not None:
            factor *= self.clip_norm / tf.maximum(norm, self.clip_norm)
        updates = tf.convert_to_tensor(self.optimizer.iterations)
        rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        average_rate = tf.zeros([]) if self.average is None else self.average.rate(updates)
        return _Decision(tf.where(gate > 0, factor, 0.0), gate, failed, overflow, rate, average_rate)

    def _descend(self, variable: Any, gradient: Tensor, decision: _Decision) -> None:
        # The product is 0 where the factor is, whatever the gradient holds: NaN never reaches the optimizer.
        gradient = tf.math.multiply_no_nan(gradient, tf.cast(decision.gradient_factor, gradient.dtype))
        self.optimizer.update_step(gradient, variable, decision.learning_rate, gate=decision.gate)

    def _rescale(self, factor: Any, decision: _Decision) -> None:
        assert self.loss_scale is not None
        next_factor, good_steps = self.loss_scale.next_values(decision.overflow)
        factor.assign(next_factor)
        self.loss_scale.good_steps.assign(good_steps)


class UpdateStep(Step):
    """Trains a detector on one global batch per call, on all replicas of a strategy.

    Arguments are those of `Step`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.function = tf.function(self._update, input_signature=self._signature, autograph=False)

    def __call__(self, batch: ImageBatch, targets: Targets) -> StepReport:
        """Updates the weights on a global batch."""
        return self.function(batch, targets)

    def of_parts(self, parts: Sequence[tuple[ImageBatch, Targets]]) -> StepReport:
        """Updates the weights on one global batch, the only part of the update."""
        ((batch, targets),) = parts
        return self(batch, targets)

    def _update(self, batch: ImageBatch, targets: Targets) -> StepReport:
        return self._apply(*self.strategy.run(self._compute, args=(batch, targets)))

    def _compute(self, batch: ImageBatch, targets: Targets) -> tuple:
        """Runs on each replica; what it returns, the statistics apart, is equal on all of them."""
        statistics = [tf.identity(v) for v in self._statistics]
        divisor = _mean_over_replicas if self.losses_over == "update" else tf.identity
        gradients, losses, metrics = self._differentiate(batch, targets, divisor)
        summed = sum_over_replicas((gradients, losses, metrics))
        return *self._conclude(*summed), statistics


def sum_over_replicas(values: Any) -> Any:
    """Sums on each replica, of a structure of tensors of all of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _mean_over_replicas(count: Tensor) -> Tensor:
    """The divisor with which the mean of the replicas' losses is the loss of all their images."""
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return count if replicas == 1 else sum_over_replicas(count) / replicas


def raw_variable(variable: Any) -> Any:
    """Returns the TensorFlow variable of a Keras variable; under a strategy the one over all replicas."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _is_statistic(variable: Any) -> bool:
    return variable.name.split("/")[-1].startswith("moving_")


def _follow(mean: Any, weights: Any, decision: _Decision) -> None:
    rate = tf.cast(decision.gate * decision.average_rate, mean.dtype)
    mean.assign_add(rate * (tf.convert_to_tensor(weights) - tf.convert_to_tensor(mean)))


def _keep_or_restore(variable: Any, before: Tensor, decision: _Decision) -> None:
    variable.assign(tf.where(decision.gate > 0, tf.convert_to_tensor(variable), before))
