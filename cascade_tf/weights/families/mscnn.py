"""The networks of MS-CNN and of its cascade, ``.caffemodel`` files (zhaoweicai/mscnn)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from cascade_tf.parts import Part
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.families.layouts import channels_first
from cascade_tf.weights.families.mscnn_architecture import (
    architecture,
    conventions,
    hidden_layer,
    kernel_elements,
    recipe_of_blobs,
    template_layers,
    templates_of,
)
from cascade_tf.weights.network_size import check_elements
from cascade_tf.weights.places import Place
from cascade_tf.weights.recipe_arguments import outer_first

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

_INDICES = {"kernel": "0", "bias": "1"}
_SUFFIXES = ("", "_2nd", "_3rd")
_HEAD = {"conv1": "roi_c1", "fc1": "fc6", "classifier": "cls_pred", "regressor": "bbox_pred"}


class MSCNN(Family):
    """Networks for KITTI, CityPersons and WIDER FACE, each as baseline or cascade.

    Their RoIs end with their last pixel, and an imported detector calculates so, too. Files of the first of
    the two steps of training have proposal branches alone; they are no detectors.
    """

    name = "mscnn"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are proposal branches and a head under the authors' names."""
        blobs = checkpoint.arrays
        return "roi_c1/0" in blobs and "cls_pred/0" in blobs and bool(template_layers(blobs))

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        rows = len(checkpoint.arrays["cls_pred/0"])
        if rows < 2:
            raise ValueError(f"got cls_pred/0 with {rows} rows, expected one for each of K + 1 classes")
        return rows - 1

    def base(self, checkpoint: CheckpointFile) -> Part:
        """See ``Family.base``."""
        return recipe_of_blobs(checkpoint.arrays)

    def recipe(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> Part:
        """See ``Family.recipe``."""
        return self.base(checkpoint).replace(outer_first(settings))

    def check_size(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> None:
        """See ``Family.check_size``."""
        elements = kernel_elements(settings, self.base(checkpoint), self.num_classes(checkpoint))
        check_elements(checkpoint, elements)

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        blobs = checkpoint.arrays
        recipe = recipe_of_blobs(blobs)
        told = templates_of(checkpoint.metadata, recipe)
        return {
            **architecture(blobs),
            **conventions(recipe),
            **({"proposals.templates": told} if told else {}),
        }

    def told(self, checkpoint: CheckpointFile) -> frozenset[str]:
        """Templates where the file has its layers' parameters: a net with others has the same weights."""
        told = templates_of(checkpoint.metadata, recipe_of_blobs(checkpoint.arrays))
        return frozenset({"proposals.templates"} if told else ())

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        return Source((blob_of(place.name, checkpoint.arrays),), channels_first(place))

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        layer = name.rpartition("/")[0]
        if layer == "conv4_3_2x":
            return "a fixed interpolation, which is computed here"
        if re.search(r"_(1st|2nd)_3rd$", layer):
            return "weights of a stage once more, which runs again on the boxes of a later one"
        return None


def blob_of(name: str, blobs: Mapping[str, Any]) -> str:
    """The blob of a variable, ``LAYER/INDEX``.

    Args:
        name: canonical, such as ``"rpn.template1_2.kernel"`` or ``"head2.fc1.bias"``.
        blobs: arrays by their names, for what is spelled in one of several ways.
    """
    part, layer, variable = name.split(".")
    index = _INDICES[variable]
    if part == "rpn":
        return f"{_branch_layer(layer, blobs)}/{index}"
    if part.startswith("head"):
        stage = int(part.removeprefix("head"))
        suffix = _SUFFIXES[stage - 1] if stage <= len(_SUFFIXES) else f"_{stage}th"
        return f"{_HEAD[layer]}{suffix}/{index}"
    return f"{layer}/{index}"


def _branch_layer(layer: str, blobs: Mapping[str, Any]) -> str:
    if layer.startswith("hidden"):
        branch = int(layer.removeprefix("hidden"))
        return hidden_layer(branch, blobs) or f"rpn_{branch}_conv"
    branch, number = map(int, layer.removeprefix("template").split("_"))
    layers = template_layers(blobs)
    known = branch <= len(layers) and number <= len(layers[branch - 1])
    return layers[branch - 1][number - 1] if known else f"LFCN_{branch}_{number}"


MSCNN_FAMILY = MSCNN()
