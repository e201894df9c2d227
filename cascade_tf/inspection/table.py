"""What splits hold as tables of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cascade_tf.inspection.inspected import Inspected
from cascade_tf.inspection.statistics import Statistics

_QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
_GAP = "  "


def _share(key: str) -> Callable[[Statistics], str]:
    def text(statistics: Statistics) -> str:
        count = statistics.by_size[key]
        return f"{count:,} ({100 * count / max(statistics.objects, 1):.0f} %)"

    return text


ROWS: Mapping[str, Callable[[Statistics], str]] = {
    "images": lambda s: f"{s.images:,}",
    "without objects": lambda s: f"{s.empty:,}",
    "objects": lambda s: f"{s.objects:,}",
    "objects of an image, most": lambda s: f"{s.counts.max(initial=0):,}",
    "crowds and regions": lambda s: f"{s.crowds:,}",
    "ignored or difficult objects": lambda s: f"{s.ignored:,}",
    "classes with objects": lambda s: f"{sum(one.objects > 0 for one in s.classes)} of {len(s.classes)}",
    "small, below 32²": _share("small"),
    "medium": _share("medium"),
    "large, above 96²": _share("large"),
    "√area of boxes": lambda s: quantiles(s.scales, ".0f"),
    "height / width": lambda s: quantiles(s.aspects, ".2f"),
    "images' shorter side": lambda s: quantiles(s.image_sizes.min(axis=1, initial=1 << 31), ".0f"),
    "images' longer side": lambda s: quantiles(s.image_sizes.max(axis=1, initial=0), ".0f"),
}
"""Figures of a split by their names; five numbers are the least, 10, 50 and 90 percent, and the most."""


def quantiles(values: np.ndarray, form: str) -> str:
    """The least, 10, 50 and 90 percent, and the most, as text."""
    if not len(values):
        return "-"
    return " · ".join(f"{value:{form}}" for value in np.quantile(values, _QUANTILES))


def facts_of(split: Inspected) -> dict[str, str]:
    """Returns each of ``ROWS``, and how much is broken, as texts by their names."""
    return {
        **{name: text(split.statistics) for name, text in ROWS.items()},
        "broken records": f"{len(split.dataset.broken):,}",
        "broken pictures": f"{len(split.pictures.broken):,}",
        "records without a box": f"{len(split.dropped):,}",
    }


def split_table(splits: Mapping[str, Inspected]) -> str:
    """Returns a table with a column for each split and a row for each fact."""
    facts = [facts_of(split) for split in splits.values()]
    return aligned([["", *splits], *([name, *(column[name] for column in facts)] for name in facts[0])])


def class_table(splits: Mapping[str, Inspected]) -> str:
    """Returns a table with the objects of each class, and in how many images they are; the most first."""
    counts = {
        name: {one.name: one for one in split.statistics.classes}
        for name, split in splits.items()
        if split.dataset.labelled
    }
    names = dict.fromkeys(name for of_split in counts.values() for name in of_split)

    def total(name: str) -> int:
        return sum(of_split[name].objects for of_split in counts.values() if name in of_split)

    rows = [["class", *(f"{split}: objects (images)" for split in counts)]]
    for name in sorted(names, key=total, reverse=True):
        found = [of_split.get(name) for of_split in counts.values()]
        rows.append([name, *("-" if one is None else f"{one.objects:,} ({one.images:,})" for one in found)])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of texts as lines; the first column is aligned to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        _GAP.join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
