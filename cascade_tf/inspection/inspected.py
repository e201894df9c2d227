"""One split with all that was found in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Example
from cascade_tf.inspection.pictures import PictureFaults, find_faults
from cascade_tf.inspection.statistics import Statistics, measure_examples


@dataclass(frozen=True, eq=False)
class Inspected:
    """A split.

    Attributes:
        dataset: as it was read, the images whose pictures are broken included.
        pictures: what was found in their files.
    """

    dataset: CocoDataset
    pictures: PictureFaults

    @property
    def problems(self) -> list[str]:
        """A line for each thing that would stop a training."""
        return [*self.dataset.broken, *self.pictures.broken.values()]

    @property
    def dropped(self) -> list[str]:
        """A line for each record that cannot be an object and is left out, which stops nothing."""
        broken = set(self.dataset.broken)
        return [line for line in self.dataset.dropped if line not in broken]

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The images whose pictures can be used."""
        return tuple(
            example for example in self.dataset.examples if example.image_id not in self.pictures.broken
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Figures of the images whose pictures can be used."""
        return measure_examples(self.examples, self.dataset.categories)

    def usable(self) -> CocoDataset:
        """Returns the data set without the images whose pictures are broken.

        Raises:
            ValueError: no image is left.
        """
        broken = self.pictures.broken
        return self.dataset.without(broken, list(broken.values())) if broken else self.dataset


def inspect(
    dataset: CocoDataset,
    level: str = "decode",
    *,
    upright: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Inspected:
    """Looks at the pictures of a split.

    Args:
        dataset: as it was read, without its broken records.
        level: as in `find_faults`.
        upright: likewise.
        progress: likewise.
    """
    return Inspected(dataset, find_faults(dataset, level, upright=upright, progress=progress))
