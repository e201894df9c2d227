"""Targets of one example, with masks."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import InstanceTargets, Targets, Tensor


def only_valid(masks: Tensor, valid: Tensor) -> Tensor:
    """The masks [G, h, w], zeros where an object is not valid."""
    return tf.where(_at_least_one(valid)[:, None, None], masks, tf.zeros_like(masks))


def with_masks(targets: Targets, masks: Tensor, intact: Tensor) -> InstanceTargets:
    """An example's targets with masks.

    Args:
        targets: without the axis of a batch.
        masks: [G, h, w].
        intact: [G] bool, whether an object has one.
    """
    # An object without a mask is still one: as a crowd it is neither learnt nor punished, while an empty mask
    # would teach the mask heads nonsense, and its absence would teach the boxes' heads that it is background.
    crowd = targets.crowd | (targets.valid & ~intact)
    boxes, classes, valid, crowd = (
        _at_least_one(values) for values in (targets.boxes, targets.classes, targets.valid & intact, crowd)
    )
    return InstanceTargets(boxes, classes, valid, crowd, targets.seed, masks)


def _at_least_one(values: Tensor) -> Tensor:
    """Adds padding to an image without objects: nothing downstream has to think of an empty axis."""
    missing = tf.maximum(1 - tf.shape(values)[0], 0)
    return tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
