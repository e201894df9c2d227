"""A trained detector to a SavedModel that a stock TensorFlow Serving loads.

Such a server links its ops statically, so the graph holds core ops only. The network itself is one function
that both signatures call: its nodes are written once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from cascade_tf.files import write_atomically
from cascade_tf.layers.folding import PreparedWeights
from cascade_tf.ops.decode import decode_image
from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.ops.resize import resize_image, shortest_edge_size
from cascade_tf.prediction.inference import to_original_frame
from cascade_tf.prediction.network_calls import require_own_proposals
from cascade_tf.serving import serving_files
from cascade_tf.structures import ImageBatch, Tensor

_UNDECODABLE = (
    "image_bytes: cannot be decoded, expected whole JPEG, PNG, GIF or BMP files; positions in the batch:"
)


def export_saved_model(
    detector: Any,
    folder: str | os.PathLike[str],
    *,
    version: int = 1,
    batching: bool = True,
    overwrite: bool = False,
    export_status: bool = False,
    upright: bool | None = None,
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

    Args:
        detector: a ``TwoStageDetector``; it is left as it was.
        folder: the model's base folder, which the server watches for versions.
        version: number of the version, at least 0; the server takes the highest.
        batching: also writes the parameters for the server's batching.
        overwrite: replaces a version that exists. A running server loads new numbers only.
        export_status: answers images that cannot be decoded with empty results and a status.
        upright: turns encoded images as their EXIF orientation says; "original image" is then the upright
            one. None: as the detector's ``upright`` says.

    Returns:
        The version's folder.

    Raises:
        ValueError: the version is no integer of at least 0, or the detector takes its proposals from a file.
        FileExistsError: the version exists and ``overwrite`` is off.
        OSError: the folder cannot be written.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ValueError(f"version: got {version!r}, expected an integer of at least 0")
    require_own_proposals(detector, "a server")
    upright = detector.upright if upright is None else upright
    target = Path(folder) / str(version)
    if target.exists() and not overwrite:
        raise FileExistsError(f"export {target}: exists already, expected a new version number")
    # A server takes folders named by a number for versions: a name with a dot in front is none.
    temporary = target.with_name(f".{version}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        _write(detector, temporary, batching, export_status, upright)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _write(detector: Any, folder: Path, batching: bool, export_status: bool, upright: bool) -> None:
    labels = write_atomically(
        folder / serving_files.LABELS_FILE,
        serving_files.labels_json(detector.class_names, detector.category_ids, upright),
    )
    module = tf.Module(name="detector")
    module.labels = tf.saved_model.Asset(str(labels))
    with _core_ops(detector), _folded_weights(detector) as module.weights:
        tf.saved_model.save(
            module,
            str(folder),
            signatures=_signatures(detector, export_status, upright),
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


@contextlib.contextmanager
def _core_ops(detector: Any) -> Iterator[None]:
    """Switches every op-backed layer to TensorFlow's own ops, and back at the end."""
    before = [
        (part, part.implementation) for part in detector._flatten_layers() if hasattr(part, "implementation")
    ]
    try:
        for part, _ in before:
            part.implementation = "tensorflow"
        yield
    finally:
        for part, implementation in before:
            part.implementation = implementation


def _signatures(detector: Any, export_status: bool, upright: bool) -> dict[str, Callable]:
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
        detections = detector(batch, training=False)
        valid = detections.valid
        pixels = tf.where(
            valid[..., None], to_original_frame(detections.boxes, image_size, original_size), 0.0
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
        if detector.has_masks:
            outputs["detection_masks"] = detections.masks
        if export_status:
            outputs["status"] = tf.cast(image_size[:, 0] == 0.0, tf.int32)
        asked = tf.range(count)
        return {name: tf.gather(values, asked) for name, values in outputs.items()}

    # A function of the graph, which both kinds of input call: its nodes are written once.
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8, "image")], autograph=False)
    def resize(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _resize_into_canvas(image, detector)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def decode_all(image_bytes: Tensor) -> tuple[Tensor, ...]:
        def decode(content: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return resize(decode_image(content, upright=upright))

        images, image_size, original_size, count = _batch(
            lambda content: _or_blank(content, decode, detector), image_bytes, detector.size_divisor
        )
        if export_status:
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
    height, width = shortest_edge_size(shape[0], shape[1], *size, detector.side_multiple)
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
    count = tf.shape(images)[0]
    # Images of pixels may have neither height nor width then.
    grow = [[0, 1]] * (images.shape.rank - 1) + [[0, 0]] if images.shape.rank > 1 else [[0, 1]]
    images = tf.pad(images, tf.constant(grow) * tf.cast(count == 0, tf.int32))
    types = (tf.uint8, tf.int32, tf.int32)
    canvases, sizes, originals = tf.map_fn(to_canvas, images, fn_output_signature=types)
    # All of them may be blank.
    height, width = tf.unstack(-(-tf.maximum(tf.reduce_max(sizes, axis=0), 1) // divisor) * divisor)
    return canvases[:, :height, :width], tf.cast(sizes, tf.float32), tf.cast(originals, tf.float32), count
