"""The authors' own networks for COCO and VOC, ``.caffemodel`` files (zhaoweicai/cascade-rcnn)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.parts import Part
from cascade_tf.weights.families.caffe_architecture import architecture, recipe_of_blobs, stages_of
from cascade_tf.weights.families.caffe_conventions import conventions
from cascade_tf.weights.families.caffe_names import blob_of
from cascade_tf.weights.families.caffe_size import kernel_elements
from cascade_tf.weights.families.conventions import cascade_ious
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.families.layouts import channels_first
from cascade_tf.weights.network_size import check_elements
from cascade_tf.weights.places import Place
from cascade_tf.weights.recipe_arguments import outer_first

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile


class Caffe(Family):
    """Faster R-CNN on VGG16 and AlexNet, R-FCN and FPN+, each as baseline or cascade.

    The networks count pixels: a box ends with its last one, and sizes have a ``+ 1``. An imported detector
    calculates so, too. Normalisations of a ResNet are a scale and a shift; the bias that the first
    convolution of the 50-layer network has in front of its own is, negated, the mean that a normalisation
    subtracts.
    """

    name = "caffe"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are a proposal network and a classifier of regions under the authors' names."""
        blobs = checkpoint.arrays
        proposes = "rpn_cls/0" in blobs or "rpn_fpn2_cls/0" in blobs
        return proposes and ("cls_pred/0" in blobs or "rfcn_cls/0" in blobs)

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        blobs = checkpoint.arrays
        name, cells = ("rfcn_cls/0", 49) if "rfcn_cls/0" in blobs else ("cls_pred/0", 1)
        rows = blobs[name].shape[0]
        if rows % cells or rows // cells < 2:
            raise ValueError(f"got {name} with {rows} rows, expected {cells} for each of K + 1 classes")
        return rows // cells - 1

    def base(self, checkpoint: CheckpointFile) -> Part:
        """See ``Family.base``."""
        return recipe_of_blobs(checkpoint.arrays)

    def recipe(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> Part:
        """See ``Family.recipe``."""
        return self.base(checkpoint).replace(outer_first(settings))

    def check_size(self, checkpoint: CheckpointFile, settings: Mapping[str, Any]) -> None:
        """See ``Family.check_size``."""
        elements = kernel_elements(self.base(checkpoint), settings, self.num_classes(checkpoint))
        check_elements(checkpoint, elements)

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        blobs = checkpoint.arrays
        found, stages = architecture(blobs), stages_of(blobs)
        return {
            **found,
            "heads.ious": cascade_ious(stages),
            **conventions(blobs, found.get("backbone.depth"), stages),
        }

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        blobs = checkpoint.arrays
        if place.name.endswith("moving_mean"):
            return _mean(place, blobs)
        if place.name.endswith("moving_variance"):
            epsilon = model.backbone.get_layer(_norm_layer(place.name)).epsilon
            return Source((), lambda: np.full(place.shape, 1.0 - epsilon, np.float32))
        return Source((blob_of(place.name, blobs),), channels_first(place))

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        layer = name.rpartition("/")[0]
        if layer.endswith(("_2x", "_2x_down")):
            return "a fixed interpolation, which is computed here"
        if re.search(r"_(1st|2nd)_(2nd|3rd)$", layer):
            return "weights of a stage once more, which runs again on the boxes of a later one"
        return None


CAFFE = Caffe()


def _mean(place: Place, blobs: Any) -> Source:
    bias = "conv1/1"
    if place.name == "backbone.stem.conv1.norm.moving_mean" and bias in blobs:
        return Source((bias,), np.negative)
    return Source((), lambda: np.zeros(place.shape, np.float32))


def _norm_layer(name: str) -> str:
    """The layer of a backbone that a place belongs to: ``backbone.res2.0.conv1.norm.gamma``'s."""
    return "_".join(name.split(".")[1:-1])
