"""Splits the images of one annotation file into those to train on and those to measure on.

The side of an image follows from its name alone, by a hash. So it is the same in every program, whatever the
order of the file, and stays the same when images are added; a permutation would mix the sides then.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cascade_tf.wording import count_of

SIDES = ("train", "val")


@dataclass(frozen=True)
class Splitting:
    """How one file becomes two splits.

    Attributes:
        val_fraction: the share of the images to measure on, in (0, 1).
        seed: another seed gives another choice.
        split_by: a regular expression that is searched in each name. Names with equal text in its first group
            (without groups, in the match) are on the same side, for example the frames of a video. Names that
            do not match stand for themselves. None: each name stands for itself.
    """

    val_fraction: float
    seed: int = 0
    split_by: str | None = None
    UNUSED: ClassVar[str] = "val_fraction is not used: the data set has files for both splits"

    def __post_init__(self) -> None:
        if not 0.0 < self.val_fraction < 1.0:
            raise ValueError(f"val_fraction: got {self.val_fraction}, expected a share between 0 and 1")
        check_pattern(self.split_by)

    def choose(self, names: Sequence[str]) -> list[str]:
        """Returns "train" or "val" for each name.

        A group belongs to "val" if its hash, a number in [0, 1), is below ``val_fraction``. Where that leaves
        the share of the images outside of half to one and a half ``val_fraction``, as it may with few
        groups, the next groups in the order of the hash change sides. Both sides get at least one image.

        Args:
            names: of the images, ``/`` between their parts.

        Raises:
            ValueError: there are fewer than two groups.
        """
        groups = self._groups(names)
        sizes: dict[str, int] = {}
        for group in groups:
            sizes[group] = sizes.get(group, 0) + 1
        if len(sizes) < 2:
            by = "" if self.split_by is None else f" by split_by {self.split_by!r}"
            images = count_of(len(names), "image makes", "images make")
            raise ValueError(f"{images} {len(sizes)} group{by}, expected at least 2 to split")
        target = self.val_fraction * len(names)
        most = min(max(1.5 * target, 1.0), len(names) - 1.0)
        order = sorted(sizes, key=lambda group: (self._hash(group), group))
        chosen: set[str] = set()
        count = 0
        for group in order:
            wanted = self._hash(group) < self.val_fraction or count < 0.5 * target
            if wanted and count + sizes[group] <= most:
                chosen.add(group)
                count += sizes[group]
        if not chosen:  # every group is larger than the share
            chosen.add(min(order, key=lambda group: sizes[group]))
        return [SIDES[group in chosen] for group in groups]

    def of_split(self, split: str, names: Sequence[str]) -> list[bool]:
        """Says of each name whether it is of a split, "train" or "val"; see `choose`."""
        return [side == split for side in self.choose(names)]

    def remark(self, split: str, count: int) -> str:
        """Says in one line what a split was taken from."""
        by = f", together what {self.split_by!r} finds equal" if self.split_by else ""
        part = f"val_fraction {self.val_fraction:g}, seed {self.seed}{by}"
        images = count_of(count, "image", "images")
        return f"{split} is {images} of a file that is split, chosen by their names ({part})"

    def _groups(self, names: Sequence[str]) -> list[str]:
        names = [unicodedata.normalize("NFC", name) for name in names]
        if self.split_by is None:
            return names
        matches = [re.search(self.split_by, name) for name in names]
        if not any(matches):
            raise ValueError(f"split_by: {self.split_by!r} matches no name, the first is {names[0]!r}")
        return [
            name if match is None else "group " + (match.group(1 if match.re.groups else 0) or "")
            for name, match in zip(names, matches, strict=True)
        ]

    def _hash(self, group: str) -> float:
        digest = hashlib.sha256(f"{self.seed}:{group}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56


def check_pattern(pattern: str | None) -> None:
    """Checks that a text is a regular expression.

    Raises:
        ValueError: it is none.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"split_by: got {pattern!r}, expected a regular expression ({error})") from None
