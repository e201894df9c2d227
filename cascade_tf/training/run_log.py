"""What a run leaves behind for people to look at: ``metrics.jsonl`` and TensorBoard events."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cascade_tf.files import write_atomically
from cascade_tf.training.tensorboard import EventWriter
from cascade_tf.training.window import Summary

METRICS_FILE = "metrics.jsonl"
EVENTS_FOLDER = "events"


class RunLog:
    """Appends to the log of a run.

    ``metrics.jsonl`` holds one JSON object per line. Training lines have ``step``, ``losses``, ``metrics``,
    ``learning_rate``, ``gradient_norm``, ``images_per_second``, ``skipped`` and ``time`` (seconds since
    1970); evaluation lines have ``step``, ``evaluation`` and ``time``. A number that is not finite is null.

    Args:
        workdir: folder of the run.
        start_step: step from which the run goes on; lines of later steps, written by a run that ended between
            two checkpoints, are dropped because they will come again.
        writes: False where another process writes the log: this one then only knows what is in it.
    """

    def __init__(self, workdir: Path, start_step: int = 0, *, writes: bool = True) -> None:
        self._path = workdir / METRICS_FILE
        kept = [line for line in read_metrics(workdir) if line["step"] <= start_step]
        self.evaluated_steps = {line["step"] for line in kept if "evaluation" in line}
        self._writes = writes
        if writes:
            write_atomically(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            self._file = self._path.open("a", encoding="utf-8")
            self._events = EventWriter(workdir / EVENTS_FOLDER)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._file.close()
            self._events.close()

    def training(self, step: int, summary: Summary, images_per_second: float) -> None:
        """Adds the means over the updates up to ``step``."""
        self._append({"step": step, **summary._asdict(), "images_per_second": images_per_second})
        rates = {"learning_rate": summary.learning_rate, "gradient_norm": summary.gradient_norm}
        self._scalars("losses", summary.losses, step)
        self._scalars("metrics", summary.metrics, step)
        self._scalars("training", {**rates, "images_per_second": images_per_second}, step)

    def evaluation(self, step: int, results: Mapping[str, float]) -> None:
        """Adds the numbers of an evaluation."""
        self.evaluated_steps.add(step)
        self._append({"step": step, "evaluation": dict(results)})
        self._scalars("evaluation", results, step)

    def pictures(self, step: int, images: Mapping[str, Any]) -> None:
        """Adds sample pictures by name, [H, W, 3] uint8 each."""
        if not self._writes:
            return
        for name, image in images.items():
            self._events.image(f"samples/{name}", image, step)
        self._events.flush()

    def _append(self, line: dict[str, Any]) -> None:
        if not self._writes:
            return
        self._file.write(json.dumps(_finite_or_none({**line, "time": round(time.time(), 3)})) + "\n")
        self._file.flush()

    def _scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        if not self._writes:
            return
        for name, value in values.items():
            if math.isfinite(value):
                self._events.scalar(f"{group}/{name}", value, step)
        self._events.flush()


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's ``metrics.jsonl``; none where there is no file.

    A last line that was cut off is left out.

    Raises:
        ValueError: another line is no JSON object with a step.
    """
    path = workdir / METRICS_FILE
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            lines.append({**line, "step": int(line["step"])})
        except (ValueError, TypeError, KeyError):
            if number < len(texts):
                raise ValueError(f"{path}: line {number} is no JSON object with a step") from None
    return lines


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite_or_none(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
