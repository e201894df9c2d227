"""What the benchmarks run: full-size detectors whose untrained weights behave like trained ones.

Times depend on values in three places: denormal numbers and overflows are slow, proposals decide what is
pooled, and scores decide what the last suppression gets. So the weights are drawn so that activations
neither grow nor vanish, a thousand proposals survive, and some hundred scores stand out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import measuring
import numpy as np

# An image of the default family as batches hold it, which is what the ops are measured on.
HEIGHT, WIDTH = 800, 1344


class Family(NamedTuple):
    """A cascade and its baseline.

    Attributes:
        cascade: name of its recipe in ``cascade_tf.models``.
        baseline: the same.
        row: the baseline's in the paper's Table 6; None: it is not there.
        settings: of both, where they are not the recipes' own.
        num_classes: of its data set.
    """

    cascade: str
    baseline: str
    row: str | None = None
    settings: Mapping[str, Any] = {}
    num_classes: int = 80

    def recipe(self, kind: str) -> Any:
        """The recipe of ``"cascade"`` or ``"baseline"``."""
        from cascade_tf import models

        return getattr(models, getattr(self, kind)).replace(self.settings)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image in landscape format that the recipe takes as it is."""
        recipe = self.recipe("cascade")
        return recipe.value("short_side"), recipe.value("max_side")


_RFCN = ("cascade_rfcn", "rfcn")
_FPN_PLUS = ("cascade_rcnn_fpn_plus", "faster_rcnn_fpn_plus")
_R101 = {"backbone.depth": 101}
# FPN+ keeps what passes its thresholds, which of random weights may be any number. Trained, about a thousand.
_ROOM = {"proposals.post_nms_test": 1000}
FAMILIES = {
    "fpn": Family("cascade_rcnn_fpn", "faster_rcnn_fpn"),
    "vgg16": Family("cascade_rcnn_vgg16", "faster_rcnn_vgg16", "Faster R-CNN, VGG"),
    "alexnet": Family("cascade_rcnn_alexnet", "faster_rcnn_alexnet"),
    "rfcn": Family(*_RFCN, "R-FCN, ResNet-50"),
    "rfcn_r101": Family(*_RFCN, "R-FCN, ResNet-101", _R101),
    "fpn_plus": Family(*_FPN_PLUS, "FPN+, ResNet-50", _ROOM),
    "fpn_plus_r101": Family(*_FPN_PLUS, "FPN+, ResNet-101", {**_R101, **_ROOM}),
    "mscnn_kitti": Family("cascade_mscnn_kitti", "mscnn_kitti", num_classes=4),
    "mscnn_citypersons": Family("cascade_mscnn_citypersons", "mscnn_citypersons", num_classes=1),
    "mscnn_widerface": Family("cascade_mscnn_widerface", "mscnn_widerface", num_classes=1),
}
DEFAULT = "fpn"


def flags(rounds: int) -> Any:
    """The flags of benchmarks that run the network of one family on one image.

    Args:
        rounds: default number of counted rounds.
    """
    options = measuring.flags(rounds)
    add_precision(options)
    add_family(options)
    add_image_size(options)
    return options


def add_precision(options: Any) -> None:
    """Declares ``--precision``."""
    options.choice("precision", "float32", ("float32", "mixed_bfloat16"), "What the layers compute in.")


def add_family(options: Any) -> None:
    """Declares ``--family``."""
    options.choice("family", DEFAULT, tuple(FAMILIES), "Of detectors: a cascade and its baseline.")


def add_image_size(options: Any) -> None:
    """Declares ``--height`` and ``--width``."""
    for name, side in (("height", "short_side"), ("width", "max_side")):
        text = f"Of the image in pixels, before it is padded; by default the recipe's {side}."
        options.integer(name, None, text, lower=64)


def image_size(values: Any, family: str) -> tuple[int, int]:
    """Height and width by the flags of ``add_image_size``."""
    height, width = FAMILIES[family].image_size
    return values.height or height, values.width or width


def calibrator(precision: str) -> measuring.Case:
    """The convolution in the type that the layers of that policy compute in."""
    return measuring.convolution("float32" if precision == "float32" else "bfloat16")


def make_detector(
    kind: str = "cascade", precision: str = "float32", seed: int = 0, family: str = DEFAULT, **settings: Any
) -> Any:
    """Builds a detector.

    Args:
        kind: ``"cascade"``, or ``"baseline"`` of one stage.
        precision: Keras policy that its layers compute in.
        seed: of the weights.
        family: one of ``FAMILIES``.
        **settings: of the detector, by dotted names.
    """
    import keras

    from cascade_tf.training.precision import dtype_policy

    keras.utils.set_random_seed(seed)
    with dtype_policy(precision):
        classes = tuple(f"class {number}" for number in range(1, FAMILIES[family].num_classes + 1))
        detector = FAMILIES[family].recipe(kind)(
            classes, **{"inputs.std": (57.375, 57.12, 58.395), **settings}
        )
    _calm(detector)
    return detector


# Standard deviations that a small image shows: these leave a thousand proposals of the default family, and
# about 500 of the 80 000 scores of a thousand boxes above 0.05.
_OFFSETS, _LOGITS = 0.1, 1.0


def _calm(detector: Any) -> None:
    """Scales kernels one after the other until what they make has a known standard deviation."""
    for layer in detector.backbone.layers:
        # Sixteen residual sums would otherwise double the variance sixteen times.
        if layer.name.endswith("conv3_norm"):
            layer.gamma.assign(np.full(layer.gamma.shape, 0.2))
    batch = make_batch(1, 256, 320)
    if detector.neck is not None:
        outputs = _named(detector.neck, "output")
        maps = detector.features(batch)
        for layer, name in zip(outputs, sorted(maps), strict=False):
            _scale([layer], 1.0, maps[name])
    _scale(_named(detector.proposals, "offsets"), _OFFSETS, detector.propose(batch)[1].deltas)
    features, _, proposals = detector.propose(batch)
    outputs = detector.heads(features, proposals, batch.image_size)
    for layer, output in zip(_named(detector.heads, "classifier"), outputs, strict=True):
        _scale([layer], _LOGITS, output.logits)


def _named(part: Any, name: str) -> list[Any]:
    """The layers of a part that it calls so, with or without a number."""
    return [
        named.layer for named in part.named_layers() if named.name.split(".")[-1].rstrip("0123456789") == name
    ]


def _scale(layers: list[Any], deviation: float, values: Any) -> None:
    """Multiplies kernels, so that ``values``, which they made, would have that standard deviation."""
    factor = deviation / float(np.std(np.asarray(values, np.float32)))
    for layer in layers:
        layer.kernel.assign(layer.kernel * factor)


def make_batch(batch_size: int = 1, height: int = 800, width: int = 1333) -> Any:
    """Drawn images of that size, padded to multiples of 32."""
    import tensorflow as tf

    from cascade_tf.structures import ImageBatch

    rng = np.random.default_rng(0)
    rows, columns = -(-height // 32) * 32, -(-width // 32) * 32
    coarse = rng.integers(0, 256, (batch_size, rows // 16, columns // 16, 3))
    images = np.kron(coarse, np.ones((1, 16, 16, 1))) + rng.normal(0, 12, (batch_size, rows, columns, 3))
    images = np.clip(images, 0, 255)
    images[:, height:] = images[:, :, width:] = 0
    size = np.tile(np.array([[height, width]], np.float32), (batch_size, 1))
    batch = ImageBatch(images.astype(np.uint8), size, size, np.arange(batch_size, dtype=np.int64))
    return tf.nest.map_structure(tf.constant, batch)


def make_targets(
    batch_size: int = 1, objects: int = 8, height: int = 800, width: int = 1333, family: str = DEFAULT
) -> Any:
    """Ground truth of that many objects in every image, about as many as COCO has, of a family's classes."""
    import tensorflow as tf

    from cascade_tf.structures import Targets

    rng = np.random.default_rng(2)
    largest = min(300, height // 2, width // 2)
    low = rng.uniform(0, [width - largest, height - largest], (batch_size, objects, 2))
    boxes = np.concatenate([low, low + rng.uniform(20, largest, low.shape)], axis=2).astype(np.float32)
    shape = (batch_size, objects)
    targets = Targets(
        boxes,
        rng.integers(1, FAMILIES[family].num_classes + 1, shape, dtype=np.int32),
        np.ones(shape, bool),
        np.zeros(shape, bool),
        rng.integers(0, 1000, (batch_size, 2), dtype=np.int32),
    )
    return tf.nest.map_structure(tf.constant, targets)


def make_data(height: int, width: int, family: str = DEFAULT) -> tuple[Any, Any]:
    """Batch and targets of one image of that size, with objects of a family's classes."""
    return make_batch(1, height, width), make_targets(1, height=height, width=width, family=family)


def make_call(detector: Any, batch: Any) -> Callable[[], Any]:
    """Detection in a batch, traced with folded weights prepared, as ``predict`` and the export trace it."""
    import tensorflow as tf

    from cascade_tf.layers.folding import PreparedWeights

    with PreparedWeights.of(detector).in_use():
        traced = tf.function(lambda batch: detector(batch), autograph=False).get_concrete_function(batch)
    return lambda: measuring.wait(traced(*batch))


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
