"""Classifiers of Caffe as backbones, ``.caffemodel`` files as published: ResNet, VGG16 and AlexNet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.caffe import CAFFE
from cascade_tf.weights.families.caffe_names import blob_of
from cascade_tf.weights.families.family import ClassifierLayers, Family, Source
from cascade_tf.weights.families.layouts import (
    CHANNELS_FIRST,
    classifier_sources,
    shape_from_channels_first,
)
from cascade_tf.weights.families.mscnn import MSCNN_FAMILY
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

PIXELS = {"inputs.order": "BGR", "inputs.mean": (104.0, 117.0, 123.0), "inputs.std": (1.0, 1.0, 1.0)}
"""ImageNet's mean colour in whole numbers: the networks subtract it, or an image of about that mean."""

_RESNET = frozenset({"conv1/0", "res2a_branch2a/0"})
_ALEXNET = frozenset(f"conv{number}/0" for number in range(1, 6))
# Cells per side that the first fully connected layer reads.
_VGG_CELLS, _ALEXNET_CELLS = 7, 6
# Files that a cascade starts from have the fully connected layers once for each stage.
_LATER_STAGE = re.compile(r"(fc[67])_(?:2nd|3rd)/([01])")
_STATISTICS = {"moving_mean": 0, "moving_variance": 1}


class CaffeImageNet(Family):
    """The networks of their authors: ResNet-50, -101 and -152, VGG16, and AlexNet as Caffe's team trained it.

    A normalisation stands there as two layers. The first holds sums of means and of variances with the
    factor that both are divided by, the second scale and shift. The first convolution of ResNet-50 has a bias
    in front of its own, which goes into the mean. The stride sits in the first 1x1 convolution. Files that
    the paper's authors start a cascade from, with copies of fc6 and fc7 for the later stages, are read too.
    """

    name = "caffe_imagenet"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are convolutions of such a network, and no detector of the paper's authors on it."""
        blobs = set(checkpoint.arrays)
        known = "conv1_1/0" in blobs or blobs >= _RESNET or blobs >= _ALEXNET
        return known and not any(family.matches(checkpoint) for family in (CAFFE, MSCNN_FAMILY))

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``; of VGG16 and AlexNet only the pixels."""
        blobs = checkpoint.arrays
        _refuse_other_stages(blobs)
        if not blobs.keys() >= _RESNET:
            _refuse_caffenet(list(checkpoint.metadata.get("layers", ())))
            return dict(PIXELS)

        def shape_of(name: str) -> tuple[int, ...] | None:
            kernel = blobs.get(_blob(name, checkpoint))
            return None if kernel is None else shape_from_channels_first(kernel.shape)

        found = architecture.backbone_settings(shape_of)
        return {**found, "backbone.norm": "frozen", "backbone.stride_in_1x1": True, **PIXELS}

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        variable = place.name.rpartition(".")[-1]
        if variable not in _STATISTICS:
            convert = _vector if place.kind == "vector" else CHANNELS_FIRST[place.kind]
            return Source((_blob(place.name, checkpoint),), convert)
        scale = _blob(f"{place.name.removesuffix(variable)}gamma", checkpoint)
        layer = "bn" + scale.removeprefix("scale").removesuffix("/0")
        total, factor = f"{layer}/{_STATISTICS[variable]}", f"{layer}/2"
        if place.name == "backbone.stem.conv1.norm.moving_mean" and "conv1/1" in checkpoint.arrays:
            return Source((total, factor, "conv1/1"), _without_bias, shared=(factor,))
        return Source((total, factor), _divided, shared=(factor,))

    def classifier_layers(self, checkpoint: CheckpointFile) -> ClassifierLayers | None:
        """See ``Family.classifier_layers``; VGG16's and AlexNet's."""
        if checkpoint.arrays.keys() >= _RESNET:
            return None
        cells = _VGG_CELLS if "conv1_1/0" in checkpoint.arrays else _ALEXNET_CELLS
        return ClassifierLayers("C5", classifier_sources((("fc6/0", "fc6/1"), ("fc7/0", "fc7/1")), cells))

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        if _LATER_STAGE.fullmatch(name):
            return "a copy for a later stage, which gets the first one's"
        return "ImageNet's classifier" if re.fullmatch(r"fc(6|7|8|1000)/[01]", name) else None


CAFFE_IMAGENET = CaffeImageNet()


def _blob(name: str, checkpoint: CheckpointFile) -> str:
    # The published networks have no deformable convolutions, whose offsets would look like the convolution.
    return name if ".offset." in name else blob_of(name, checkpoint.arrays)


def _vector(values: np.ndarray) -> np.ndarray:
    """Older files write a vector with four axes, three of them of size 1."""
    return np.atleast_1d(np.squeeze(values))


def _divided(total: np.ndarray, factor: np.ndarray) -> np.ndarray:
    if factor.size != 1 or factor.item() <= 0:
        raise ValueError(f"statistics with the factor {factor.tolist()}, expected a positive number")
    return _vector(total) / factor.item()


def _without_bias(total: np.ndarray, factor: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return _divided(total, factor) - _vector(bias)


def _refuse_other_stages(blobs: Mapping[str, np.ndarray]) -> None:
    for name, values in blobs.items():
        match = _LATER_STAGE.fullmatch(name)
        if match and not np.array_equal(values, blobs.get(f"{match[1]}/{match[2]}", ())):
            raise ValueError(
                f"got {name} with other values than {match[1]}/{match[2]}, expected a copy of it"
            )


def _refuse_caffenet(layers: list[str]) -> None:
    if "norm1" in layers and "pool1" in layers and layers.index("pool1") < layers.index("norm1"):
        raise ValueError(
            "got CaffeNet, which pools before it normalises responses, expected AlexNet, which pools after"
        )
