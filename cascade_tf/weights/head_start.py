"""What the heads of a detector take over from the classifier that its backbone was trained in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cascade_tf.models import TwoStageDetector
from cascade_tf.models.backbone_maps import backbone_shapes
from cascade_tf.weights.families.family import ClassifierLayers, Source
from cascade_tf.weights.places import Place, head_places
from cascade_tf.weights.unit_selection import with_fewer_units

# What every head has besides, for its own classes.
_OUTPUTS = ("classifier", "regressor")

_Head = dict[str, Place]
"""The variables of a stage's head by their names in it, such as ``"fc1.kernel"``."""


class HeadStart(NamedTuple):
    """The classifier's layers in the heads of a detector.

    Attributes:
        copies: variables of the heads, each with where its value comes from: the same for every stage.
        left_out: tensors that no head takes -> why.
    """

    copies: tuple[tuple[Place, Source], ...]
    left_out: dict[str, str]


def head_start(
    detector: TwoStageDetector,
    layers: ClassifierLayers,
    arrays: Mapping[str, np.ndarray],
    allow_partial: bool = False,
) -> HeadStart:
    """Gives every stage's head the layers of a classifier, where the heads begin with such layers.

    They do if they read what the classifier reads, as many cells and channels of the same map with nothing
    in between, and their layers but the outputs are as many fully connected ones. Where they have fewer units
    than the classifier they take the strongest, see ``with_fewer_units``.

    Args:
        detector: built.
        layers: of the checkpoint.
        arrays: of the checkpoint.
        allow_partial: whether to leave the layers out where the heads have more units.

    Raises:
        ValueError: the heads have more units than the classifier.
    """
    heads = _heads(detector)
    values = _values(layers, arrays)
    reason = _other_heads(heads, layers) or _other_map(detector, layers.level)
    reason = reason or _other_tensors(values) or _other_cells(heads, values)
    if not reason:
        wanted = max(place.shape[-1] for head in heads for name, place in head.items() if name in values)
        found = min(value.shape[-1] for value in values.values())
        if wanted <= found:
            return HeadStart(tuple(_copies(heads, layers, values)), {})
        reason = f"the heads have {wanted} units and the classifier {found}"
        if not allow_partial:
            raise ValueError(f"{reason}, expected no more: heads.head.units={found} takes all of them")
    names = {name for source in layers.sources.values() for name in source.names} & arrays.keys()
    return HeadStart((), dict.fromkeys(sorted(names), f"of ImageNet's classifier; {reason}"))


def _heads(detector: TwoStageDetector) -> list[_Head]:
    try:
        found = head_places(detector)
    # Heads of the user's own need no names to train.
    except (NotImplementedError, TypeError):
        return []
    heads: dict[str, _Head] = {}
    for name, place in found.items():
        match = re.fullmatch(r"(head\d+)\.(.+)", name)
        if match:
            heads.setdefault(match[1], {})[match[2]] = place
    return list(heads.values())


def _values(layers: ClassifierLayers, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the sources give; nothing where tensors are absent or of another form."""
    if layers.last is not None and layers.last not in arrays:
        return {}
    try:
        return {
            name: source.convert(*(arrays[tensor] for tensor in source.names))
            for name, source in layers.sources.items()
        }
    except (LookupError, ValueError):
        return {}


def _other_heads(heads: list[_Head], layers: ClassifierLayers) -> str:
    expected = list(layers.sources)
    for head in heads:
        found = [name for name in head if not name.startswith(_OUTPUTS)]
        if found != expected:
            return f"the heads have {_layers(found)} before their outputs, and it {_layers(expected)}"
    return "" if heads else "the detector has no heads whose layers have names"


def _layers(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name.partition(".")[0] for name in names)) or "nothing"


def _other_map(detector: TwoStageDetector, level: str) -> str:
    if detector.neck is not None:
        return f"the heads read the neck's maps, and it the backbone's {level}"
    assumed = detector.heads.map_strides(sorted(backbone_shapes(detector.backbone)))
    maps = sorted({name for one in assumed for name in one.maps})
    return "" if maps == [level] else f"the heads read {', '.join(maps)}, and it {level}"


def _other_tensors(values: Mapping[str, np.ndarray]) -> str:
    inputs: int | None = None
    for name, value in values.items():
        if name.endswith(".bias"):
            fits = value.shape == (inputs,)
        else:
            fits = value.ndim == 4 if inputs is None else value.ndim == 2 and len(value) == inputs
            inputs = value.shape[-1]
        if not fits:
            return f"its {name} has the shape {value.shape}"
    return "" if values else "its layers are not all there, or read no such cells"


def _other_cells(heads: list[_Head], values: Mapping[str, np.ndarray]) -> str:
    name, kernel = next(iter(values.items()))
    for head in heads:
        height, width = head[name].cells or (1, 1)
        found = (height, width, head[name].shape[0] // (height * width))
        if found != kernel.shape[:3]:
            return f"the heads read {_described(found)}, and it {_described(kernel.shape)}"
    return ""


def _described(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} cells of {shape[2]} channels"


def _copies(
    heads: list[_Head], layers: ClassifierLayers, values: Mapping[str, np.ndarray]
) -> Iterator[tuple[Place, Source]]:
    of_units: dict[int, dict[str, np.ndarray]] = {}
    for head in heads:
        units = head[next(iter(values))].shape[-1]
        if units not in of_units:
            of_units[units] = with_fewer_units(values, units)
        for name, value in of_units[units].items():
            tensors = layers.sources[name].names
            yield head[name], Source(tensors, _constant(value), shared=tensors)


def _constant(value: np.ndarray) -> Callable[..., np.ndarray]:
    return lambda *_: value
