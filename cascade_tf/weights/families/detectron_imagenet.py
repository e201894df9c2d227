"""Backbones of Detectron's and detectron2's zoo that were trained on ImageNet, under Caffe2's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from cascade_tf.weights.families.caffe2_backbone import (
    backbone_settings,
    backbone_source,
    has_statistics,
    ignored_in_backbone,
)
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

# Detectron divides by nothing: the standard deviation is in the first convolution of the weights that it
# uses. Weights with statistics are detectron2's copies of what Caffe2 trained on normalised pixels.
DETECTRON_PIXELS = {"inputs.mean": (102.9801, 115.9465, 122.7717), "inputs.std": (1.0, 1.0, 1.0)}
CAFFE2_PIXELS = {"inputs.mean": (103.53, 116.28, 123.675), "inputs.std": (57.375, 57.12, 58.395)}


class DetectronImageNet(Family):
    """R-50, R-101, X-101-32x8d, X-152-32x8d-IN5k and the ones with GroupNorm, as ``.pkl`` files.

    Batch normalisation is folded into a scale and a bias, or stands there with its statistics.
    """

    name = "detectron_imagenet"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there is a ResNet under Caffe2's names, and no detector on it."""
        names = set(checkpoint.arrays)
        return {"conv1_w", "res2_0_branch2a_w"} <= names and "cls_score_w" not in names

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        found = backbone_settings(checkpoint.arrays)
        # Microsoft's ResNets subtract the mean only, whether their statistics are folded or not.
        divides = has_statistics(checkpoint.arrays) and not found["backbone.stride_in_1x1"]
        return {**found, "inputs.order": "BGR", **(CAFFE2_PIXELS if divides else DETECTRON_PIXELS)}

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        return backbone_source(place, getattr(model, "norm", "none"), checkpoint.arrays)

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        return ignored_in_backbone(name)


DETECTRON_IMAGENET = DetectronImageNet()
