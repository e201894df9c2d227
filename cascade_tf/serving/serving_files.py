"""The files beside the graph that a TensorFlow model server, or a client, reads from an exported folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

LABELS_FILE = "labels.json"
# Names that the server prescribes.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
BATCHING_FILE = "batching_params.pbtxt"


def labels_json(class_names: Sequence[str], category_ids: Sequence[int], upright: bool = True) -> str:
    """Returns the class list as JSON, and whether the model turns photos; ``read_labels`` is the inverse."""
    classes = [
        {"class": number, "category_id": int(category_id), "name": name}
        for number, (name, category_id) in enumerate(zip(class_names, category_ids, strict=True), start=1)
    ]
    return json.dumps({"upright": upright, "classes": classes}, indent=2, ensure_ascii=False) + "\n"


def read_labels(path: Path) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
    """Returns class names and category ids in the order of class 1..K, and whether photos are turned.

    Raises:
        ValueError: the file is missing or not of the form that ``labels_json`` gives.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        classes = sorted(content["classes"], key=lambda entry: entry["class"])
        names, ids = zip(*((str(entry["name"]), int(entry["category_id"])) for entry in classes), strict=True)
        return names, ids, bool(content.get("upright", True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: got no class list ({error!r}), expected an export of this package"
        ) from None


def warmup_requests(masks: bool = False) -> list[bytes]:
    """Returns requests that make a server run every signature once before the first client does.

    One landscape and one portrait image: the network resizes them to the largest sizes that clients' images
    of the common 4:3 can get, so that memory is allocated too.

    Args:
        masks: whether there is the signature ``full_masks``.
    """
    landscape, portrait = (np.full(shape, 127, np.uint8) for shape in ((36, 48, 3), (48, 36, 3)))
    inputs = [
        ("serving_default", {"image_bytes": np.array([tf.io.encode_jpeg(image).numpy()], object)})
        for image in (landscape, portrait)
    ]
    if masks:
        inputs.append(("full_masks", inputs[0][1]))
    inputs.append(("image_tensor", {"image_tensor": landscape[None]}))
    return [predict_log(signature, values) for signature, values in inputs]


def predict_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Serialises a ``tensorflow.serving.PredictionLog`` with one predict request.

    The message is small and its field numbers are fixed for good, so that it is written here by hand: the
    package that defines it would be a dependency for four lines.

    Args:
        signature: name of the signature to call.
        inputs: arrays by the name of the input.

    Returns:
        The message's bytes.
    """
    # PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec = 1 and .inputs = 2 (a
    # map: key = 1, value = 2), ModelSpec.signature_name = 3.
    request = _field(1, _field(3, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def batching_parameters(max_batch_size: int = 8, timeout_micros: int = 5000, threads: int = 2) -> str:
    """Returns the server's ``BatchingParameters`` as a text proto.

    Variable-length padding stays off: it would pad images with pixels that the network takes for content.
    """
    values = {
        "max_batch_size": max_batch_size,
        "batch_timeout_micros": timeout_micros,
        "max_enqueued_batches": 100,
        "num_batch_threads": threads,
    }
    return "".join(f"{name} {{ value: {value} }}\n" for name, value in values.items())


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
