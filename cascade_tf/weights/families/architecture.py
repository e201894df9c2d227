"""The settings of a network, read off the shapes of its weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from cascade_tf.backbones.resnet import BLOCKS

ShapeOf = Callable[[str], "tuple[int, ...] | None"]
"""From a canonical name to the shape that its value has in Keras's layout; None where there is no tensor."""

_DEPTHS = {blocks: depth for depth, blocks in BLOCKS.items()}
_OUTPUT_CHANNELS = 256
_OFFSETS = 18
_MODULATED_OFFSETS = 27


def backbone_settings(shape_of: ShapeOf) -> dict[str, Any]:
    """The settings of ``ResNet`` that shapes tell, except for ``norm``.

    Args:
        shape_of: of the checkpoint.

    Raises:
        ValueError: it is no ResNet of bottleneck blocks, has no channels, or has deformable convolutions of
            another kind.
    """
    stem = _required(shape_of, "backbone.stem.conv1.kernel")
    blocks = tuple(
        _count(shape_of, (f"backbone.res{stage}.{block}.conv1.kernel" for block in itertools.count()))
        for stage in range(2, 6)
    )
    if blocks not in _DEPTHS:
        raise ValueError(f"got a backbone with {blocks} blocks per stage, expected one of {sorted(_DEPTHS)}")
    _, _, width_in, inner = _required(shape_of, "backbone.res2.0.conv2.kernel")
    outer = _required(shape_of, "backbone.res2.0.conv3.kernel")[-1]
    if not (width_in and inner and outer):
        raise ValueError("got convolutions without channels in the backbone's second stage")
    width = outer / _OUTPUT_CHANNELS
    return {
        "backbone.depth": _DEPTHS[blocks],
        "backbone.width": width,
        "backbone.stem_channels": stem[-1],
        "backbone.cardinality": inner // width_in,
        "backbone.width_per_group": _width_per_group(width_in, width),
        "backbone.deformable_stages": _deformable_stages(shape_of),
    }


def norm_kind(shape_of: ShapeOf, name: str) -> str:
    """What follows a convolution: ``"batch"``, ``"group"`` or ``"none"``.

    Args:
        shape_of: of the checkpoint.
        name: canonical name of the convolution, such as ``"backbone.stem.conv1"``.
    """
    if shape_of(f"{name}.norm.moving_mean") is not None:
        return "batch"
    return "none" if shape_of(f"{name}.norm.gamma") is None else "group"


def fpn_settings(shape_of: ShapeOf) -> dict[str, Any]:
    """The settings that concern the feature pyramid.

    Args:
        shape_of: of the checkpoint.

    Raises:
        ValueError: there is none.
    """
    channels = _required(shape_of, "fpn.lateral2.kernel")[-1]
    return {"neck.channels": channels, "neck.norm": _trained_norm(shape_of, "fpn.lateral2")}


def head_settings(shape_of: ShapeOf, num_stages: int) -> dict[str, Any]:
    """The settings that concern the box heads.

    A single class does not tell whether boxes depend on it: then a cascade counts as class-agnostic and a
    single stage as class-aware, which is what the frameworks do. The pooled size is what the inputs of the
    first fully connected layer imply.

    Args:
        shape_of: of the checkpoint.
        num_stages: T.

    Raises:
        ValueError: a layer is missing, or the regressor fits neither one box nor one per class.
    """
    convs = _count(shape_of, (f"head1.conv{number}.kernel" for number in itertools.count(1)))
    fcs = _count(shape_of, (f"head1.fc{number}.kernel" for number in itertools.count(1)))
    boxes = _required(shape_of, "head1.regressor.kernel")[-1]
    classes = _required(shape_of, "head1.classifier.kernel")[-1] - 1
    if boxes not in (4, 4 * classes):
        raise ValueError(f"got a regressor with {boxes} outputs for {classes} classes, expected 4 or 4 each")
    settings: dict[str, Any] = {
        "heads.head.num_convs": convs,
        "heads.head.num_fcs": fcs,
        "heads.head.class_agnostic": boxes == 4 and (classes > 1 or num_stages > 1),
    }
    if convs:
        settings["heads.head.conv_channels"] = _required(shape_of, "head1.conv1.kernel")[-1]
        settings["heads.head.norm"] = _trained_norm(shape_of, "head1.conv1")
    if fcs:
        inputs, settings["heads.head.units"] = _required(shape_of, "head1.fc1.kernel")
        channels = settings.get("heads.head.conv_channels") or _required(shape_of, "fpn.lateral2.kernel")[-1]
        settings |= _pooled_size(inputs, channels)
    return settings


def _pooled_size(inputs: int, channels: int) -> dict[str, Any]:
    # Without a whole number the recipe's stays, and the layer is reported as one that does not fit.
    size = math.isqrt(inputs // channels) if channels else 0
    return {"heads.pooling.output_size": size} if size and size * size * channels == inputs else {}


def mask_settings(shape_of: ShapeOf, stages: Sequence[int], num_classes: int) -> dict[str, Any]:
    """The settings that concern the mask heads.

    Args:
        shape_of: of the checkpoint.
        stages: numbers of the stages that have a mask head, from 1; empty without masks.
        num_classes: K.

    Raises:
        ValueError: a layer is missing.
    """
    if not stages:
        return {"heads.masks.stages": ()}
    head = f"mask{stages[0]}"
    convs = _count(shape_of, (f"{head}.conv{number}.kernel" for number in itertools.count(1)))
    masks = _required(shape_of, f"{head}.predictor.kernel")[-1]
    return {
        "heads.masks.stages": tuple(stages),
        "heads.masks.head.num_convs": convs,
        "heads.masks.head.channels": _required(shape_of, f"{head}.deconv.kernel")[-2],
        "heads.masks.head.norm": _trained_norm(shape_of, f"{head}.conv1"),
        "heads.masks.head.class_agnostic": masks == 1 and num_classes > 1,
    }


def _deformable_stages(shape_of: ShapeOf) -> tuple[int, ...]:
    shapes = {stage: shape_of(f"backbone.res{stage}.0.conv2.offset.kernel") for stage in range(2, 6)}
    for stage, shape in shapes.items():
        if shape is not None and shape[-1] != _OFFSETS:
            kind = " (modulated, DCNv2)" if shape[-1] == _MODULATED_OFFSETS else ""
            raise ValueError(
                f"got deformable convolutions with {shape[-1]} offset channels{kind} in stage {stage}, "
                f"expected {_OFFSETS}"
            )
    return tuple(stage for stage, shape in shapes.items() if shape is not None)


def _trained_norm(shape_of: ShapeOf, name: str) -> str:
    # Batch statistics outside the backbone come from training with synchronised batches.
    return {"batch": "sync", "group": "group", "none": "none"}[norm_kind(shape_of, name)]


def _required(shape_of: ShapeOf, name: str) -> tuple[int, ...]:
    shape = shape_of(name)
    if shape is None:
        raise ValueError(f"got no tensor for {name}, expected a two-stage detector on a ResNet with an FPN")
    return shape


def _count(shape_of: ShapeOf, names: Any) -> int:
    return sum(1 for _ in itertools.takewhile(lambda name: shape_of(name) is not None, names))


def _width_per_group(channels: int, width: float) -> int:
    """The whole number that scales to the channels."""
    whole = round(channels / width)
    if round(whole * width) != channels:
        raise ValueError(
            f"got {channels} channels per group in a backbone of {width:g} times the usual width, expected a "
            "number that a whole one becomes by this factor"
        )
    return whole
