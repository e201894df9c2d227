"""A trained detector to a SavedModel that a stock TensorFlow Serving loads.

Such a server links its ops statically, so the graph holds core ops only. The network itself is one function
that both signatures call: its nodes are written once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.files import write_atomically
from cascade_tf.layers.folding import PreparedWeights
from cascade_tf.ops.decode import decode_image
from cascade_tf.ops.library import sizes_fit
from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.ops.resize import network_size, resize_image
from cascade_tf.prediction.network_calls import require_own_proposals
from cascade_tf.serving import serving_files
from cascade_tf.serving.core_ops import core_ops
from cascade_tf.serving.outputs import (
    Extra,
    check_extra,
    detection_outputs,
    network_outputs,
    no_new_weights,
    zero_unless,
)
from cascade_tf.structures import ImageBatch, Tensor

__all__ = ["core_ops", "export_saved_model"]

_UNDECODABLE = (
    "image_bytes: cannot be decoded, expected whole JPEG, PNG, GIF or BMP files; positions in the batch:"
)
# What Pillow refuses: three times the pixels of the largest cameras in use.
MAX_PIXELS = 178_956_970


def export_saved_model(
    detector: Any,
    folder: str | os.PathLike[str],
    *,
    version: int = 1,
    extra: Extra | None = None,
    batching: bool = True,
    overwrite: bool = False,
    export_status: bool = False,
    upright: bool | None = None,
    max_pixels: int | None = MAX_PIXELS,
) -> Path:
    """Writes ``folder/version/``, all of it or nothing.

    Signatures: ``serving_default`` takes ``image_bytes`` [B] string, encoded JPEG, PNG, GIF, BMP or WebP
    (without alpha and animation) of any sizes; ``image_tensor`` takes ``image_tensor`` [B, H, W, 3] uint8
    RGB. Both return, with D = the detector's ``max_detections`` and zeros behind the last detection of an
    image:

        detection_boxes           [B, D, 4] float32 (ymin, xmin, ymax, xmax) / original image size, 0..1
        detection_boxes_pixels    [B, D, 4] float32 the same in pixels of the original image
        detection_scores          [B, D] float32, best first
        detection_classes         [B, D] float32 in 1..K
        detection_category_ids    [B, D] int64 the data set's ids
        num_detections            [B] float32
        detection_masks           [B, D, M, M] float32 in 0..1, the cells of each box that the object covers;
                                  only from detectors with mask heads

    Detectors with mask heads have a third signature: ``full_masks`` takes ``image_bytes`` and also returns

        detection_masks_reframed  [B, D, H, W] uint8, 1 on the pixels of each object; H and W are those of the
                                  largest image of the batch

    A batch of no images gives outputs with B = 0. Images that cannot be decoded fail the whole batch with
    INVALID_ARGUMENT, and the message names their positions in it. With ``export_status`` they do not: their
    entries are zeros, and every signature also returns

        status                    [B] int32, 0 where the image was decoded, 1 where it cannot be

    A subclass whose call returns more than ``Detections``, as further fields of a NamedTuple or dict, has
    these as outputs of every signature too: tensors [B, ...], as they are, under the fields' names.

    Args:
        detector: a ``TwoStageDetector``; it is left as it was.
        folder: the model's base folder, which the server watches for versions.
        version: number of the version, at least 0; the server takes the highest.
        extra: further outputs of every signature by name. Each is a function or Keras layer of (features,
            detections): ``detector.features``' maps ``{"P2": [B, h, w, C], ...}`` and ``Detections`` in the
            network's frame, D per image. It returns a tensor [B, D, ...], as ``DetectionFeatures`` does;
            behind the last detection of an image the answer has zeros. The weights that it reads are saved.
        batching: also writes the parameters for the server's batching.
        overwrite: replaces a version that exists. A running server loads new numbers only.
        export_status: answers images that cannot be decoded with empty results and a status.
        upright: turns encoded images as their EXIF orientation says; "original image" is then the upright
            one. None: as the detector's ``upright`` says.
        max_pixels: an encoded image with more pixels counts as one that cannot be decoded: a file of a
            megabyte may fill gigabytes. None: no limit.

    Returns:
        The version's folder.

    Raises:
        ValueError: the version is no integer of at least 0, ``max_pixels`` is below 1, the detector takes its
            proposals from a file, or a further output has the name of another, no name, or another shape.
        TypeError: a further output is no tensor, or a value of ``extra`` cannot be called.
        FileExistsError: the version exists and ``overwrite`` is off.
        OSError: the folder cannot be written.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ValueError(f"version: got {version!r}, expected an integer of at least 0")
    if max_pixels is not None and max_pixels < 1:
        raise ValueError(f"max_pixels: got {max_pixels}, expected at least 1, or None for no limit")
    require_own_proposals(detector, "a server")
    extra = {} if extra is None else dict(extra)
    check_extra(detector, extra)
    upright = detector.upright if upright is None else upright
    target = Path(folder) / str(version)
    if target.exists() and not overwrite:
        raise FileExistsError(f"export {target}: exists already, expected a new version number")
    # A server takes folders named by a number for versions: a name with a dot in front is none.
    temporary = target.with_name(f".{version}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        _write(detector, temporary, extra, batching, _Encoded(export_status, upright, max_pixels))
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


class _Encoded(NamedTuple):
    """How encoded images are read, and what becomes of those that cannot be."""

    export_status: bool
    upright: bool
    max_pixels: int | None


def _write(detector: Any, folder: Path, extra: Extra, batching: bool, encoded: _Encoded) -> None:
    labels = write_atomically(
        folder / serving_files.LABELS_FILE,
        serving_files.labels_json(detector.class_names, detector.category_ids, encoded.upright),
    )
    module = tf.Module(name="detector")
    module.labels = tf.saved_model.Asset(str(labels))
    with core_ops(detector), sizes_fit(), _folded_weights(detector) as weights:
        with no_new_weights():
            signatures = _signatures(detector, extra, encoded)
        module.weights = _with_further(weights, signatures.values())
        tf.saved_model.save(
            module,
            str(folder),
            signatures=signatures,
            # Nobody trains the export, and gradient functions would double the graph.
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )
    # The asset's copy in assets/ remains.
    labels.unlink()
    warmup = folder / serving_files.WARMUP_FILE
    warmup.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup)) as writer:
        for request in serving_files.warmup_requests(detector.has_masks):
            writer.write(request)
    if batching:
        write_atomically(folder / serving_files.BATCHING_FILE, serving_files.batching_parameters())


@contextlib.contextmanager
def _folded_weights(detector: Any) -> Iterator[list[tf.Variable]]:
    """The TensorFlow variables that the graph reads while this lasts, frozen normalisations folded in.

    The loader of the server, unlike Python's, does not find the variables of a Keras model that a module
    holds, so the module holds these and nothing else; and Keras's own archives write every weight twice.
    """
    prepared = PreparedWeights.of(detector)
    replaced = {id(variable) for variable in prepared.replaced}
    # Keras 3 wraps a TensorFlow variable, Keras 2 variables are TensorFlow's.
    weights = [
        v if isinstance(v, tf.Variable) else v.value for v in detector.variables if id(v) not in replaced
    ]
    with prepared.in_use():
        yield weights + prepared.variables


def _with_further(weights: list[tf.Variable], functions: Iterable[Any]) -> list[tf.Variable]:
    """The detector's weights, and those that the functions read besides: of layers that it does not know."""
    known = {id(variable) for variable in weights}
    read = {id(variable): variable for function in functions for variable in function.variables}
    return weights + [variable for key, variable in read.items() if key not in known]


def _signatures(detector: Any, extra: Extra, encoded: _Encoded) -> dict[str, Callable]:
    category_ids = tf.constant([0, *detector.category_ids], tf.int64)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8, "images"),
            tf.TensorSpec([None, 2], tf.float32, "image_size"),
            tf.TensorSpec([None, 2], tf.float32, "original_size"),
            tf.TensorSpec([], tf.int32, "count"),
        ],
        autograph=False,
    )
    def detect(images: Tensor, image_size: Tensor, original_size: Tensor, count: Tensor) -> dict[str, Tensor]:
        batch = ImageBatch(images, image_size, original_size, tf.zeros(tf.shape(images)[:1], tf.int64))
        detections, further = network_outputs(detector, batch, extra)
        outputs = detection_outputs(detections, batch, category_ids)
        if encoded.export_status:
            seen = image_size[:, 0] > 0.0
            outputs["status"] = tf.cast(~seen, tf.int32)
            further = {name: zero_unless(seen, value) for name, value in further.items()}
        outputs |= further
        asked = tf.range(count)
        return {name: tf.gather(values, asked) for name, values in outputs.items()}

    # A function of the graph, which both kinds of input call: its nodes are written once.
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8, "image")], autograph=False)
    def resize(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _resize_into_canvas(image, detector)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def decode_all(image_bytes: Tensor) -> tuple[Tensor, ...]:
        def decode(content: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            image = decode_image(content, upright=encoded.upright, max_pixels=encoded.max_pixels)
            return resize(image)

        images, image_size, original_size, count = _batch(
            lambda content: _or_blank(content, decode, detector), image_bytes, detector.size_divisor
        )
        if encoded.export_status:
            return images, image_size, original_size, count
        broken = tf.where(image_size[:count, 0] == 0.0)[:, 0]
        # The raw op: `tf.debugging.Assert` puts it into a branch of a condition.
        whole = tf.raw_ops.Assert(condition=tf.size(broken) == 0, data=[_UNDECODABLE, broken], summarize=64)
        with tf.control_dependencies([whole]):
            return tf.identity(images), image_size, original_size, count

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def from_bytes(image_bytes: Tensor) -> dict[str, Tensor]:
        return detect(*decode_all(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image_tensor")])
    def from_pixels(image_tensor: Tensor) -> dict[str, Tensor]:
        return detect(*_batch(resize, image_tensor, detector.size_divisor))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def with_full_masks(image_bytes: Tensor) -> dict[str, Tensor]:
        images, image_size, original_size, count = decode_all(image_bytes)
        outputs = detect(images, image_size, original_size, count)
        largest = tf.cast(tf.reduce_max(original_size, axis=0), tf.int32)
        boxes = tf.gather(outputs["detection_boxes_pixels"], [1, 0, 3, 2], axis=2)
        pasted = paste_masks(outputs["detection_masks"], boxes, largest, implementation="tensorflow")
        return {**outputs, "detection_masks_reframed": tf.cast(pasted, tf.uint8)}

    functions = {"serving_default": from_bytes, "image_tensor": from_pixels}
    if detector.has_masks:
        functions["full_masks"] = with_full_masks
    return {name: function.get_concrete_function() for name, function in functions.items()}


def _resize_into_canvas(image: Tensor, detector: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Puts the resized image into the corner of the largest possible input: one size for all images."""
    shape = tf.shape(image)
    size = detector.short_side, detector.max_side
    height, width = network_size(shape[0], shape[1], *size, detector.side_multiple, detector.resize)
    # The resize rounds to whole grey levels, so that uint8 holds them exactly in a quarter of the memory.
    resized = tf.cast(resize_image(image, (height, width)), tf.uint8)
    side = _canvas_side(detector)
    canvas = tf.pad(resized, [[0, side - height], [0, side - width], [0, 0]])
    canvas = tf.ensure_shape(canvas, [side, side, 3])
    return canvas, tf.stack([height, width]), shape[:2]


def _canvas_side(detector: Any) -> int:
    longest = max(detector.short_side, detector.max_side)
    return -(-longest // detector.size_divisor) * detector.size_divisor


def _or_blank(content: Tensor, to_canvas: Callable, detector: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The image on its canvas, or one of size 0, where no anchor has an area and nothing is detected.

    Among TensorFlow's core ops only those of data sets can go on after an error of another op.
    """
    one = tf.data.Dataset.from_tensors
    side = _canvas_side(detector)
    # An original size of 1 keeps the division by it finite.
    blank = (tf.zeros([side, side, 3], tf.uint8), tf.zeros([2], tf.int32), tf.ones([2], tf.int32))
    decoded = one(content).map(to_canvas).ignore_errors(log_warning=True)
    return decoded.concatenate(one(blank)).take(1).get_single_element()


def _batch(to_canvas: Callable, images: Tensor, divisor: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Canvases cut to the largest image, their sizes, and how many of them were asked for.

    Convolutions fail on an empty batch once they are fused, so one image stands in where none is asked for.
    """
    # Callers are told of a wrong rank by name: a scalar, or one image in place of a batch.
    images = tf.ensure_shape(images, images.shape)
    count, *_ = tf.unstack(tf.shape(images))
    # Images of pixels may have neither height nor width then.
    grow = [[0, 1]] * (images.shape.rank - 1) + [[0, 0]] if images.shape.rank > 1 else [[0, 1]]
    images = tf.pad(images, tf.constant(grow) * tf.cast(count == 0, tf.int32))
    types = (tf.uint8, tf.int32, tf.int32)
    canvases, sizes, originals = tf.map_fn(to_canvas, images, fn_output_signature=types)
    # All of them may be blank.
    height, width = tf.unstack(-(-tf.maximum(tf.reduce_max(sizes, axis=0), 1) // divisor) * divisor)
    return canvases[:, :height, :width], tf.cast(sizes, tf.float32), tf.cast(originals, tf.float32), count
