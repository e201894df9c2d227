"""Stochastic gradient descent as detectors are trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.structures import Tensor
from cascade_tf.training.schedule import make_schedule
from cascade_tf.training.settings import TrainConfig

# Scale and offset of every normalisation layer, Keras' own included, bear these names.
NORMALIZATION_VARIABLES = ("gamma", "beta")


@keras.saving.register_keras_serializable(package="cascade_tf")
class MomentumSGD(keras.optimizers.Optimizer):
    """SGD whose weight decay is the gradient of an L2 penalty, added before the momentum.

    With gradient ``g``, weights ``w`` and velocity ``v``::

        v = momentum * v + (g + l2 * w)
        w = w - learning_rate * v

    The published schedules of detectors were tuned for this. Keras' ``weight_decay`` is something else: that
    one takes ``learning_rate * weight_decay * w`` from the weights outside of the momentum, which with a
    momentum of 0.9 amounts to a tenth of the decay. The velocity holds gradients, not steps (as in PyTorch;
    Keras and Caffe multiply by the learning rate first), so that a drop of the learning rate acts at once.

    Args:
        learning_rate: a float or a schedule.
        momentum: share of the velocity that an update keeps, in [0, 1).
        l2: factor of the weights in the gradient.
        undecayed: variables without weight decay. Each entry is a pattern for names (the last part of a
            variable's path), or, with a slash in it, for whole paths; ``*`` stands for any text.
        doubled: variables whose learning rate is doubled, in the same way.
        **kwargs: of ``keras.optimizers.Optimizer``.

    Raises:
        ValueError: Keras' own ``weight_decay`` is given too.
    """

    def __init__(
        self,
        learning_rate: Any = 0.02,
        momentum: float = 0.9,
        l2: float = 0.0,
        undecayed: Sequence[str] = NORMALIZATION_VARIABLES,
        doubled: Sequence[str] = (),
        name: str = "momentum_sgd",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("weight_decay") is not None:
            raise ValueError(
                f"weight_decay: got {kwargs['weight_decay']}, expected none: this optimizer decays by l2"
            )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = float(momentum)
        self.l2 = float(l2)
        self.undecayed = tuple(undecayed)
        self.doubled = tuple(doubled)

    def build(self, variables: list[Any]) -> None:
        """Creates one velocity per variable; call it inside the strategy's scope."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        self._is_decayed = [not matches(variable, self.undecayed) for variable in variables]
        self._rate_factors = [2.0 if matches(variable, self.doubled) else 1.0 for variable in variables]

    def update_step(
        self, gradient: Tensor, variable: Any, learning_rate: Tensor, gate: Tensor | None = None
    ) -> None:
        """Updates one variable.

        Args:
            gradient: of the variable's shape, finite.
            variable: one of those that the optimizer was built with.
            learning_rate: scalar.
            gate: scalar 1 to update, 0 to leave weights and velocity exactly as they are; None: update. A
                number instead of a branch, because a branch makes a GPU wait for the host in every step.
        """
        index = self._get_variable_index(variable)
        weights = variable if isinstance(variable, tf.Variable) else variable.value
        gradient = tf.cast(tf.convert_to_tensor(gradient), weights.dtype)
        rate = self._rate_factors[index] * tf.cast(learning_rate, weights.dtype)
        gate = tf.ones([], weights.dtype) if gate is None else tf.cast(gate, weights.dtype)
        if self.l2 and self._is_decayed[index]:
            gradient += gate * self.l2 * tf.convert_to_tensor(weights)
        # One kernel for both lines of the class's law.
        tf.raw_ops.ResourceApplyMomentum(
            var=weights.handle,
            accum=self.velocities[index].value.handle,
            lr=gate * rate,
            grad=gradient,
            momentum=gate * self.momentum + (1 - gate),
            use_locking=True,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        config.pop("weight_decay", None)
        patterns = {"undecayed": list(self.undecayed), "doubled": list(self.doubled)}
        return {**config, "momentum": self.momentum, "l2": self.l2, **patterns}


def make_optimizer(settings: TrainConfig) -> MomentumSGD:
    """Returns the optimizer of a run, also for ``detector.compile(optimizer=...)``.

    It does not clip: under a strategy the gradient of the global batch must be clipped after it is summed
    over the replicas, which ``UpdateStep`` does. With ``fit`` on one device pass ``global_clipnorm`` to
    `MomentumSGD`.
    """
    undecayed = (*NORMALIZATION_VARIABLES, *(() if settings.decay_biases else ("bias",)), *settings.undecayed)
    return MomentumSGD(
        make_schedule(settings), settings.momentum, settings.weight_decay, undecayed, settings.doubled
    )


def matches(variable: Any, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is for a variable; see ``MomentumSGD``."""
    path = getattr(variable, "path", variable.name).split(":")[0]
    name = path.split("/")[-1]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)
