"""How many channels the maps have that boxes are pooled from together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def channels_of(
    owner: str, shapes: Mapping[str, tuple[int | None, ...]], levels: Sequence[str]
) -> int | None:
    """The channels of some maps, which a box may be pooled from each of.

    Args:
        owner: whose maps they are, for the error.
        shapes: ``{"P2": (B, h, w, C), ...}``.
        levels: names of the maps.

    Raises:
        ValueError: one of them is not there, or their channels differ.
    """
    missing = [name for name in levels if name not in shapes]
    if missing:
        raise ValueError(f"{owner}: got no maps {', '.join(missing)}, expected some of {', '.join(shapes)}")
    found = {name: shapes[name][-1] for name in levels}
    if len(set(found.values())) != 1:
        got = ", ".join(f"{name}: {channels}" for name, channels in found.items())
        raise ValueError(f"{owner}: got maps of different channels ({got}), expected one number of them")
    return next(iter(found.values()))
