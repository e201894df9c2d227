"""What every way of running a detector on images shares: padded batches, and graphs that are traced once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.layers.folding import PreparedWeights
from cascade_tf.ops.resize import network_size, resize_image
from cascade_tf.structures import Batch, ImageBatch, ProposalBatch, Proposals

# A batch of any size.
IMAGE_BATCH_SPEC = ImageBatch(
    images=tf.TensorSpec([None, None, None, 3], tf.uint8),
    image_size=tf.TensorSpec([None, 2], tf.float32),
    original_size=tf.TensorSpec([None, 2], tf.float32),
    image_id=tf.TensorSpec([None], tf.int64),
)

PROPOSAL_BATCH_SPEC = ProposalBatch(
    *IMAGE_BATCH_SPEC,
    proposals=Proposals(
        boxes=tf.TensorSpec([None, None, 4], tf.float32),
        scores=tf.TensorSpec([None, None], tf.float32),
        valid=tf.TensorSpec([None, None], tf.bool),
    ),
)

# Traced functions by detector and name. They hold the detector weakly, so that the cache keeps none alive.
_traced: weakref.WeakKeyDictionary[Any, dict[str, Callable]] = weakref.WeakKeyDictionary()
# What these functions read in place of some of the detector's weights.
_prepared: weakref.WeakKeyDictionary[Any, PreparedWeights] = weakref.WeakKeyDictionary()
# Several threads may predict: graphs of one detector must share one set of prepared weights.
_lock = threading.RLock()


def prepare_weights(detector: Any) -> None:
    """Computes from a detector's present weights what its traced functions read.

    Call it before a series of calls of them; weights that change later are not seen.
    """
    with _lock:
        if detector in _prepared:
            _prepared[detector].update()
        else:
            _prepared[detector] = PreparedWeights.of(detector)


def batch_spec(detector: Any) -> Batch:
    """The specification of a batch of any size, as a detector takes it."""
    return PROPOSAL_BATCH_SPEC if detector.takes_proposals else IMAGE_BATCH_SPEC


def require_own_proposals(detector: Any, what: str) -> None:
    """Raises a ValueError unless a detector makes its proposals itself.

    Args:
        detector: a ``TwoStageDetector``.
        what: has only images.
    """
    if detector.takes_proposals:
        raise ValueError(
            f"the detector takes its proposals from a file and {what} has only images; expected one that "
            "makes them, or a data set with proposals, whose detections evaluate.py writes"
        )


def traced(
    detector: Any, name: str, function: Callable[..., Any], signature: Sequence[Any] | None = None
) -> Callable:
    """Returns a function of a detector as a graph, traced once per detector.

    Settings of the detector that change after the trace are not seen, and of its weights it sees the values
    at the last `prepare_weights`.

    Args:
        detector: what ``function`` gets first; it is held weakly.
        name: of the function in the cache.
        function: takes the detector and tensors.
        signature: specifications of the tensors; None: of one batch.

    Returns:
        A callable that takes the tensors.
    """
    with _lock:
        functions = _traced.setdefault(detector, {})
        if name not in functions:
            if detector not in _prepared:
                prepare_weights(detector)
            reference = weakref.ref(detector)

            def run(*tensors: Any) -> Any:
                with _prepared[reference()].in_use():
                    return function(reference(), *tensors)

            specs = [batch_spec(detector)] if signature is None else list(signature)
            functions[name] = tf.function(run, input_signature=specs, autograph=False)
        return functions[name]


def make_batch(
    images: Sequence[np.ndarray],
    *,
    short_side: int | None,
    max_side: int | None,
    size_divisor: int,
    side_multiple: int | None = None,
    resize: str = "shorter_side",
    first_id: int = 0,
) -> ImageBatch:
    """Resizes images and pads them to a common size.

    Args:
        images: [H, W, 3] uint8 RGB each.
        short_side: length of the shorter side in pixels; None leaves the images as they are.
        max_side: limit of the longer side; None likewise.
        size_divisor: both sides of the batch are multiples of it.
        side_multiple: ``multiple`` of ``ops.resize.network_size``.
        resize: as there.
        first_id: id of the first image; the others count on.
    """
    resized = [_resize(image, short_side, max_side, side_multiple, resize) for image in images]
    sizes = np.array([image.shape[:2] for image in resized])
    height, width = -(-sizes.max(axis=0) // size_divisor) * size_divisor
    pixels = np.zeros((len(images), height, width, 3), np.uint8)
    for canvas, image in zip(pixels, resized, strict=True):
        canvas[: image.shape[0], : image.shape[1]] = image
    return ImageBatch(
        images=tf.constant(pixels),
        image_size=tf.constant(sizes, tf.float32),
        original_size=tf.constant([image.shape[:2] for image in images], tf.float32),
        image_id=tf.range(first_id, first_id + len(images), dtype=tf.int64),
    )


def _resize(
    image: np.ndarray, short_side: int | None, max_side: int | None, multiple: int | None, resize: str
) -> np.ndarray:
    if short_side is None or max_side is None:
        return image
    height, width = image.shape[:2]
    size = network_size(height, width, short_side, max_side, multiple, resize)
    # The resize rounds to whole grey levels, so that uint8 holds them exactly.
    return resize_image(image, size).numpy().astype(np.uint8)
