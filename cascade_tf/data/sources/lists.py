"""The split that is wanted, out of those that a data set has lists for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from cascade_tf.data.layouts import ALL

List = TypeVar("List")


def choose_list(root: Path, split: str, lists: Mapping[str, List], *, splitting: bool) -> tuple[List, bool]:
    """Chooses the list of a split.

    Args:
        root: what messages begin with.
        split: "train", "val", "all" or the name of a list.
        lists: by the names of splits; "all" is that of all images.
        splitting: whether the list of all images, or that of images to train on where there is none to
            measure on, may be split.

    Returns:
        The list, and whether the split is still to be chosen from it.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: all images are in one list, and it may not be split.
    """
    sides = {"train", "val"}
    if split in sides and splitting and "val" not in lists:
        for name in ("train", ALL):
            if name in lists:
                return lists[name], True
    if split in lists:
        return lists[split], False
    if split in sides and ALL in lists and not sides & lists.keys():
        raise ValueError(
            f"{root}: has no lists of splits, expected a part to measure on: val_fraction takes one (in "
            f"programs --set data.val_fraction=0.2), the split {ALL!r} is all images"
        )
    remedy = "; val_fraction takes a part of train (in programs --set data.val_fraction=0.2)"
    raise FileNotFoundError(
        f"{root}: no split {split!r}, expected one of {', '.join(sorted(lists))}"
        + (remedy if split == "val" and "train" in lists else "")
    )
