"""What a training run logged, as lines for charts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cascade_tf.report.charts import Series

_LOSS = re.compile(r"(?:(rpn)|stage(\d+))_(?:objectness|class|box|mask)")
_TOTAL = ("total", "total_loss", "loss")
_MAX_POINTS = 240


class History:
    """The lines of ``metrics.jsonl``, one mapping per line.

    A line has a ``step``; its other numbers may lie in nested mappings (``losses``, ``metrics``) or have
    names with slashes: the last part of a name counts, except in ``evaluation``, where benchmarks name their
    numbers ``voc2007/AP/car``. Anything that is not a number is passed over.

    Args:
        lines: the log, in any order.
    """

    def __init__(self, lines: Sequence[Mapping[str, Any]]):
        flat = [_flatten(line) for line in lines]
        self.lines = sorted((line for line in flat if "step" in line), key=lambda line: line["step"])

    @property
    def stages(self) -> list[int]:
        """Numbers of the cascade's stages that the log speaks of."""
        found = {match[1] for line in self.lines for key in line if (match := re.match(r"stage(\d+)_", key))}
        return sorted(int(stage) for stage in found)

    @property
    def has_masks(self) -> bool:
        """Whether the log speaks of mask heads."""
        return any(re.fullmatch(r"stage\d+_mask", key) for line in self.lines for key in line)

    def last_step(self) -> int:
        """The last step that was logged, 0 if there is none."""
        return int(self.lines[-1]["step"]) if self.lines else 0

    def values(self, key: str) -> tuple[list[float], list[float]]:
        """Returns (steps, values) of the lines that have a number of this name."""
        pairs = [(line["step"], line[key]) for line in self.lines if key in line]
        return [x for x, _ in pairs], [y for _, y in pairs]

    def losses(self) -> list[tuple[str, list[float], list[float]]]:
        """Returns (name, steps, values) of the total loss, the RPN's and each stage's, as far as logged."""
        names = ["total", "RPN", *(f"stage {stage}" for stage in self.stages)]
        curves: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
        for line in self.lines:
            for name, value in _grouped_losses(line).items():
                curves[name][0].append(line["step"])
                curves[name][1].append(value)
        return [(name, *curve) for name, curve in curves.items() if curve[0]]


def smooth_lines(
    name: str, x: Sequence[float], y: Sequence[float], color: int, *, dashed: bool = False
) -> list[Series]:
    """Returns a faint line of the values and a strong one of their local mean, of a few hundred points each.

    A dashed line has no faint one.
    """
    x, y = _thin(x, y)
    strong = Series(name, x, _local_means(y, len(y) // 25), color, dashed=dashed)
    return [strong] if dashed else [Series("", x, y, color, faint=True), strong]


def _local_means(y: Sequence[float], reach: int) -> list[float]:
    """Means over windows centred on each value, narrower towards the ends: they hardly lag or lean."""
    means = []
    for i in range(len(y)):
        half = max(min(reach, i, len(y) - 1 - i), reach // 3)
        finite = [value for value in y[max(i - half, 0) : i + half + 1] if math.isfinite(value)]
        means.append(sum(finite) / len(finite) if finite else math.nan)
    return means


def _flatten(line: Mapping[str, Any], *, whole_names: bool = False) -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in line.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, whole_names=key == "evaluation")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            flat[key if whole_names else key.rsplit("/", 1)[-1]] = float(value)
    return flat


def _grouped_losses(line: Mapping[str, float]) -> dict[str, float]:
    groups: dict[str, float] = {}
    for key, value in line.items():
        if match := _LOSS.fullmatch(key):
            name = "RPN" if match[1] else f"stage {int(match[2])}"
            groups[name] = groups.get(name, 0.0) + value
    total = next((line[key] for key in _TOTAL if key in line), sum(groups.values()) if groups else None)
    return groups if total is None else {"total": total, **groups}


def _thin(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Means over runs of neighbours, so that a long log does not make a heavy page."""
    run = math.ceil(len(x) / _MAX_POINTS)
    if run <= 1:
        return list(x), list(y)
    starts = range(0, len(x), run)
    return (
        [sum(x[i : i + run]) / len(x[i : i + run]) for i in starts],
        [sum(y[i : i + run]) / len(y[i : i + run]) for i in starts],
    )
