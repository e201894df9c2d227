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
        settings: arguments of ``cascade_rcnn_fpn`` that its family reads off it.
        num_classes: K of the checkpoint.

    Raises:
        ValueError: it holds less than ``LEAST_SHARE``.
    """
    held = sum(array.size for array in checkpoint.arrays.values())
    needed = kernel_elements(settings, num_classes)
    if held < LEAST_SHARE * needed:
        raise ValueError(
            f"got {held} numbers in all tensors, expected about {needed}, which the network needs that "
            "single ones of them describe"
        )


def kernel_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    """Elements of all kernels of a detector but the small ones of anchors and deformable offsets.

    Args:
        settings: arguments of ``cascade_rcnn_fpn``.
        num_classes: K.
    """
    fpn = settings["fpn_channels"]
    found = _backbone_elements(settings) + _pyramid_elements(settings)
    # Region proposals have one hidden convolution.
    found += 9 * fpn * fpn
    found += len(settings["ious"]) * _box_head_elements(settings, num_classes)
    return found + sum(_mask_head_elements(settings, num_classes) for _ in settings["mask_stages"])


def _stage_channels(settings: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Bottleneck and output channels of the four stages."""
    cardinality, width = settings["cardinality"], settings["width"]
    inner = cardinality * round(settings["width_per_group"] * width)
    outer = round(256 * width)
    return [(inner * factor, outer * factor) for factor in (1, 2, 4, 8)]


def _backbone_elements(settings: Mapping[str, Any]) -> int:
    inputs = settings["stem_channels"]
    found = 7 * 7 * 3 * inputs
    for count, (inner, outer) in zip(BLOCKS[settings["depth"]], _stage_channels(settings), strict=True):
        middle = 9 * inner * inner // max(settings["cardinality"], 1) + inner * outer
        found += inputs * (inner + outer) + (count - 1) * outer * inner + count * middle
        inputs = outer
    return found


def _pyramid_elements(settings: Mapping[str, Any]) -> int:
    channels = settings["fpn_channels"]
    return sum(outer * channels + 9 * channels * channels for _, outer in _stage_channels(settings))


def _box_head_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    channels, found = settings["fpn_channels"], 0
    for _ in range(settings["head_convs"]):
        found += 9 * channels * settings["head_channels"]
        channels = settings["head_channels"]
    features = channels * settings.get("roi_size", 7) ** 2
    for _ in range(settings["head_fcs"]):
        # A file may claim any number of inputs for a layer without units.
        units = max(settings["head_units"], 1)
        found += features * units
        features = units
    boxes = 1 if settings["class_agnostic"] else num_classes
    return found + features * (num_classes + 1 + 4 * boxes)


def _mask_head_elements(settings: Mapping[str, Any], num_classes: int) -> int:
    channels, found = settings["fpn_channels"], 0
    width = settings["mask_channels"]
    for _ in range(settings["mask_convs"]):
        found += 9 * channels * width
        channels = width
    masks = 1 if settings["mask_class_agnostic"] else num_classes
    return found + 4 * channels * width + width * masks
