"""What mask heads on stages of a cascade need: the stages' foreground, and their loss."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cascade_tf.layers.base import require
from cascade_tf.layers.mask_head import MaskHead
from cascade_tf.layers.roi_features import ROIAlign
from cascade_tf.losses import mask_loss
from cascade_tf.ops.mask_targets import crop_masks
from cascade_tf.structures import InstanceTargets, MaskOutput, Samples, Tensor


def check_mask_heads(
    num_stages: int, heads: Sequence[MaskHead], numbers: Sequence[int], features: ROIAlign | None
) -> None:
    """Raises a ValueError unless there is one head for each of ``numbers``, and features for them."""
    expected = f"ascending numbers of stages in 1..{num_stages}"
    ascending = list(numbers) == sorted(set(numbers)) and all(1 <= n <= num_stages for n in numbers)
    require(ascending, "mask_stages", tuple(numbers), expected)
    require(
        len(heads) == len(numbers), "mask_heads", f"{len(heads)} heads", f"one for each of {tuple(numbers)}"
    )
    require(
        (features is None) == (not numbers),
        "mask_features",
        features,
        "a ROIAlign where there are mask heads",
    )


def foreground(samples: Samples) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes, classes, object indices and validity of the foreground: as many as the fullest image has."""
    is_foreground = samples.valid & (samples.classes > 0)
    most = tf.reduce_max(tf.reduce_sum(tf.cast(is_foreground, tf.int32), axis=1))
    order = tf.argsort(tf.cast(~is_foreground, tf.int32), axis=1, stable=True)[:, :most]

    def pick(values: Tensor) -> Tensor:
        return tf.gather(values, order, batch_dims=1)

    return pick(samples.boxes), pick(samples.classes), pick(samples.gt_index), pick(is_foreground)


def mask_head_loss(
    head: MaskHead, pooling: ROIAlign, output: MaskOutput, targets: InstanceTargets, image_size: Tensor
) -> Tensor:
    """The loss of one mask head on the foreground that it saw.

    Args:
        head: the mask head.
        pooling: what pooled its boxes; the masks have twice as many cells.
        output: of the head.
        targets: ground truth with masks.
        image_size: [B, 2] float32 (height, width) before padding.

    Returns:
        float32 scalar.
    """
    wanted = crop_masks(
        targets.masks,
        image_size,
        output.boxes,
        output.gt_index,
        output.valid,
        output_size=2 * pooling.output_size,
        implementation=pooling.implementation,
    )
    return mask_loss(head.of_classes(output.logits, output.classes), wanted, output.valid)
