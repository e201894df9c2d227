"""Every variable of a detector by a name that all families of checkpoints are translated to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras

from cascade_tf.models import TwoStageDetector
from cascade_tf.necks import FPN

NORM_VECTORS = ("gamma", "beta", "moving_mean", "moving_variance")
_CONVOLUTION = re.compile(r"(stem_|res[2-5]_\d+_)(conv[123]|shortcut)|conv[1-5]_[123]")


class Place(NamedTuple):
    """A variable that a checkpoint has a value for.

    Attributes:
        name: canonical name, such as ``"backbone.res2.0.conv1.kernel"`` or ``"head1.classifier.bias"``.
        variable: the Keras variable.
        kind: layout of the value: ``"conv"`` [kh, kw, in / groups, out], ``"deconv"`` [kh, kw, out, in],
            ``"dense"`` [in, out], ``"first_dense"`` [P P C, out] behind pooled features that are flattened as
            (row, column, channel), or ``"vector"``.
        class_dependent: whether its shape depends on the number of classes.
    """

    name: str
    variable: Any
    kind: str
    class_dependent: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(self.variable.shape)


def places(detector: TwoStageDetector) -> dict[str, Place]:
    """All places of a detector on a ``ResNet`` with an ``FPN``, by canonical name.

    The names are ``backbone.stem.conv1.kernel``, ``backbone.res3.0.conv2.norm.gamma`` (``beta``,
    ``moving_mean``, ``moving_variance``), ``backbone.res3.0.conv2.offset.bias`` (deformable),
    ``fpn.lateral2.kernel``, ``fpn.output2.norm.beta``, ``rpn.hidden.kernel``, ``rpn.objectness.bias``,
    ``rpn.offsets.kernel``, and with the number of the stage ``head1.conv1.kernel``, ``head1.fc1.kernel``,
    ``head1.classifier.bias``, ``head1.regressor.kernel``, ``mask1.conv1.kernel``, ``mask1.deconv.kernel``,
    ``mask1.predictor.bias``.

    Args:
        detector: built.

    Raises:
        TypeError: the backbone or the neck is of another kind.
    """
    if not isinstance(detector.neck, FPN):
        raise TypeError(f"weights: got the neck {type(detector.neck).__name__}, expected an FPN")
    found = backbone_places(detector.backbone)
    parts = (_neck(detector.neck), _region_proposal(detector.proposals), _heads(detector.heads))
    return found | {place.name: place for part in parts for place in part}


def backbone_places(backbone: keras.Model) -> dict[str, Place]:
    """The places of a ``ResNet`` or a ``VGG16``, by the canonical names that they have in a detector.

    VGG16's names are ``backbone.conv1_1.kernel`` to ``backbone.conv5_3.bias``.

    Args:
        backbone: one of the package's own.

    Raises:
        TypeError: the model has weights under names that neither of them has.
    """
    found: list[Place] = []
    layers = {layer.name: layer for layer in backbone.layers}
    for name, layer in layers.items():
        match = _CONVOLUTION.fullmatch(name)
        if match:
            parts = name.split("_") if match[1] else [name]
            canonical = ".".join(["backbone", *parts])
            found += _layer(canonical, layer, "conv")
            found += _norm(canonical, layers.get(f"{name}_norm"))
    if len(found) != len(backbone.variables):
        raise TypeError(
            f"weights: got the backbone {type(backbone).__name__} with {len(backbone.variables)} variables, "
            f"of which {len(found)} have known names, expected a ResNet or a VGG16"
        )
    return {place.name: place for place in found}


def _layer(name: str, layer: Any, kind: str, class_dependent: bool = False) -> Iterator[Place]:
    yield Place(f"{name}.kernel", layer.kernel, kind, class_dependent)
    if getattr(layer, "bias", None) is not None:
        yield Place(f"{name}.bias", layer.bias, "vector", class_dependent)
    if getattr(layer, "offset", None) is not None:
        yield from _layer(f"{name}.offset", layer.offset, "conv")


def _norm(name: str, layer: Any) -> Iterator[Place]:
    for vector in NORM_VECTORS:
        if getattr(layer, vector, None) is not None:
            yield Place(f"{name}.norm.{vector}", getattr(layer, vector), "vector")


def _neck(neck: FPN) -> Iterator[Place]:
    levels = enumerate(zip(neck.laterals, neck.outputs, neck.norms, strict=True), start=neck.first_level)
    for level, (lateral, output, norms) in levels:
        for kind, layer, norm in (("lateral", lateral, norms[0]), ("output", output, norms[1])):
            yield from _layer(f"fpn.{kind}{level}", layer, "conv")
            yield from _norm(f"fpn.{kind}{level}", norm)


def _region_proposal(rpn: Any) -> Iterator[Place]:
    yield from _layer("rpn.hidden", rpn.hidden, "conv")
    yield from _layer("rpn.objectness", rpn.objectness, "conv")
    yield from _layer("rpn.offsets", rpn.offsets, "conv")


def _heads(heads: Any) -> Iterator[Place]:
    for number, stage in enumerate(heads.stages, start=1):
        yield from _box_head(f"head{number}", stage.head)
    if heads.masks is not None:
        for number, head in zip(heads.masks.stages, heads.masks.heads, strict=True):
            yield from _mask_head(f"mask{number}", head)


def _box_head(name: str, head: Any) -> Iterator[Place]:
    yield from _convolutions(name, zip(head.convs, head.norms, strict=True))
    for number, layer in enumerate(head.dense, start=1):
        yield from _layer(f"{name}.fc{number}", layer, "first_dense" if number == 1 else "dense")
    kind = "dense" if head.dense else "first_dense"
    yield from _layer(f"{name}.classifier", head.classifier, kind, class_dependent=True)
    yield from _layer(f"{name}.regressor", head.regressor, kind, class_dependent=not head.class_agnostic)


def _mask_head(name: str, head: Any) -> Iterator[Place]:
    yield from _convolutions(name, zip(head.convs, head.norms, strict=True))
    yield from _layer(f"{name}.deconv", head.deconv, "deconv")
    yield from _layer(f"{name}.predictor", head.predictor, "conv", class_dependent=not head.class_agnostic)


def _convolutions(name: str, layers: Iterable[tuple[Any, Any]]) -> Iterator[Place]:
    for number, (conv, norm) in enumerate(layers, start=1):
        yield from _layer(f"{name}.conv{number}", conv, "conv")
        yield from _norm(f"{name}.conv{number}", norm)
