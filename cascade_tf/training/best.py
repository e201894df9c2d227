"""The best weights of a run, judged by one number of their evaluations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from cascade_tf.files import write_atomically

BEST_WEIGHTS = "best.weights.h5"
BEST_FILE = "best.json"
_MEASURED_BY = "measured_by"


class BestKeeper:
    """Keeps the weights whose evaluation had the best number, over interruptions of the run too.

    A run that goes on and was judged by another number before, or by one that was measured otherwise, begins
    anew with the next evaluation: the two cannot be compared.

    Args:
        workdir: folder of the run.
        save: writes the weights at hand to a path.
        key: of the number in the evaluation's results.
        measured_by: what the number's name does not say of how it is measured, such as a rule; may be empty.
        lower_is_better: whether the best number is the lowest.
        fresh: whether the run starts anew; what an earlier run left in the folder is then removed, and not
            read by the processes that may not remove it.
        writes: whether this process is the one that may.

    Attributes:
        best: ``step`` and the number of the best weights, which is None while it is not defined for want of
            ground truth; None before the first evaluation.

    Raises:
        ValueError: the folder's ``best.json`` is broken.
    """

    def __init__(
        self,
        workdir: Path,
        save: Callable[[Path], None],
        key: str = "AP",
        *,
        measured_by: str = "",
        lower_is_better: bool = False,
        fresh: bool = False,
        writes: bool = True,
    ) -> None:
        self._workdir = workdir
        self._save = save
        self._key = key
        self._measured_by = measured_by
        self._lower_is_better = lower_is_better
        if fresh and writes:
            for name in (BEST_FILE, BEST_WEIGHTS):
                (workdir / name).unlink(missing_ok=True)
        self.best = None if fresh else self._read()

    def offer(self, step: int, results: Mapping[str, float]) -> bool:
        """Keeps the weights at hand if their number is better than the best so far; the first ones always.

        While no number is defined, because there is no ground truth, the newest weights are kept.

        Raises:
            ValueError: the results have no such number.
        """
        if self._key not in results:
            raise ValueError(
                f"evaluation: got {', '.join(results) or 'nothing'}, expected {self._key} among them"
            )
        value = _defined(results[self._key])
        if self.best is not None and not self._replaces(value, self.best[self._key]):
            return False
        self._save(self._workdir / BEST_WEIGHTS)
        self.best = {"step": step, self._key: value}
        kept = self.best | ({_MEASURED_BY: self._measured_by} if self._measured_by else {})
        write_atomically(self._workdir / BEST_FILE, json.dumps(kept) + "\n")
        return True

    def _replaces(self, value: float | None, best: float | None) -> bool:
        if best is None or value is None:
            return best is None
        return value < best if self._lower_is_better else value > best

    def _read(self) -> dict[str, Any] | None:
        path = self._workdir / BEST_FILE
        if not path.exists() or not (self._workdir / BEST_WEIGHTS).exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            # Older versions have not written it.
            measured_by = content.get(_MEASURED_BY, self._measured_by)
            (other,) = content.keys() - {"step", _MEASURED_BY}
            if (other, measured_by) != (self._key, self._measured_by):
                logging.warning(
                    "%s: the best weights so far were judged by %s; from here on %s judges, and the next "
                    "evaluation's weights take their place",
                    path,
                    _called(other, measured_by),
                    _called(self._key, self._measured_by),
                )
                return None
            return {"step": int(content["step"]), self._key: _defined(content[self._key])}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: got no step and {self._key} in it ({error})") from None


def _called(key: str, measured_by: str) -> str:
    return f"{key} ({measured_by})" if measured_by else key


def _defined(value: float | None) -> float | None:
    """The number as JSON has it: None if it is not defined, for which older versions wrote -1."""
    return None if value is None or math.isnan(value) or value == -1.0 else float(value)
