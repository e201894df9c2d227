"""The updates since the last line of the log, fetched from the device in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.structures import Tensor
from cascade_tf.training.step import StepReport


class NonFiniteLossError(FloatingPointError):
    """A loss or the gradient of an update is not finite; the weights are those before that update.

    Attributes:
        step: number of the update, counted from 1.
        names: losses that are not finite; ``"gradient"`` where all losses are.
        image_ids: the data set's ids of the images of that update.
    """

    def __init__(self, step: int, values: Mapping[str, float], image_ids: Sequence[int]) -> None:
        self.step = step
        self.names = tuple(values)
        self.image_ids = tuple(int(i) for i in image_ids)
        found = ", ".join(f"{name} = {value}" for name, value in values.items())
        ids = ", ".join(str(i) for i in self.image_ids)
        super().__init__(
            f"step {step}: got {found}, expected finite values; images {ids}; "
            "no weight was changed by this step or later ones"
        )


class Summary(NamedTuple):
    """Means over the updates of a window.

    Attributes:
        losses: by name, ``total`` included.
        metrics: by name, over the updates where they are finite (a stage without positives has no mean IoU).
        learning_rate: of the last update.
        gradient_norm: before clipping.
        skipped: updates that a float16 overflow cost.
    """

    losses: dict[str, float]
    metrics: dict[str, float]
    learning_rate: float
    gradient_norm: float
    skipped: int


class Window:
    """Keeps the reports of updates as they lie on the device: fetching each would make the device wait."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, StepReport, Tensor]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, step: int, report: StepReport, image_ids: Tensor) -> None:
        """Adds the report of update ``step`` (from 1) on the images of those ids."""
        self._entries.append((step, report, image_ids))

    def check(self) -> None:
        """Raises NonFiniteLossError if an update since the last summary was not finite."""
        if not self._entries or float(self._entries[-1][1].failed) == 0.0:
            return
        step, report, image_ids = next(e for e in self._entries if float(e[1].failed) > 0.0)
        values = {name: float(value) for name, value in report.losses.items() if name != "total"}
        bad = {name: value for name, value in values.items() if not np.isfinite(value)}
        ids = np.asarray(image_ids).tolist()
        raise NonFiniteLossError(step, bad or {"gradient": float(report.gradient_norm)}, ids)

    def summarize(self) -> Summary:
        """Returns the means and starts a new window.

        Raises:
            NonFiniteLossError: an update was not finite.
        """
        self.check()
        reports = [report for _, report, _ in self._entries]
        values = tf.nest.map_structure(lambda *column: np.asarray(tf.stack(column), np.float64), *reports)
        self._entries = []
        applied = values.applied > 0
        return Summary(
            losses={name: _finite_mean(column) for name, column in values.losses.items()},
            metrics={name: _finite_mean(column) for name, column in values.metrics.items()},
            learning_rate=float(values.learning_rate[-1]),
            gradient_norm=_finite_mean(values.gradient_norm[applied]),
            skipped=int(np.sum(~applied)),
        )


def _finite_mean(column: Any) -> float:
    finite = column[np.isfinite(column)]
    return float(finite.mean()) if finite.size else float("nan")
