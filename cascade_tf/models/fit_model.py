"""Keras's ``fit`` for a model that has losses of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import require
from cascade_tf.models.replica_gradients import apply_mean_gradients
from cascade_tf.structures import Batch, InstanceTargets, Targets, Tensor

# What Keras would compute from a model's outputs, and what to do instead.
_NOT_OURS = {
    "loss": "none: the model brings its losses, which compute_losses returns",
    "loss_weights": "none: weights of losses are settings of the parts",
    "metrics": "none: fit shows losses and overlaps; for AP give predict's records to metrics.evaluate_coco",
    "weighted_metrics": "none, as examples have no weights",
}


class FitModel(keras.Model):
    """A model that ``fit`` trains on (batch, targets).

    Under a ``tf.distribute`` strategy, in whose scope the model is made and compiled, a step descends the
    mean of the replicas' losses, clipped once it is taken, as our own loop does. That is the step of one
    device on the whole batch where each replica has as many images, and as many boxes to learn from: some
    losses are means over these, see ``compute_losses`` of the parts.
    """

    @property
    def reported(self) -> Sequence[str]:
        """Names of the losses and metrics that ``fit`` shows."""
        raise NotImplementedError(f"{type(self).__name__} does not say what fit shows")

    @property
    def weighted_by(self) -> Mapping[str, str]:
        """By what ``fit`` weights a metric of a step, name by name; the others count alike in every step."""
        return {}

    def compute_losses(
        self, batch: Batch, targets: Targets | InstanceTargets, training: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses by name, ready to be summed, and metrics; float32 scalars.

        Args:
            batch: images.
            targets: their ground truth.
            training: whether normalisation layers train too.
        """
        raise NotImplementedError(f"{type(self).__name__} does not compute its losses")

    def compile(self, optimizer: Any = "sgd", **kwargs: Any) -> None:
        """Prepares ``fit``; the losses are the model's own, see ``compute_losses``.

        Args:
            optimizer: see ``keras.Model.compile``.
            **kwargs: ``run_eagerly``, ``steps_per_execution`` and such, see there.

        Raises:
            ValueError: losses, metrics or weights of losses are given.
        """
        for name, wanted in _NOT_OURS.items():
            require(kwargs.get(name) is None, name, kwargs.get(name), wanted)
        super().compile(optimizer=optimizer, **kwargs)
        with self.distribute_strategy.scope():
            self._means = _Means(["loss", *self.reported])

    def get_compile_config(self) -> dict[str, Any] | None:
        """What a ``.keras`` file keeps of ``compile``: the optimizer; None before ``compile``."""
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with the optimizer of ``get_compile_config``, ready to receive its state."""
        self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))
        self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of losses and metrics, which ``fit`` reports and resets at every epoch."""
        own = self._means.by_name if self.compiled else {}
        return [*own.values(), *(metric for metric in super().metrics if metric.name not in own)]

    def fit(self, *args: Any, shuffle: bool = False, **kwargs: Any) -> Any:
        """Trains as ``keras.Model.fit`` does, on a ``tf.data.Dataset`` of (ImageBatch, Targets).

        Both may be dicts by the names of the fields. A data set comes in its own order: ``shuffle`` is False,
        because Keras warns about its own default.
        """
        return super().fit(*args, shuffle=shuffle, **kwargs)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One step of Keras ``fit`` on (ImageBatch, Targets)."""
        batch, targets = _examples(data)
        with tf.GradientTape() as tape:
            losses, metrics = self.compute_losses(batch, targets)
            # Layers of a user's backbone may bring losses of their own, such as weight penalties.
            total = tf.add_n([*losses.values(), *self.losses])
            scaled = self.optimizer.scale_loss(total) if hasattr(self.optimizer, "scale_loss") else total
        variables = self.trainable_variables
        apply_mean_gradients(self.optimizer, tape.gradient(scaled, variables), variables)
        return self._report(total, losses, metrics)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Losses on validation data in Keras ``fit``."""
        losses, metrics = self.compute_losses(*_examples(data), training=False)
        return self._report(tf.add_n(list(losses.values())), losses, metrics)

    def _report(
        self, total: Tensor, losses: dict[str, Tensor], metrics: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        values = {"loss": total, **losses, **metrics}
        # A step without foreground says nothing about overlaps, one with much says more.
        weights = self.weighted_by
        for name, mean in self._means.by_name.items():
            mean.update_state(values[name], values[weights[name]] if name in weights else None)
        return {name: mean.result() for name, mean in self._means.by_name.items()}

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds what is left to build before the first step under a strategy: the optimizer.

        Keras would run the model on the mean of the replicas' batches, which flags such as ``valid`` do not
        have. A detector has its weights since it was constructed.
        """
        if self._distribute_strategy is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)


def _examples(data: Any) -> tuple[Any, Any]:
    batch, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
    require(targets is not None, "y", None, "Targets: losses need ground truth")
    require(weights is None, "sample_weight", weights, "none, as examples have no weights")
    return batch, targets


class _Means:
    """Running means that Keras does not track: they belong to ``fit``, not to the model's saved state."""

    def __init__(self, names: Sequence[str]):
        self.by_name = {name: keras.metrics.Mean(name=name) for name in names}
