"""Which pictures of a data set show what is in it: some at random, and those that are out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cascade_tf.data.examples import Example
from cascade_tf.inspection.inspected import Inspected

_AT_RANDOM = 12
_OF_A_KIND = 3


class Chosen(NamedTuple):
    """A picture to show.

    Attributes:
        split: its name.
        example: the picture.
        class_names: of the split.
    """

    split: str
    example: Example
    class_names: tuple[str, ...]


class Group(NamedTuple):
    """Pictures that are chosen for one reason.

    Attributes:
        title: the reason.
        pictures: the first is the one to which it applies the most.
    """

    title: str
    pictures: list[Chosen]


def choose_pictures(splits: Mapping[str, Inspected], seed: int = 0) -> list[Group]:
    """Chooses pictures; none comes twice, and their number does not grow with the data set.

    Args:
        splits: by their names.
        seed: of the choice at random, which takes as many of each split.
    """
    rng = np.random.default_rng(seed)
    every = [
        Chosen(name, example, split.dataset.class_names)
        for name, split in splits.items()
        for example in split.examples
    ]
    taken: set[int] = set()
    groups = []
    for title, score in _SCORES.items():
        scores = np.array([score(one.example) for one in every])
        # Ties are in a random order: the first of a data set are often alike.
        order = np.lexsort((rng.random(len(every)), -scores))
        best = [int(i) for i in order if scores[i] > -np.inf and int(i) not in taken][:_OF_A_KIND]
        taken.update(best)
        groups.append(Group(title, [every[i] for i in best]))
    at_random = _random_pictures(every, list(splits), taken, rng)
    return [group for group in (Group("Chosen at random", at_random), *groups) if group.pictures]


def _random_pictures(
    every: list[Chosen], names: list[str], taken: set[int], rng: np.random.Generator
) -> list[Chosen]:
    chosen = []
    for name in names:
        free = [i for i, one in enumerate(every) if one.split == name and i not in taken]
        count = min(len(free), max(1, _AT_RANDOM // len(names)))
        chosen += [every[i] for i in rng.choice(free, count, replace=False)] if free else []
    return chosen


def _objects(example: Example) -> np.ndarray:
    return example.boxes[~(example.crowd | example.ignored)]


def _most_objects(example: Example) -> float:
    count = len(_objects(example))
    return float(count) if count > 1 else -np.inf


def _smallest_object(example: Example) -> float:
    boxes = _objects(example)
    if not len(boxes):
        return -np.inf
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return -float(areas.min()) / (example.width * example.height)


def _oddest_shape(example: Example) -> float:
    boxes = _objects(example)
    if not len(boxes):
        return -np.inf
    sides = boxes[:, 2:] - boxes[:, :2]
    oddest = float(np.abs(np.log(sides[:, 1] / sides[:, 0])).max())
    return oddest if oddest > np.log(2) else -np.inf


def _ignored(example: Example) -> float:
    count = int((example.crowd | example.ignored).sum())
    return float(count) if count else -np.inf


def _empty(example: Example) -> float:
    return -np.inf if len(example.boxes) else 0.0


_SCORES: Mapping[str, Callable[[Example], float]] = {
    "Without objects": _empty,
    "Regions and ignored objects": _ignored,
    "Most objects": _most_objects,
    "Longest and highest objects": _oddest_shape,
    "Smallest objects, as parts of their pictures": _smallest_object,
}
"""How much a picture is what a title says, the rarest first; minus infinity: not at all."""
