"""The run as one line on the terminal: steps, time left, images per second, losses."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from cascade_tf.progress import Bar


class Speed:
    """Images per second of training alone; time between `pause` and `resume` does not count."""

    def __init__(self) -> None:
        self._images = 0
        self._seconds = 0.0
        self._since = time.perf_counter()

    def add(self, images: int) -> None:
        """Counts images that were trained on."""
        self._images += images

    def pause(self) -> None:
        """Stops the clock."""
        self._seconds += time.perf_counter() - self._since

    def resume(self) -> None:
        """Lets the clock go on."""
        self._since = time.perf_counter()

    def restart(self) -> float:
        """Returns the images per second since the last restart and counts from 0."""
        self.pause()
        rate = self._images / self._seconds if self._images and self._seconds > 0 else math.nan
        self._images, self._seconds = 0, 0.0
        self.resume()
        return rate


class Progress:
    """A training run as a progress bar on a terminal, elsewhere as a line of the log every half minute.

    Args:
        steps: of the whole run.
        start_step: steps that are done already.
        bar: True or False force or forbid the bar; None: a bar where stderr is a terminal.
    """

    def __init__(self, steps: int, start_step: int = 0, bar: bool | None = None) -> None:
        self._shown = False
        self._bar = Bar(
            steps,
            "training",
            "step",
            first="tracing the training step",
            start=start_step,
            leave=True,
            terminal=bar,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self._bar.close(finished=kind is None)

    def advance(self) -> None:
        """Counts one step."""
        self._bar.update(1)

    def show(self, losses: Mapping[str, float], images_per_second: float) -> None:
        """Shows the losses, summed per part of the model; those of a run's beginning at once."""
        self._bar.note(f"{images_per_second:.1f} images/s, {describe_losses(losses)}")
        if not self._shown or self._bar.count == self._bar.total:
            self._bar.log_now()
        self._shown = True

    def pause(self) -> None:
        """Stops the clock while something other than training is done."""
        self._bar.pause()

    def resume(self) -> None:
        """Lets the clock go on."""
        self._bar.resume()


def describe_losses(losses: Mapping[str, float]) -> str:
    """Returns the total and its parts, e.g. ``loss 1.30 (rpn 0.20, stage1 1.10)``.

    The part is the loss's name up to the first underscore.
    """
    parts: dict[str, float] = {}
    for name, value in losses.items():
        if name != "total":
            part = name.split("_")[0]
            parts[part] = parts.get(part, 0.0) + value
    listed = ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
    return f"loss {sum(parts.values()):.3g} ({listed})"
