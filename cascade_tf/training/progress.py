"""The run as one line on the terminal: steps, time left, images per second, losses."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping

import tqdm
from absl import logging


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
    """A progress bar on a terminal, else lines in the log.

    Args:
        steps: of the whole run.
        start_step: steps that are done already.
        bar: True or False force or forbid the bar; None: a bar where stderr is a terminal.
    """

    def __init__(self, steps: int, start_step: int = 0, bar: bool | None = None) -> None:
        self._steps = steps
        self._bar = tqdm.tqdm(
            total=steps,
            initial=start_step,
            unit="step",
            desc="training",
            dynamic_ncols=True,
            disable=not (sys.stderr.isatty() if bar is None else bar),
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Counts one step."""
        self._bar.update(1)

    def show(self, step: int, losses: Mapping[str, float], images_per_second: float) -> None:
        """Shows the losses, summed per part of the model."""
        text = f"{images_per_second:.1f} images/s, {describe_losses(losses)}"
        self._bar.set_postfix_str(text)
        if self._bar.disable:
            logging.info("step %d of %d: %s", step, self._steps, text)


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
