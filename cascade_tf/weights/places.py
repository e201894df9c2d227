"""Every variable of a detector by a name that all families of checkpoints are translated to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from cascade_tf.models import TwoStageDetector

NORM_VECTORS = ("gamma", "beta", "moving_mean", "moving_variance")
_CONVOLUTION = re.compile(r"(stem_|res[2-5]_\d+_)(conv[123]|shortcut)|conv[1-5](?:_[123])?")


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
    """All places of a detector, by canonical name.

    The names are the part's, then what the part calls the layer in ``named_layers``, then the variable:
    ``backbone.stem.conv1.kernel``, ``backbone.res3.0.conv2.norm.gamma`` (``beta``, ``moving_mean``,
    ``moving_variance``), ``backbone.res3.0.conv2.offset.bias`` (deformable), ``fpn.lateral2.kernel``,
    ``rpn.hidden.kernel``, and with the number of the stage ``head1.fc1.kernel``, ``mask1.predictor.bias``.

    Args:
        detector: built.

    Raises:
        TypeError: a part has weights and does not name them.
    """
    found = backbone_places(detector.backbone)
    parts = (("fpn.", detector.neck), ("rpn.", detector.proposals), ("", detector.heads))
    for prefix, part in parts:
        if part is not None:
            found |= {place.name: place for place in _places(prefix, part)}
    return found


def head_places(detector: TwoStageDetector) -> dict[str, Place]:
    """The places of a detector's heads alone.

    Args:
        detector: built.

    Raises:
        TypeError: the heads have weights and do not name them.
        NotImplementedError: a head of a stage does not.
    """
    return {place.name: place for place in _places("", detector.heads)}


def _places(prefix: str, part: Any) -> Iterator[Place]:
    if not hasattr(part, "named_layers"):
        if part.variables:
            raise TypeError(
                f"weights: got the part {type(part).__name__}, whose weights have no names, "
                "expected one with named_layers"
            )
        return
    for name, layer, norm, reads_cells, of_classes in part.named_layers():
        yield from _layer(prefix + name, layer, "first_dense" if reads_cells else _kind(layer), of_classes)
        yield from _norm(prefix + name, norm)


def _kind(layer: keras.layers.Layer) -> str:
    if isinstance(layer, keras.layers.Dense):
        return "dense"
    return "deconv" if isinstance(layer, keras.layers.Conv2DTranspose) else "conv"


def backbone_places(backbone: keras.Model) -> dict[str, Place]:
    """The places of a ``ResNet``, ``VGG16`` or ``AlexNet``, by the canonical names of a detector.

    VGG16's names are ``backbone.conv1_1.kernel`` to ``backbone.conv5_3.bias``, AlexNet's
    ``backbone.conv1.kernel`` to ``backbone.conv5.bias``.

    Args:
        backbone: one of the package's own.

    Raises:
        TypeError: the model has weights under names that none of them has.
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
            f"of which {len(found)} have known names, expected a ResNet, VGG16 or AlexNet"
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
