"""The best weights of a run, judged by AP."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cascade_tf.files import write_atomically

BEST_WEIGHTS = "best.weights.h5"
BEST_FILE = "best.json"


class BestKeeper:
    """Keeps the weights whose evaluation had the highest AP, over interruptions of the run too.

    Args:
        workdir: folder of the run.
        save: writes the weights at hand to a path.
        key: of the number in the evaluation's results.
        fresh: whether the run starts anew; what an earlier run left in the folder is then removed.

    Raises:
        ValueError: the folder's ``best.json`` is broken.
    """

    def __init__(
        self, workdir: Path, save: Callable[[Path], None], key: str = "AP", *, fresh: bool = False
    ) -> None:
        self._workdir = workdir
        self._save = save
        self._key = key
        if fresh:
            for name in (BEST_FILE, BEST_WEIGHTS):
                (workdir / name).unlink(missing_ok=True)
        self.best = self._read()

    def offer(self, step: int, results: Mapping[str, float]) -> bool:
        """Keeps the weights at hand if their AP is above the best so far; the first ones always.

        While no AP is a number, because there is no ground truth, the newest weights are kept.

        Raises:
            ValueError: the results have no AP.
        """
        if self._key not in results:
            raise ValueError(
                f"evaluation: got {', '.join(results) or 'nothing'}, expected {self._key} among them"
            )
        value = float(results[self._key])
        # An AP that is not a number (no ground truth) loses to every other.
        rank = -1.0 if math.isnan(value) else value
        if self.best is not None and (rank < self.best[self._key] or rank == self.best[self._key] >= 0):
            return False
        self._save(self._workdir / BEST_WEIGHTS)
        self.best = {"step": step, self._key: rank}
        write_atomically(self._workdir / BEST_FILE, json.dumps(self.best) + "\n")
        return True

    def _read(self) -> dict[str, Any] | None:
        path = self._workdir / BEST_FILE
        if not path.exists() or not (self._workdir / BEST_WEIGHTS).exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {"step": int(content["step"]), self._key: float(content[self._key])}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: got no step and {self._key} in it ({error})") from None
