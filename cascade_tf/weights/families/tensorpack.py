"""Detectors of tensorpack: Faster, Mask, Cascade and Cascade Mask R-CNN with a feature pyramid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.conventions import SHARED_CONVENTIONS, cascade_ious
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.families.layouts import behind_pooling
from cascade_tf.weights.families.tensorpack_names import num_stages, tensor_name
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

_OPTIMIZER = re.compile(r".*/(Momentum|Adam|Adam_1|AccumGrad)|(EMA|AccumGrad|apply_gradients).*")


class Tensorpack(Family):
    """tensorpack's ``.npz`` files.

    TensorFlow's layouts need no transposition, except for the first fully connected layer, whose input is
    flattened as (channel, row, column). Background is class 0 in the scores and in class-aware boxes;
    class-agnostic boxes and masks have none. Pixels are BGR, although the configuration there lists means
    and deviations as RGB.

    The conventions are those of tensorpack's last version, whose anchors are detectron2's. Before, they were
    Detectron's, which no tensor tells: ``anchor_offset=0.5, round_anchors=True``. Weights that were converted
    from detectron2 need its ``pixel_std=(1, 1, 1)`` and ``stride_in_1x1=True``.
    """

    name = "tensorpack"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are a stem, region proposals and box heads under tensorpack's names."""
        names = {name.removesuffix(":0") for name in checkpoint.arrays}
        heads = {"fastrcnn/outputs/class/b", "cascade_rcnn_stage1/outputs/class/b"}
        return {"conv0/W", "rpn/conv0/W"} <= names and bool(heads & names)

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        name = tensor_name("head1.classifier.bias", checkpoint.arrays)
        shape = checkpoint.arrays[name].shape
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(f"got {name} of shape {shape}, expected K + 1 numbers")
        return shape[0] - 1

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        arrays = checkpoint.arrays
        _refuse_group_normalization(checkpoint)
        stages = num_stages(arrays)

        def shape_of(name: str) -> tuple[int, ...] | None:
            array = arrays.get(tensor_name(name, arrays))
            if array is None:
                return None
            return (_without_background(array) if ".regressor." in name else array).shape

        masks = (1,) if shape_of("mask1.predictor.kernel") else ()
        found = architecture.backbone_settings(shape_of) | {"backbone.norm": "frozen"}
        found |= architecture.fpn_settings(shape_of) | architecture.head_settings(shape_of, stages)
        found |= architecture.mask_settings(shape_of, masks, self.num_classes(checkpoint))
        return found | _conventions(stages)

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        name = tensor_name(place.name, checkpoint.arrays)
        if place.kind == "first_dense":
            convert = behind_pooling(place)
            return Source((name,), lambda values: convert(values.T))
        return Source((name,), _without_background if ".regressor." in place.name else np.asarray)

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        name = name.removesuffix(":0")
        if name in ("global_step", "learning_rate"):
            return "the state of the training"
        return "the state of the optimizer or of a summary" if _OPTIMIZER.fullmatch(name) else None


TENSORPACK = Tensorpack()


def _without_background(values: np.ndarray) -> np.ndarray:
    """Class-agnostic boxes have four outputs and no background; class-aware ones begin with it."""
    return values[..., 4:] if values.shape[-1] > 4 else values


def _refuse_group_normalization(checkpoint: CheckpointFile) -> None:
    groups = sorted(name for name in checkpoint.arrays if re.search(r"/gn(\d|_[cp]\d)?/gamma", name))
    if groups:
        raise ValueError(
            f"got GroupNorm ({groups[0]} and {len(groups) - 1} more), which "
            f"tensorpack applies after the ReLU of its heads and to convolutions with biases in its pyramid; "
            f"expected batch normalisation in the backbone alone"
        )


def _conventions(stages: int) -> dict[str, Any]:
    """What no tensor tells. RoIAlign is a crop at twice the size, averaged two by two."""
    return SHARED_CONVENTIONS | {
        "backbone.stride_in_1x1": False,
        "inputs.order": "BGR",
        "inputs.mean": (103.53, 116.28, 123.675),
        "inputs.std": (57.375, 57.12, 58.395),
        "heads.pooling.sampling_ratio": 2,
        "proposals.post_nms_train": 2000,
        "proposals.claim_untouched": False,
        "proposals.beta": 1.0 / 9.0,
        "heads.box_beta": 0.0,
        "heads.ious": cascade_ious(stages),
        "heads.round_statistics": False,
        "heads.weighting": "avg",
        "heads.rescale_heads": True,
        "heads.later_samples": None,
        "heads.append_ground_truth": "first",
        "heads.ensemble": "own_boxes",
    }
