"""What the benchmarks run: a full-size detector whose untrained weights behave like trained ones.

Times depend on values in three places: denormal numbers and overflows are slow, proposals decide what
RoIAlign reads, and scores decide what the last suppression gets. So the weights are drawn so that activations
neither grow nor vanish, a thousand proposals survive, and some hundred scores pass the threshold.
"""

from __future__ import annotations

from typing import Any

import measuring
import numpy as np

HEIGHT, WIDTH = 800, 1344
CLASSES = tuple(f"class {number}" for number in range(1, 81))


def flags(rounds: int) -> Any:
    """The flags of benchmarks that run the network on one image.

    Args:
        rounds: default number of counted rounds.
    """
    options = measuring.flags(rounds)
    options.choice("precision", "float32", ("float32", "mixed_bfloat16"), "What the layers compute in.")
    options.integer("height", HEIGHT, "Of the image in pixels, a multiple of 32.", lower=64)
    options.integer("width", WIDTH, "Of the image in pixels, a multiple of 32.", lower=64)
    return options


def calibrator(precision: str) -> measuring.Case:
    """The convolution in the type that the layers of that policy compute in."""
    return measuring.convolution("float32" if precision == "float32" else "bfloat16")


def make_detector(kind: str = "cascade", precision: str = "float32", seed: int = 0, **settings: Any) -> Any:
    """Builds an R50-FPN detector of 80 classes.

    Args:
        kind: ``"cascade"``, or ``"baseline"`` of one class-aware stage.
        precision: Keras policy that its layers compute in.
        seed: of the weights.
        **settings: of the detector, by dotted names.
    """
    import keras

    from cascade_tf import models
    from cascade_tf.training.precision import dtype_policy

    recipes = {"cascade": models.cascade_rcnn_fpn, "baseline": models.faster_rcnn_fpn}
    keras.utils.set_random_seed(seed)
    with dtype_policy(precision):
        detector = recipes[kind](CLASSES, **{"inputs.std": (57.375, 57.12, 58.395), **settings})
    _calm(detector)
    return detector


def _calm(detector: Any) -> None:
    rng = np.random.default_rng(1)
    for layer in detector.backbone.layers:
        # Sixteen residual sums would otherwise double the variance sixteen times.
        if layer.name.endswith("conv3_norm"):
            layer.gamma.assign(np.full(layer.gamma.shape, 0.2))
    for conv, scale in zip(detector.neck.outputs, _PYRAMID_SCALES, strict=True):
        conv.kernel.assign(conv.kernel * scale)
    offsets = detector.proposals.offsets.kernel
    offsets.assign(offsets * 2.0)
    for stage in detector.heads.stages:
        kernel = stage.head.classifier.kernel
        kernel.assign(rng.normal(0.0, CLASSIFIER_STD, kernel.shape))


# Gives the maps of all levels a standard deviation of one.
_PYRAMID_SCALES = (2.2, 3.0, 3.6, 5.8)
# Leaves about 500 of the 80 000 scores of a thousand boxes above 0.05.
CLASSIFIER_STD = 0.0435


def make_batch(batch_size: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Drawn images of the given padded size; their own width is 11 pixels less, as 1333 of 1344."""
    import tensorflow as tf

    from cascade_tf.structures import ImageBatch

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (batch_size, height // 16, width // 16, 3))
    images = np.clip(
        np.kron(coarse, np.ones((1, 16, 16, 1))) + rng.normal(0, 12, (batch_size, height, width, 3)), 0, 255
    )
    size = np.tile(np.array([[height, width - 11]], np.float32), (batch_size, 1))
    images[:, :, width - 11 :] = 0
    batch = ImageBatch(images.astype(np.uint8), size, size, np.arange(batch_size, dtype=np.int64))
    return tf.nest.map_structure(tf.constant, batch)


def make_targets(batch_size: int = 1, objects: int = 8, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Ground truth of that many objects in every image, about as many as COCO has."""
    import tensorflow as tf

    from cascade_tf.structures import Targets

    rng = np.random.default_rng(2)
    largest = min(300, height // 2, width // 2)
    low = rng.uniform(0, [width - 11 - largest, height - largest], (batch_size, objects, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, largest, low.shape)], axis=2).astype(np.float32)
    shape = (batch_size, objects)
    targets = Targets(
        boxes,
        rng.integers(1, len(CLASSES) + 1, shape, dtype=np.int32),
        np.ones(shape, bool),
        np.zeros(shape, bool),
        rng.integers(0, 1000, (batch_size, 2), dtype=np.int32),
    )
    return tf.nest.map_structure(tf.constant, targets)


def make_step(detector: Any, data: Any) -> Any:
    """The ``UpdateStep`` that training benchmarks run.

    Args:
        detector: as ``make_detector`` returns it.
        data: batch and targets of the sizes to trace for.
    """
    import tensorflow as tf

    from cascade_tf.training.optimizer import MomentumSGD
    from cascade_tf.training.step import UpdateStep

    # The rate is small, so that the weights stay near those of a network that behaves like a trained one.
    optimizer = MomentumSGD(1e-6, l2=1e-4)
    signature = tf.nest.map_structure(tf.TensorSpec.from_tensor, data)
    return UpdateStep(detector, optimizer, tf.distribute.get_strategy(), signature, clip_norm=35.0)
