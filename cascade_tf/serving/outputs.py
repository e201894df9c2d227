"""What a signature answers: detections under the names of TensorFlow's detection zoo, and more by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from cascade_tf.models import TwoStageDetector
from cascade_tf.prediction.inference import to_original_frame
from cascade_tf.structures import Detections, ImageBatch, InstanceDetections, Tensor

OWN_NAMES = (
    "detection_boxes",
    "detection_boxes_pixels",
    "detection_scores",
    "detection_classes",
    "detection_category_ids",
    "num_detections",
    "detection_masks",
    "detection_masks_reframed",
    "status",
)
"""The names that an output of one's own cannot have."""

Extra = Mapping[str, Callable[[dict[str, Tensor], Any], Tensor]]
"""Outputs by name, each of it a function of the features and the detections."""


def check_extra(detector: TwoStageDetector, extra: Extra) -> None:
    """Raises unless every extra output has a name of its own and something that computes it.

    Raises:
        ValueError: a name that cannot be, or a detector whose call is its own.
        TypeError: a value that cannot be called.
    """
    for name, function in extra.items():
        _check_name("extra", name)
        if not callable(function):
            raise TypeError(
                f"extra[{name!r}]: got {type(function).__name__}, expected a function or layer of "
                "(features, detections)"
            )
    if extra and type(detector).call is not TwoStageDetector.call:
        raise ValueError(
            f"extra: got {', '.join(extra)} for {type(detector).__name__}, which has a call of its own, "
            "expected further fields in what that call returns: they are exported under their names"
        )


def network_outputs(
    detector: TwoStageDetector, batch: ImageBatch, extra: Extra
) -> tuple[Detections | InstanceDetections, dict[str, Tensor]]:
    """What the network says of a batch.

    Args:
        detector: whose call returns ``Detections``, or a NamedTuple or dict of their fields and more.
        batch: padded images.
        extra: outputs that are computed beside; each is [B, D, ...].

    Returns:
        Detections in the network's frame, and the other outputs by name: half-precision numbers as float32,
        those of ``extra`` with zeros behind the last detection of an image.

    Raises:
        ValueError: an output has a name or a shape that cannot be.
        TypeError: an output is no tensor.
    """
    if not extra:
        return _split(detector, detector(batch, training=False))
    features = detector.features(batch)
    detections = detector.detect(features, batch)
    with detector.in_areas(batch):
        found = {name: _one_per_detection(name, extra[name], features, detections) for name in extra}
    return detections, found


def detection_outputs(
    detections: Detections | InstanceDetections, batch: ImageBatch, category_ids: Tensor
) -> dict[str, Tensor]:
    """Detections under their names in the zoo, in the frame of the original images.

    Args:
        detections: of ``batch``.
        batch: padded images.
        category_ids: [K + 1] int64, that of the background first.
    """
    valid, original_size = detections.valid, batch.original_size
    pixels = tf.where(
        valid[..., None], to_original_frame(detections.boxes, batch.image_size, original_size), 0.0
    )
    pixels = tf.gather(pixels, [1, 0, 3, 2], axis=2)
    outputs = {
        "detection_boxes": pixels / tf.tile(original_size[:, None], [1, 1, 2]),
        "detection_boxes_pixels": pixels,
        "detection_scores": detections.scores,
        "detection_classes": tf.cast(detections.classes, tf.float32),
        "detection_category_ids": tf.gather(category_ids, detections.classes),
        "num_detections": tf.reduce_sum(tf.cast(valid, tf.float32), axis=1),
    }
    if isinstance(detections, InstanceDetections):
        outputs["detection_masks"] = detections.masks
    return outputs


@contextlib.contextmanager
def no_new_weights() -> Iterator[None]:
    """Raises a ValueError at its end if something created weights meanwhile: those nobody has trained."""
    created: list[str] = []

    def note(create: Callable, **settings: Any) -> tf.Variable:
        variable = create(**settings)
        created.append(variable.name)
        return variable

    with tf.variable_creator_scope(note):
        yield
    if created:
        raise ValueError(
            f"further outputs: got layers without weights before the export ({', '.join(created)}), expected "
            "layers that were trained or loaded"
        )


def zero_unless(keep: Tensor, value: Tensor) -> Tensor:
    """Sets the entries of ``value`` to zero for which ``keep``, of its first axes, is false."""
    ones = tf.ones([value.shape.rank - keep.shape.rank], tf.int32)
    return tf.where(tf.reshape(keep, tf.concat([tf.shape(keep), ones], axis=0)), value, tf.zeros_like(value))


def _split(
    detector: TwoStageDetector, found: Any
) -> tuple[Detections | InstanceDetections, dict[str, Tensor]]:
    kind = InstanceDetections if detector.has_masks else Detections
    if isinstance(found, kind):
        return found, {}
    named = found._asdict() if hasattr(found, "_asdict") else found
    caller = f"the call of {type(detector).__name__}"
    if not isinstance(named, Mapping) or not set(kind._fields) <= set(named):
        raise ValueError(
            f"{caller}: got {_described(found)}, expected {kind.__name__}, or a NamedTuple or dict with "
            f"{', '.join(kind._fields)} and further names, which are exported as they are called"
        )
    further = {name: value for name, value in named.items() if name not in kind._fields}
    for name, value in further.items():
        _check_name(caller, name)
        further[name] = _exported(f"{caller}, {name}", value, ("B",))
    return kind(*(named[name] for name in kind._fields)), further


def _one_per_detection(
    name: str, function: Callable, features: dict[str, Tensor], detections: Detections | InstanceDetections
) -> Tensor:
    value = function(dict(features), detections)
    limit = detections.valid.shape[1]
    value = _exported(f"extra[{name!r}]", value, ("B", "D"), D=limit)
    return zero_unless(detections.valid, tf.ensure_shape(value, [None, limit, *value.shape[2:]]))


def _exported(owner: str, value: Any, axes: tuple[str, ...], **sizes: int) -> Tensor:
    """The tensor as a server can send it; its first axes must have the sizes, where they are known."""
    known = "".join(f" with {axis} = {size}" for axis, size in sizes.items())
    expected = f"a tensor [{', '.join(axes)}, ...]{known}"
    if not isinstance(value, tf.Tensor):
        raise TypeError(f"{owner}: got {_described(value)}, expected {expected}")
    # How many images come is not known here: a number in the first place is of something else.
    first = [sizes.get(axis) for axis in axes]
    fits = value.shape.rank is not None and value.shape.rank >= len(axes)
    if not fits or any(got not in (None, size) for got, size in zip(value.shape, first, strict=False)):
        raise ValueError(f"{owner}: got a tensor of shape {value.shape}, expected {expected}")
    return tf.cast(value, tf.float32) if value.dtype in (tf.bfloat16, tf.float16) else value


def _check_name(owner: str, name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{owner}: got the name {name!r}, expected letters, digits and underscores")
    if name in OWN_NAMES:
        own = ", ".join(OWN_NAMES)
        raise ValueError(f"{owner}: got the name {name!r}, expected none of the export's own: {own}")


def _described(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, Mapping):
        return f"a {name} of {', '.join(map(str, value))}"
    if type(value) in (tuple, list):
        return f"a {name} of {', '.join(type(one).__name__ for one in value)}"
    return f"a {name}"
