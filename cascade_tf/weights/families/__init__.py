"""The families of checkpoints that can be imported."""

from __future__ import annotations

from cascade_tf.weights.families.caffe import CAFFE
from cascade_tf.weights.families.caffe_imagenet import CAFFE_IMAGENET
from cascade_tf.weights.families.detectron import DETECTRON
from cascade_tf.weights.families.detectron2 import DETECTRON2
from cascade_tf.weights.families.detectron_imagenet import DETECTRON_IMAGENET
from cascade_tf.weights.families.family import Family
from cascade_tf.weights.families.keras_applications import KERAS_APPLICATIONS
from cascade_tf.weights.families.mmdetection import MMDETECTION
from cascade_tf.weights.families.mscnn import MSCNN_FAMILY
from cascade_tf.weights.families.resnet_npz import RESNET_NPZ
from cascade_tf.weights.families.tensorpack import TENSORPACK
from cascade_tf.weights.families.torchvision import TORCHVISION
from cascade_tf.weights.files.checkpoint_file import CheckpointFile
from cascade_tf.weights.import_report import listed

DETECTOR_FAMILIES: tuple[Family, ...] = (
    DETECTRON2,
    MMDETECTION,
    DETECTRON,
    TENSORPACK,
    CAFFE,
    MSCNN_FAMILY,
)
"""Families of whole detectors, for ``import_checkpoint``."""

BACKBONE_FAMILIES: tuple[Family, ...] = (
    TORCHVISION,
    DETECTRON_IMAGENET,
    KERAS_APPLICATIONS,
    RESNET_NPZ,
    CAFFE_IMAGENET,
)
"""Families of backbones trained on ImageNet, for ``load_backbone``."""


def find_family(checkpoint: CheckpointFile, source: str, families: tuple[Family, ...]) -> Family:
    """The family that a checkpoint belongs to.

    Args:
        checkpoint: as read.
        source: name of a family, or ``"auto"`` to go by the tensors' names.
        families: to choose from.

    Raises:
        ValueError: no family has the name, the one that has it does not know the tensors' names, or not
            exactly one does.
    """
    known = [family.name for family in families]
    if source != "auto":
        named = next((family for family in families if family.name == source), None)
        if named is None:
            raise ValueError(f"source: got {source!r}, expected 'auto' or one of {', '.join(known)}")
        if not named.matches(checkpoint):
            raise ValueError(_not_of(named, checkpoint))
        return named
    claims = [family for family in families if family.matches(checkpoint)]
    if len(claims) == 1:
        return claims[0]
    found = f"it could be {' or '.join(family.name for family in claims)}" if claims else "it is none of them"
    reason = f"its family cannot be told from its names ({found})"
    raise ValueError(
        f"checkpoint {checkpoint.path}: {reason}; known are {', '.join(known)}; it holds the tensors "
        f"{listed(sorted(checkpoint.arrays))}"
    )


def _not_of(family: Family, checkpoint: CheckpointFile) -> str:
    claims = [other.name for other in DETECTOR_FAMILIES + BACKBONE_FAMILIES if other.matches(checkpoint)]
    return (
        f"checkpoint {checkpoint.path}: got the source {family.name!r} for tensors with the names "
        f"{listed(sorted(checkpoint.arrays))}, which are those of {' or '.join(claims) or 'no known family'}"
    )
