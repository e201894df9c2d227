"""Values of the data flow as callers hand them over: lists, dicts and wider numbers become the structures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from cascade_tf.layers.base import require
from cascade_tf.structures import (
    Batch,
    ImageBatch,
    InstanceTargets,
    ProposalBatch,
    Proposals,
    Targets,
    Tensor,
)

# By the names of the structures' fields, which mean the same in all of them; others keep their type.
_TYPES = {
    "image_size": tf.float32,
    "original_size": tf.float32,
    "image_id": tf.int64,
    "boxes": tf.float32,
    "scores": tf.float32,
    "valid": tf.bool,
    "classes": tf.int32,
    "crowd": tf.bool,
    "seed": tf.int32,
}


def is_batch(value: Any) -> bool:
    """Whether a value is a batch: the structure, a dict of its fields, or their list; see ``as_batch``."""
    if isinstance(value, Mapping):
        return "images" in value
    lengths = (len(ImageBatch._fields), len(ProposalBatch._fields))
    if not isinstance(value, (tuple, list)) or len(value) not in lengths:
        return False
    # Four images in a list have three axes each.
    return isinstance(value, tuple) or len(getattr(value[0], "shape", ())) == 4


def as_batch(value: Any) -> Batch:
    """A batch with the types that its structure promises.

    Args:
        value: an ``ImageBatch`` or ``ProposalBatch``, the list of its fields, as a functional model from a
            file hands it over, or a dict by their names; more entries are not looked at. Numbers may be of
            any type.

    Raises:
        ValueError: a field is missing, or ragged.
    """
    kind = ProposalBatch if _has(value, "proposals", len(ProposalBatch._fields)) else ImageBatch
    batch = _structure(kind, value, "batch")
    return batch._replace(proposals=as_proposals(batch.proposals)) if kind is ProposalBatch else batch


def as_proposals(value: Any) -> Proposals:
    """Proposals with the types that their structure promises; see ``as_batch``."""
    return _structure(Proposals, value, "proposals")


def as_targets(value: Any) -> Targets | InstanceTargets:
    """Ground truth with the types that its structure promises; see ``as_batch``."""
    require(value is not None, "targets", value, "Targets, the ground truth")
    kind = InstanceTargets if _has(value, "masks", len(InstanceTargets._fields)) else Targets
    return _structure(kind, value, "targets")


def instance_targets(value: Any) -> InstanceTargets:
    """Ground truth with masks, see ``as_targets``.

    Raises:
        ValueError: it has none; or a field is missing, or ragged.
    """
    targets = as_targets(value)
    if not isinstance(targets, InstanceTargets):
        raise ValueError("the detector has mask heads: got Targets without masks, expected InstanceTargets")
    return targets


def box_targets(value: Any, num_classes: int | None = None) -> Targets:
    """Ground truth without masks, whose labels are those of the package.

    Args:
        value: see ``as_targets``.
        num_classes: K; None: labels have no upper limit.

    Raises:
        ValueError: a valid object has another label than 1..K; or a field is missing, or ragged.
        tf.errors.InvalidArgumentError: the same labels, where a graph runs.
    """
    targets = Targets(*as_targets(value)[: len(Targets._fields)])
    return targets._replace(classes=_checked_labels(targets, num_classes))


def _has(value: Any, field: str, count: int) -> bool:
    return field in value if isinstance(value, Mapping) else len(value) == count


def _structure(kind: Any, value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        missing = [field for field in kind._fields if field not in value]
        require(not missing, name, tuple(value), f"the entries of {kind.__name__}, also {', '.join(missing)}")
        value = [value[field] for field in kind._fields]
    require(len(value) == len(kind._fields), name, value, f"the fields of {kind.__name__}")
    return kind(*(_typed(field, one, name) for field, one in zip(kind._fields, value, strict=True)))


def _typed(field: str, value: Any, name: str) -> Any:
    if isinstance(value, tf.RaggedTensor):
        raise ValueError(
            f"{name}.{field}: got a ragged tensor, expected one that is padded (to_tensor() does it), with "
            "`valid` false in the padding"
        )
    return tf.cast(value, _TYPES[field]) if field in _TYPES else value


def _checked_labels(targets: Targets, num_classes: int | None) -> Tensor:
    """The labels, to be had only where no valid object is background or of a class that there is not."""
    wanted = "1 or more" if num_classes is None else f"1..{num_classes}"
    hint = f"{wanted}: labels start at 1, class 0 is the background"
    # Labels come from the host, and an assertion needs them there.
    with tf.device("/cpu:0"):
        labels = tf.where(targets.valid, targets.classes, 1)
        lowest, highest = tf.reduce_min(labels), tf.reduce_max(labels)
        right = lowest >= 1
        if num_classes is not None:
            right &= highest <= num_classes
        if tf.executing_eagerly():
            wrong = lowest if lowest < 1 else highest
            require(bool(right), "targets.classes", int(wrong), f"{hint} (of a valid object)")
            return targets.classes
        got = "targets.classes: got valid objects of the classes from"
        check = tf.debugging.Assert(right, [got, lowest, "to", highest, f"expected {hint}"])
        with tf.control_dependencies([check]):
            return tf.identity(targets.classes)
