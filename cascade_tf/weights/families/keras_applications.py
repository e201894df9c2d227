"""Classifiers of Keras Applications as backbones: ResNet50, ResNet101, ResNet152 and VGG16."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.backbones.vgg import CONVOLUTIONS
from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.family import ClassifierLayers, Family, Source
from cascade_tf.weights.families.layouts import first_dense_from_hwc
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

PIXELS = {"inputs.order": "BGR", "inputs.mean": (103.939, 116.779, 123.68), "inputs.std": (1.0, 1.0, 1.0)}
"""What ``preprocess_input`` of these networks does."""
EPSILON_DIFFERENCE = 1.001e-5 - 1e-5
"""Theirs less ours, which batch normalisation adds to the variance."""

_PARTS = {"1": "conv1", "2": "conv2", "3": "conv3", "0": "shortcut"}
_LAYER = re.compile(r"conv1_(?:conv|bn)|conv[2-5]_block\d+_[0-3]_(?:conv|bn)|block[1-5]_conv[1-3]")
# VGG16's file spells it block1_conv1_W_1:0.
_OLD_VECTOR = re.compile(r".*_([Wb])_\d+")
_NUMBERED = re.compile(r"layers/(conv2d|batch_normalization)(?:_(\d+))?/vars/(\d)")
_VECTORS = {
    "conv2d": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
_NUMBERED_DENSE = re.compile(r"layers/dense(?:_(\d+))?/vars/([01])")
# In the order of the layers; the last one of the classifier has no place in a detector.
_CLASSIFIER_PLACES = ("fc1.kernel", "fc1.bias", "fc2.kernel", "fc2.bias")
_CLASSIFIER = re.compile(r"(?:.*/)?(?:predictions|fc1|fc2|dense(?:_\d+)?)/.*")


class KerasApplications(Family):
    """Weights of ``keras.applications`` in HDF5: ``.h5`` with the layers' names, or ``.weights.h5`` without.

    Convolutions have biases there, which go into the mean of the normalisation that follows; its epsilon
    differs from ours, and the difference goes into the variance. The stride sits in the first 1x1
    convolution.
    """

    name = "keras_applications"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are layers of such a network, or numbered convolutions."""
        return any(_layer(name) or _NUMBERED.fullmatch(name) for name in checkpoint.arrays)

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``; of VGG16 only the pixels."""
        if any("preact" in name for name in checkpoint.arrays):
            raise ValueError(
                "got a ResNet of version 2, whose blocks begin with their normalisation, expected version 1"
            )
        datasets = _datasets(checkpoint)
        if "backbone.conv1_1.kernel" in datasets:
            return dict(PIXELS)

        def shape_of(name: str) -> tuple[int, ...] | None:
            return checkpoint.arrays[datasets[name]].shape if name in datasets else None

        found = architecture.backbone_settings(shape_of)
        return {**found, "backbone.norm": "frozen", "backbone.stride_in_1x1": True, **PIXELS}

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        datasets = _datasets(checkpoint)
        name = datasets.get(place.name, place.name)
        if place.name.endswith(".norm.moving_mean"):
            bias = place.name.replace(".norm.moving_mean", ".bias")
            return Source((name, datasets.get(bias, bias)), lambda mean, bias: mean - bias)
        if place.name.endswith(".norm.moving_variance"):
            return Source((name,), _for_own_epsilon)
        return Source((name,), np.asarray)

    def classifier_layers(self, checkpoint: CheckpointFile) -> ClassifierLayers | None:
        """See ``Family.classifier_layers``; VGG16's."""
        names = {place: name for name in checkpoint.arrays if (place := _classifier_place(name))}
        if "backbone.conv1_1.kernel" not in _datasets(checkpoint) or not names:
            return None
        converted = {name: Source((names.get(name, name),), np.asarray) for name in _CLASSIFIER_PLACES}
        first = converted["fc1.kernel"]._replace(convert=partial(first_dense_from_hwc, pooled=7))
        is_numbered = any(_NUMBERED_DENSE.fullmatch(name) for name in names.values())
        last = "layers/dense_2/vars/0" if is_numbered else None
        return ClassifierLayers("C5", converted | {"fc1.kernel": first}, last)

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        return "ImageNet's classifier" if _CLASSIFIER.fullmatch(name) else None


KERAS_APPLICATIONS = KerasApplications()


def _classifier_place(name: str) -> str | None:
    """What a head calls a variable of the classifier; None for the last layer's and for other layers'.

    >>> _classifier_place("fc2/fc2_W_1:0"), _classifier_place("layers/dense/vars/1")
    ('fc2.kernel', 'fc1.bias')
    """
    numbered = _NUMBERED_DENSE.fullmatch(name)
    if numbered:
        place = f"fc{int(numbered[1] or 0) + 1}.{'kernel' if numbered[2] == '0' else 'bias'}"
    else:
        layer = next((part for part in name.split("/")[:-1] if part in ("fc1", "fc2")), None)
        place = f"{layer}.{_vector(name)}"
    return place if place in _CLASSIFIER_PLACES else None


def _for_own_epsilon(variance: np.ndarray) -> np.ndarray:
    return variance.astype(np.float64) + EPSILON_DIFFERENCE


def _datasets(checkpoint: CheckpointFile) -> dict[str, str]:
    """The data sets by the canonical names of what they hold."""
    numbered = [match for name in checkpoint.arrays if (match := _NUMBERED.fullmatch(name))]
    if numbered:
        return _numbered(numbered, checkpoint)
    named = {}
    for name in checkpoint.arrays:
        layer = _layer(name)
        if layer:
            named[f"backbone.{_canonical(layer)}.{_vector(name)}"] = name
    return named


def _layer(name: str) -> str | None:
    return next((part for part in name.split("/")[:-1] if _LAYER.fullmatch(part)), None)


def _canonical(layer: str) -> str:
    """The layer as a place names it.

    >>> _canonical("conv3_block4_1_bn"), _canonical("conv1_conv"), _canonical("block5_conv3")
    ('res3.3.conv1.norm', 'stem.conv1', 'conv5_3')
    """
    if layer.startswith("block"):
        return f"conv{layer[5]}_{layer[-1]}"
    norm = ".norm" if layer.endswith("_bn") else ""
    if layer.startswith("conv1_"):
        return f"stem.conv1{norm}"
    stage, block, part, _ = layer.split("_")
    return f"res{stage[-1]}.{int(block.removeprefix('block')) - 1}.{_PARTS[part]}{norm}"


def _vector(name: str) -> str:
    last = name.rpartition("/")[-1].removesuffix(":0")
    old = _OLD_VECTOR.fullmatch(last)
    return last if old is None else {"W": "kernel", "b": "bias"}[old[1]]


def _numbered(matches: Iterable[re.Match[str]], checkpoint: CheckpointFile) -> dict[str, str]:
    """Of a ``.weights.h5``, which counts the layers of each kind in the network's order."""
    found = [(match[1], int(match[2] or 0), int(match[3]), match[0]) for match in matches]
    counts = {kind: len({number for other, number, *_ in found if other == kind}) for kind in _VECTORS}
    networks = [list(_resnet_order(blocks)) for blocks in BLOCKS.values()]
    if not counts["batch_normalization"]:
        networks = [list(_vgg_order())]
    order = next((network for network in networks if len(network) == counts["conv2d"]), None)
    if order is None or counts["batch_normalization"] not in (0, len(order)):
        raise ValueError(
            f"got {counts['conv2d']} convolutions and "
            f"{counts['batch_normalization']} batch normalisations, expected those of ResNet50, ResNet101, "
            f"ResNet152 or VGG16"
        )
    suffix = {"conv2d": "", "batch_normalization": ".norm"}
    return {
        f"backbone.{order[number]}{suffix[kind]}.{_VECTORS[kind][variable]}": name
        for kind, number, variable, name in found
        if number < len(order) and variable < len(_VECTORS[kind])
    }


def _resnet_order(blocks: Iterable[int]) -> Iterator[str]:
    """Convolutions as Keras sorts them, by their distance from the network's output."""
    yield "stem.conv1"
    for stage, count in enumerate(blocks, start=2):
        for block in range(count):
            parts = ("conv1", "conv2", "shortcut", "conv3") if block == 0 else ("conv1", "conv2", "conv3")
            yield from (f"res{stage}.{block}.{part}" for part in parts)


def _vgg_order() -> Iterator[str]:
    for group, count in enumerate(CONVOLUTIONS, start=1):
        yield from (f"conv{group}_{number}" for number in range(1, count + 1))
