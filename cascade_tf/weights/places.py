"""Every variable of a detector by a name that all families of checkpoints are translated to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from cascade_tf.models import TwoStageDetector

NORM_VECTORS = ("gamma", "beta", "moving_mean", "moving_variance")


class Place(NamedTuple):
    """A variable that a checkpoint has a value for.

    Attributes:
        name: canonical name, such as ``"backbone.res2.0.conv1.kernel"`` or ``"head1.classifier.bias"``.
        variable: the Keras variable.
        kind: layout of the value: ``"conv"`` [kh, kw, in / groups, out], ``"deconv"`` [kh, kw, out, in],
            ``"dense"`` [in, out], ``"first_dense"`` [P P C, out] behind pooled features that are flattened as
            (row, column, channel), ``"vector"``, or ``"other"`` of a backbone that does not name its layers.
        class_dependent: whether its shape depends on the number of classes.
        cells: (height, width) of the P x P cells of a ``"first_dense"``.
    """

    name: str
    variable: Any
    kind: str
    class_dependent: bool = False
    cells: tuple[int, int] | None = None

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

    A backbone that does not name its layers, such as one of ``keras.applications``, has Keras's names:
    ``backbone.Conv1.kernel``. Two of one constructor have the same.

    Args:
        detector: built.

    Raises:
        TypeError: another part has weights and does not name them.
    """
    backbone = detector.backbone
    found = backbone_places(backbone) if hasattr(backbone, "named_layers") else _places_by_path(backbone)
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
    for named in part.named_layers():
        yield from _layer(prefix + named.name, named.layer, named.of_classes, named.cells)
        yield from _norm(prefix + named.name, named.norm)


def _kind(layer: keras.layers.Layer) -> str:
    if isinstance(layer, keras.layers.Dense):
        return "dense"
    return "deconv" if isinstance(layer, keras.layers.Conv2DTranspose) else "conv"


def backbone_places(backbone: keras.Model) -> dict[str, Place]:
    """The places of a backbone, by the canonical names of a detector.

    VGG16's names are ``backbone.conv1_1.kernel`` to ``backbone.conv5_3.bias``, AlexNet's
    ``backbone.conv1.kernel`` to ``backbone.conv5.bias``.

    Args:
        backbone: that names its layers, as the package's own do.

    Raises:
        TypeError: it has weights and does not name them.
    """
    return {place.name: place for place in _places("backbone.", backbone)}


def _places_by_path(backbone: keras.Model) -> dict[str, Place]:
    """The places of any Keras model, by the paths of its variables."""
    found: dict[str, Place] = {}
    # Layers without names of their own are numbered through the process, not through the model.
    automatic = {_plain(type(layer).__name__) for layer in backbone._flatten_layers()}
    numbers: dict[str, dict[str, int]] = {}
    for variable in backbone.variables:
        steps = []
        for step in variable.path.split("/"):
            stem = re.sub(r"_\d+$", "", step)
            if _plain(stem) in automatic:
                known = numbers.setdefault(stem, {})
                step = f"{stem}{known.setdefault(step, len(known) + 1)}"
            steps.append(step)
        name = ".".join(["backbone", *steps])
        # Models inside the model may have layers of the same names.
        twins = sum(other == name or other.startswith(f"{name}#") for other in found)
        name = f"{name}#{twins + 1}" if twins else name
        found[name] = Place(name, variable, "other")
    return found


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _layer(
    name: str, layer: Any, class_dependent: bool = False, cells: tuple[int, int] | None = None
) -> Iterator[Place]:
    kind = "first_dense" if cells else _kind(layer)
    yield Place(f"{name}.kernel", layer.kernel, kind, class_dependent, cells)
    if getattr(layer, "bias", None) is not None:
        yield Place(f"{name}.bias", layer.bias, "vector", class_dependent)
    if getattr(layer, "offset", None) is not None:
        yield from _layer(f"{name}.offset", layer.offset)


def _norm(name: str, layer: Any) -> Iterator[Place]:
    for vector in NORM_VECTORS:
        if getattr(layer, vector, None) is not None:
            yield Place(f"{name}.norm.{vector}", getattr(layer, vector), "vector")
