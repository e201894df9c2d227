"""Classifiers of torchvision as backbones: ResNet, ResNeXt, Wide ResNet and VGG16."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.family import ClassifierLayers, Family, Source
from cascade_tf.weights.families.layouts import CHANNELS_FIRST, classifier_sources, shape_from_channels_first
from cascade_tf.weights.families.torch_family import PARAMETERS
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

# Pixels in 0..1 are normalised by (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) there.
PIXELS = {
    "inputs.order": "RGB",
    "inputs.mean": (123.675, 116.28, 103.53),
    "inputs.std": (58.395, 57.12, 57.375),
}
VGG_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Numbers of VGG16's convolutions among its features, which count ReLU and pooling too."""
# Its fully connected layers but the last.
_VGG_CLASSIFIER = (0, 3)
_ALEXNET_FEATURES = [0, 3, 6, 8, 10]

_GROUPS = (2, 2, 3, 3, 3)
_VGG_NAMES = [f"conv{group}_{i}" for group, count in enumerate(_GROUPS, start=1) for i in range(1, count + 1)]


class Torchvision(Family):
    """torchvision's ``state_dict`` of a classifier; the stride sits in the 3x3 convolution."""

    name = "torchvision"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there is a ResNet or a VGG under torchvision's names, with nothing before them."""
        return bool({"layer1.0.conv1.weight", "features.0.weight"} & set(checkpoint.arrays))

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``; of VGG16 only the pixels."""
        arrays = checkpoint.arrays
        if "features.0.weight" in arrays:
            _require_plain_vgg(checkpoint)
            return dict(PIXELS)

        def shape_of(name: str) -> tuple[int, ...] | None:
            array = arrays.get(_tensor_name(name))
            return None if array is None else shape_from_channels_first(array.shape)

        found = architecture.backbone_settings(shape_of)
        return {**found, "backbone.norm": "frozen", "backbone.stride_in_1x1": False, **PIXELS}

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        return Source((_tensor_name(place.name),), CHANNELS_FIRST[place.kind])

    def classifier_layers(self, checkpoint: CheckpointFile) -> ClassifierLayers | None:
        """See ``Family.classifier_layers``; VGG16's."""
        if "features.0.weight" not in checkpoint.arrays:
            return None
        names = [(f"classifier.{number}.weight", f"classifier.{number}.bias") for number in _VGG_CLASSIFIER]
        return ClassifierLayers("C5", classifier_sources(names, pooled=7), last="classifier.6.weight")

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        if name.startswith(("fc.", "classifier.")):
            return "ImageNet's classifier"
        return "a counter of training steps" if name.endswith(".num_batches_tracked") else None


TORCHVISION = Torchvision()


def _tensor_name(name: str) -> str:
    """The tensor of a variable of the backbone.

    >>> _tensor_name("backbone.res3.0.shortcut.norm.beta"), _tensor_name("backbone.conv5_3.kernel")
    ('layer2.0.downsample.1.bias', 'features.28.weight')
    """
    layer, _, vector = name.removeprefix("backbone.").rpartition(".")
    if layer in _VGG_NAMES:
        return f"features.{VGG_FEATURES[_VGG_NAMES.index(layer)]}.{PARAMETERS[vector]}"
    norm = layer.endswith(".norm")
    block, _, part = layer.removesuffix(".norm").rpartition(".")
    if part == "shortcut":
        part = f"downsample.{int(norm)}"
    elif norm:
        part = part.replace("conv", "bn")
    stage = re.sub(r"res(\d)", lambda match: f"layer{int(match[1]) - 1}", block)
    return f"{part}.{PARAMETERS[vector]}" if block == "stem" else f"{stage}.{part}.{PARAMETERS[vector]}"


def _require_plain_vgg(checkpoint: CheckpointFile) -> None:
    arrays: Mapping[str, np.ndarray] = checkpoint.arrays
    found = sorted(int(name.split(".")[1]) for name in arrays if re.fullmatch(r"features\.\d+\.weight", name))
    if found == _ALEXNET_FEATURES:
        raise ValueError(
            "got torchvision's AlexNet, which has neither the groups nor the response normalisation of the "
            "published one, expected VGG16: no backbone here computes its features"
        )
    if found != list(VGG_FEATURES):
        raise ValueError(
            f"got weights of the features {found}, expected those of VGG16 "
            f"without batch normalisation, {list(VGG_FEATURES)}"
        )
