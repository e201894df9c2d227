"""What a part takes for granted of the maps that it reads, so that a detector can check it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class MapStrides(NamedTuple):
    """Maps and the pixels per cell that a part takes them to have, as its ``map_strides`` lists them.

    Attributes:
        setting: that says so, such as ``"strides"``; dots separate parts inside parts.
        maps: names of the maps.
        strides: of each of them.
    """

    setting: str
    maps: tuple[str, ...]
    strides: tuple[float, ...]

    def inside(self, prefix: str) -> MapStrides:
        """The same as the part says it that has this one under the name ``prefix``."""
        return self._replace(setting=f"{prefix}.{self.setting}")


def check_map_strides(assumed: Iterable[MapStrides], given: Mapping[str, float], source: str) -> None:
    """Compares what parts assume with what there is; of maps that are missing the parts speak themselves.

    Args:
        assumed: of the parts.
        given: pixels per cell of all maps.
        source: what the maps come from, for the message.

    Raises:
        ValueError: they differ; the message says what to set.
    """
    for one in assumed:
        if not given.keys() >= set(one.maps):
            continue
        expected = tuple(given[name] for name in one.maps)
        if tuple(one.strides) != expected:
            raise ValueError(
                f"{one.setting}: got {_written(one.strides)}, expected {_written(expected)}, pixels per cell "
                f"of the maps {', '.join(one.maps)} from {source}"
            )


def _written(strides: Iterable[float]) -> str:
    return ",".join(f"{stride:g}" for stride in strides)
