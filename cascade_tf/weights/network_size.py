"""How large a network is that a checkpoint asks for, before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.weights.files.checkpoint_file import CheckpointFile

LEAST_SHARE = 0.5
"""Of the numbers that a network needs: what a file has to hold of them at least.

Every setting is read off a single tensor, so that a small file could ask for a network of any size. Whole
checkpoints hold all numbers, and those without some of their heads still most of them.
"""


def check_size(checkpoint: CheckpointFile, settings: Mapping[str, Any], num_classes: int) -> None:
    """Refuses a file that holds far fewer numbers than the network that its tensors describe.

    Args:
        checkpoint: as read.
        settings: settings of the detector that its family reads off it.
        num_classes: K of the checkpoint.

    Raises:
        ValueError: it holds less than ``LEAST_SHARE``.
    """
    check_elements(checkpoint, kernel_elements(settings, num_classes))


def check_elements(checkpoint: CheckpointFile, needed: int) -> None:
    """Refuses a file that holds less than ``LEAST_SHARE`` of the numbers that its network needs.

    Args:
        checkpoint: as read.
        needed: elements of the network's kernels.

    Raises:
        ValueError: it does.
    """
    held = sum(array.size for array in checkpoint.arrays.values())
    if held < LEAST_SHARE * needed:
        raise ValueError(
            f"got {held} numbers in all tensors, expected about {needed}, which the network needs that "
            "single ones of them describe"
        )


def kernel_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    """Elements of all kernels of a detector but the small ones of anchors and deformable offsets.

    Args:
        settings: settings of the detector.
        num_classes: K.
    """
    fpn = settings["neck.channels"]
    found = _backbone_elements(settings) + _pyramid_elements(settings)
    # Region proposals have one hidden convolution.
    found += 9 * fpn * fpn
    found += len(settings["heads.ious"]) * _box_head_elements(settings, num_classes)
    return found + sum(
        _mask_head_elements(settings, num_classes) for _ in settings.get("heads.masks.stages", ())
    )


def _stage_channels(settings: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Bottleneck and output channels of the four stages."""
    cardinality, width = settings["backbone.cardinality"], settings["backbone.width"]
    inner = cardinality * round(settings["backbone.width_per_group"] * width)
    outer = round(256 * width)
    return [(inner * factor, outer * factor) for factor in (1, 2, 4, 8)]


def _backbone_elements(settings: Mapping[str, Any]) -> int:
    inputs = settings["backbone.stem_channels"]
    found = 7 * 7 * 3 * inputs
    for count, (inner, outer) in zip(
        BLOCKS[settings["backbone.depth"]], _stage_channels(settings), strict=True
    ):
        middle = 9 * inner * inner // max(settings["backbone.cardinality"], 1) + inner * outer
        found += inputs * (inner + outer) + (count - 1) * outer * inner + count * middle
        inputs = outer
    return found


def _pyramid_elements(settings: Mapping[str, Any]) -> int:
    channels = settings["neck.channels"]
    return sum(outer * channels + 9 * channels * channels for _, outer in _stage_channels(settings))


def _box_head_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    channels, found = settings["neck.channels"], 0
    for _ in range(settings["heads.head.num_convs"]):
        found += 9 * channels * settings["heads.head.conv_channels"]
        channels = settings["heads.head.conv_channels"]
    features = channels * settings.get("heads.pooling.output_size", 7) ** 2
    for _ in range(settings["heads.head.num_fcs"]):
        # A file may claim any number of inputs for a layer without units.
        units = max(settings["heads.head.units"], 1)
        found += features * units
        features = units
    boxes = 1 if settings["heads.head.class_agnostic"] else num_classes
    return found + features * (num_classes + 1 + 4 * boxes)


def _mask_head_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    channels, found = settings["neck.channels"], 0
    width = settings["heads.masks.head.channels"]
    for _ in range(settings["heads.masks.head.num_convs"]):
        found += 9 * channels * width
        channels = width
    masks = 1 if settings["heads.masks.head.class_agnostic"] else num_classes
    return found + 4 * channels * width + width * masks
