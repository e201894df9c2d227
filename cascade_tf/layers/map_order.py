"""The order of feature maps from fine to coarse, and what is refused because it contradicts itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Names that say a level: C4, P4, res4, level_4, 4.
_LEVEL = re.compile(r"(?:c|p|res|level)?_?(\d+)", re.IGNORECASE)
# A size and a stride tell the image's side to within this many cells: one for rounding up or down, one more
# for convolutions without padding.
_SLACK = 2

# Whether sizes [L, axes] keep a rule, given NumPy's or TensorFlow's "all".
_Rule = Callable[[Any, Callable[..., Any]], Any]


def as_maps(features: Any) -> Mapping[str, Any]:
    """Feature maps, or their shapes, by name.

    Args:
        features: a mapping, which comes back as it is; several in a list or tuple, finest first, which are
            named ``"0"``, ``"1"`` and so on; or one, which is ``"0"``.
    """
    if isinstance(features, Mapping):
        return features
    is_list = isinstance(features, (list, tuple))
    if is_list and not all(size is None or isinstance(size, int) for size in features):
        return {str(number): one for number, one in enumerate(features)}
    return {"0": features}


def fine_to_coarse(maps: Iterable[str] | Mapping[str, Any]) -> tuple[str, ...]:
    """The names of maps from fine to coarse.

    Names that say the level decide (C2 to C5, P2, res4, level_3, 0); where they do not, sizes as far as they
    are known; and where these are not known either, or are equal, the names again, numbers in them compared
    as numbers (block9 before block12). `check_halves` and `check_strides` find what contradicts this.

    Args:
        maps: maps or shapes [B, h, w, C] by name; names alone have no sizes.
    """
    names = list(maps)
    if all(_LEVEL.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(_LEVEL.fullmatch(name)[1]), name)))  # type: ignore[index]
    areas = dict.fromkeys(names, 1.0)
    if isinstance(maps, Mapping):
        sizes = _known_sizes(maps, names)
        areas = dict(zip(names, np.prod(sizes, axis=1), strict=True))
    return tuple(sorted(names, key=lambda name: (-areas[name], _natural(name))))


def order_as_built(built: Sequence[str], maps: Mapping[str, Any]) -> tuple[str, ...]:
    """The order of the maps that a layer has weights for: that of its ``build``, unless they are renamed."""
    return tuple(built) if maps.keys() == set(built) else fine_to_coarse(maps)


def check_halves(
    owner: str, maps: Mapping[str, Any], names: Sequence[str], asserts: bool, or_equal: bool = True
) -> list[tf.Operation]:
    """Finds maps of which one has not half the size of the one before, rounded up or down.

    Args:
        owner: that reads them, for the message.
        maps: [B, h, w, C] by name.
        names: of the maps in order.
        asserts: whether a graph checks sizes that are only known when it runs.
        or_equal: takes maps of the same size as the one before, too.

    Returns:
        The graph's check, for ``tf.control_dependencies``: what reads the maps may fail first without.

    Raises:
        ValueError: known sizes are others.
    """

    def rule(sizes: Any, every: Callable[..., Any]) -> Any:
        fine, coarse = sizes[:-1], sizes[1:]
        half = every(abs(fine - 2 * coarse) <= 1, axis=1)
        return every(half | every(fine == coarse, axis=1) if or_equal else half)

    expected = "each half as large as the one before, rounded up or down" + (
        ", or as large" if or_equal else ""
    )
    return _check(owner, maps, names, rule, "taken from fine to coarse", expected, asserts)


def check_strides(
    owner: str, maps: Mapping[str, Any], names: Sequence[str], strides: Sequence[float], asserts: bool
) -> None:
    """Finds maps whose sizes contradict their strides: that no one image can have.

    Args:
        owner: that reads them, for the message.
        maps: [B, h, w, C] by name.
        names: of the maps that have these strides.
        strides: pixels per cell.
        asserts: whether a graph checks sizes that are only known when it runs.

    Raises:
        ValueError: known sizes do, or there is not one map for each stride.
    """
    written = ", ".join(f"{stride:g}" for stride in strides)
    if len(names) != len(strides):
        raise ValueError(f"{owner}: got maps {', '.join(names)} for strides {written}, expected as many")
    cells = np.asarray(strides, np.float32)[:, None]

    def rule(sizes: Any, every: Callable[..., Any]) -> Any:
        least, most = (sizes - _SLACK) * cells, (sizes + _SLACK) * cells
        return every(least[:, None] <= most[None])

    _check(owner, maps, names, rule, f"for strides {written}", "sizes in inverse proportion", asserts)


def leave_to_the_model(model: keras.layers.Layer) -> None:
    """Takes the checks of sizes out of the graphs of all layers inside a model, which knows its maps."""
    for layer in model._flatten_layers():
        if hasattr(layer, "asserts_sizes"):
            layer.asserts_sizes = False


def _check(
    owner: str,
    maps: Mapping[str, Any],
    names: Sequence[str],
    rule: _Rule,
    taken: str,
    expected: str,
    asserts: bool,
) -> list[tf.Operation]:
    if len(names) < 2:
        return []
    sizes = _known_sizes(maps, names)
    if not rule(sizes, np.all):
        got = ", ".join(f"{name} ({' x '.join(map(_written, _size(maps[name])))})" for name in names)
        raise ValueError(f"{owner}: got maps {got} {taken}, expected {expected}")
    if asserts and sizes.shape[1] < 2:
        shapes = tf.stack([tf.shape(maps[name])[1:3] for name in names])
        message = (
            f"{owner}: got maps {', '.join(names)} {taken}, expected {expected} "
            "(names such as C2 and C3 say the order); sizes"
        )
        holds = rule(tf.cast(shapes, tf.float32), tf.reduce_all)
        check = tf.debugging.Assert(holds, [message, shapes], len(names) * 2)
        # Run eagerly it is done, and None.
        return [] if check is None else [check]
    return []


def _known_sizes(maps: Mapping[str, Any], names: Sequence[str]) -> np.ndarray:
    """[L, axes] float32 heights and widths in cells: those axes of which all are known."""
    axes = zip(*(_size(maps[name]) for name in names), strict=True)
    known = [axis for axis in axes if None not in axis]
    return np.asarray(known, np.float32).reshape(len(known), len(names)).T


def _size(one: Any) -> tuple[int | None, int | None]:
    shape = getattr(one, "shape", one)
    if isinstance(shape, tf.TensorShape):
        shape = shape.as_list() if shape.rank is not None else ()
    return (shape[1], shape[2]) if len(shape) == 4 else (None, None)


def _written(size: int | None) -> str:
    return "?" if size is None else str(size)


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
