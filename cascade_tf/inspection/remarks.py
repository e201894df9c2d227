"""What is odd in a data set, as lines for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from cascade_tf.data.shards.locations import parse_location
from cascade_tf.data.sources.tools.folders import is_picture
from cascade_tf.inspection.inspected import Inspected
from cascade_tf.inspection.pictures import find_duplicates

_SHOWN_DUPLICATES = 5
_SHOWN_CLASSES = 10
_SHOWN_PICTURES = 3


def duplicate_remarks(
    splits: Mapping[str, Inspected], progress: Callable[[int], object] | None = None
) -> list[str]:
    """Says which pictures are there more than once, above all in several splits.

    Args:
        splits: by their names.
        progress: as in `find_duplicates`.
    """
    paths = {name: [example.path for example in split.examples] for name, split in splits.items()}
    within: Counter[str] = Counter()
    shared: dict[tuple[str, ...], list[str]] = {}
    for group in find_duplicates(paths, progress):
        sides = tuple(dict.fromkeys(split for split, _ in group))
        if len(sides) > 1:
            firsts = [next(path for split, path in group if split == side) for side in sides]
            shared.setdefault(sides, []).append(" = ".join(map(os.path.basename, firsts)))
        for side in sides:
            within[side] += sum(split == side for split, _ in group) - 1
    lines = []
    for sides, pairs in shared.items():
        few = ", ".join(first_names(pairs, _SHOWN_DUPLICATES))
        lines.append(
            f"pictures with the same bytes in {' and '.join(sides)}: {len(pairs):,} ({few}); "
            "what is measured on them was learnt"
        )
    lines += [
        f"{name}: {count:,} of {len(paths[name]):,} pictures have the same bytes as another one of them"
        for name, count in within.items()
        if count
    ]
    return lines


def completeness(splits: Mapping[str, Inspected]) -> tuple[list[str], list[str]]:
    """Compares the numbers of images with those that benchmarks have published.

    Args:
        splits: all that are there.

    Returns:
        A line for each part of a benchmark that is complete, and one for each that is not.
    """
    expected: dict[str, int] = {}
    images: dict[str, set[str]] = {}
    for split in splits.values():
        published = None if split.dataset.source is None else split.dataset.source.published
        if published is not None and published.classes == len(split.dataset.categories):
            expected[published.part] = published.images
            images.setdefault(published.part, set()).update(example.path for example in split.examples)
    whole, partial = [], []
    for part, count in expected.items():
        found = len(images[part])
        if found == count:
            whole.append(f"{part}: complete, {count:,} images")
        elif found < count:
            partial.append(
                f"{part}: {found:,} of the {count:,} images of the benchmark, {count - found:,} are missing"
            )
        else:
            partial.append(f"{part}: {found:,} images, the benchmark has {count:,}")
    return whole, partial


def split_remarks(split: Inspected) -> list[str]:
    """Says what is odd in one split: in its records, in its boxes, and in its pictures."""
    lines = [*split.dataset.notes, *split.dropped]
    as_stored, images = split.pictures.as_stored, len(split.dataset.examples)
    if as_stored:
        lines.append(
            f"{as_stored:,} of {images:,} pictures have the annotated size as they are stored, not as "
            "viewers show them; their boxes are taken as stored"
        )
    return lines


def unread_remarks(splits: Mapping[str, Inspected], root: str | os.PathLike[str]) -> list[str]:
    """Says how many pictures lie beside those of some splits and are in none of them.

    Nobody has labelled them, or their labels are elsewhere. Benchmarks choose among the pictures of a folder;
    nothing is said of these.

    Args:
        splits: all that are there.
        root: the folder of the data set, from which messages see the others.
    """
    sources = [split.dataset.source for split in splits.values()]
    if any(source is None or source.published is not None for source in sources):
        return []
    read: dict[str, set[str]] = {}
    for split in splits.values():
        for example in split.dataset.examples:
            if parse_location(example.path) is not None:
                continue  # shards hold nothing else
            folder, name = os.path.split(os.path.normpath(example.path))
            read.setdefault(folder, set()).add(name)
    # Which picture a broken annotation is of may be unknown.
    broken = any(split.dataset.broken for split in splits.values())
    lack = "no annotation that can be read" if broken else "no annotation"
    lines = []
    for folder, names in read.items():
        pictures = {
            entry.name
            for entry in os.scandir(folder)
            if is_picture(entry.name) and not entry.name.startswith(".")
        }
        if unread := sorted(pictures - names):
            few = ", ".join(first_names(unread, _SHOWN_PICTURES))
            shown = os.path.relpath(folder, root)
            lines.append(
                f"pictures in {'the folder' if shown == os.curdir else shown} that are in {lack} and are not "
                f"read: {len(unread):,} of {len(pictures):,} ({few})"
            )
    return lines


def missing_side(splits: Mapping[str, Inspected]) -> list[str]:
    """Says that there is nothing to measure on, where there is something to train on.

    Args:
        splits: all that are there.
    """
    if "train" not in splits or "val" in splits:
        return []
    return [
        "there is no split val, which a training measures on: a file of it may be broken or elsewhere; "
        "--set data.val_fraction=0.2 takes a part of train"
    ]


def class_remarks(splits: Mapping[str, Inspected]) -> list[str]:
    """Says which classes occur in one labelled split and not in another."""
    labelled = {name: split for name, split in splits.items() if split.dataset.labelled}
    present = {
        name: {one.name for one in split.statistics.classes if one.objects}
        for name, split in labelled.items()
    }
    lines = []
    for name, classes in present.items():
        for other, others in present.items():
            missing = sorted(classes - others)
            if missing:
                few = ", ".join(first_names(missing, _SHOWN_CLASSES))
                lines.append(f"{other} has no object of classes that {name} has: {few}")
    return lines


def first_lines(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, and how many more there are."""
    more = [f"... and {len(lines) - most:,} more"] if len(lines) > most else []
    return [*lines[:most], *more]


def first_names(names: Sequence[str], most: int) -> list[str]:
    """The first names, and a sign that there are more."""
    return [*names[:most], *(["..."] if len(names) > most else [])]
