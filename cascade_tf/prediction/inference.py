"""A trained detector on images, files and data sets; results in the original images' pixels."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.data.coco import CocoDataset
from cascade_tf.data.images import broken_image_line
from cascade_tf.data.pipeline import eval_batches
from cascade_tf.masks.instance_masks import decode_masks, encode_masks
from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.prediction.conversions import to_supervision, to_table
from cascade_tf.prediction.image_files import read_image
from cascade_tf.prediction.image_lists import each_image
from cascade_tf.prediction.network_calls import make_batch, prepare_weights, require_own_proposals, traced
from cascade_tf.prediction.test_time_augmentation import Augmentation, detect_prepared
from cascade_tf.structures import Detections, ImageBatch, InstanceDetections, Tensor

__all__ = [
    "ImageDetections",
    "detect_dataset",
    "keep_above",
    "predict_images",
    "read_image",
    "to_coco_results",
    "to_original_frame",
    "to_records",
]

_NO_MASKS = "the detections have no masks: expected those of a detector with a mask head"


class ImageDetections(NamedTuple):
    """What was found in one image, best first; n detections, none of them padding.

    Attributes:
        boxes: [n, 4] float32 xyxy in pixels of the original image.
        scores: [n] float32 in 0..1.
        classes: [n] int32 in 1..K.
        category_ids: [n] int64, the data set's ids of the same classes.
        names: n class names.
        image_id: the data set's id, or the position in a sequence of images.
        size: (height, width) of the original image in pixels.
        masks: [n, M, M] float32 in 0..1, the probability that an object covers each of M x M cells of its
            box; None where the detector has no mask head, and where there are ``segmentations``.
        segmentations: n masks in the original image as COCO's compressed run lengths. ``detect_dataset``
            gives these in place of ``masks``, as those of a data set would fill the memory.
        path: the image's file; None where it did not come as one.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    category_ids: np.ndarray
    names: tuple[str, ...]
    image_id: int
    size: tuple[int, int] = (0, 0)
    masks: np.ndarray | None = None
    segmentations: tuple[dict[str, Any], ...] | None = None
    path: str | None = None

    @property
    def has_masks(self) -> bool:
        """Whether there are masks, in either form."""
        return self.masks is not None or self.segmentations is not None

    def paste(self, threshold: float = 0.5) -> np.ndarray:
        """The objects' pixels in the original image.

        Args:
            threshold: least probability of a pixel of the object, above 0 and at most 1; ``segmentations``
                have their own.

        Returns:
            [n, height, width] bool.

        Raises:
            ValueError: the detector has no mask head.
        """
        if self.segmentations is not None:
            return decode_masks(self.segmentations, self.size)
        if self.masks is None:
            raise ValueError(_NO_MASKS)
        return paste_masks(self.masks, self.boxes, self.size, threshold=threshold).numpy()

    def encode(self) -> ImageDetections:
        """The same with ``segmentations`` in place of ``masks``, for a hundredth of the memory.

        Raises:
            ValueError: the detector has no mask head.
        """
        if self.segmentations is not None:
            return self
        if self.masks is None:
            raise ValueError(_NO_MASKS)
        return self._replace(masks=None, segmentations=encode_masks(self.masks, self.boxes, self.size))

    def to_coco(self) -> list[dict[str, Any]]:
        """One entry per detection in COCO's result format; see ``to_coco_results`` for several images."""
        return to_coco_results([self])

    def to_table(self) -> dict[str, list[Any]]:
        """Columns with one entry per detection, best first: ``pandas.DataFrame(record.to_table())``.

        Returns:
            ``image_id``, ``path``, ``name``, ``category_id``, ``class`` (1..K), ``score``, and the box's
            corners ``x1``, ``y1``, ``x2``, ``y2`` in pixels of the original image. Without detections the
            columns are there and empty.
        """
        return to_table(self)

    def to_supervision(self) -> Any:
        """The same as ``supervision.Detections``, for the annotators and trackers of that package.

        Returns:
            ``xyxy`` and ``confidence``; ``class_id`` in 0..K-1, the position in ``detector.class_names``;
            ``mask`` [n, height, width] bool where there are masks; ``data`` with ``class_name`` and
            ``category_id``.

        Raises:
            ImportError: the package supervision is not installed.
        """
        return to_supervision(self)


def predict_images(
    detector: Any,
    images: Any,
    *,
    batch_size: int = 1,
    score_threshold: float | None = None,
    augmentation: Augmentation | None = None,
    upright: bool = True,
) -> list[ImageDetections]:
    """Detects objects in images of any sizes.

    The network is traced at the first call and reused for every later one, whatever the image sizes. The
    images of one batch are padded to a common size, so batches of similar images waste least.

    Args:
        detector: a ``TwoStageDetector``.
        images: one image as ``read_image`` takes it, a folder of images (in the order of their names,
            without sub-folders), a pattern such as ``"photos/*.jpg"``, a batch of pixels [B, H, W, 3], or an
            iterable of images, folders and patterns.
        batch_size: images that go through the network together.
        score_threshold: leaves out detections with a score at or below it; the detector has already done
            so with its own threshold.
        augmentation: looks at each image in several sizes and mirrored; None: once.
        upright: turns pictures as their EXIF orientation says; boxes and sizes are those of the upright ones.

    Returns:
        One entry per image, in their order; ``image_id`` is the position.

    Raises:
        ValueError: an image cannot be read (the message names the file), a folder has no images,
            ``batch_size`` is below 1, ``score_threshold`` is not in 0..1, or the detector takes its proposals
            from a file.
        FileNotFoundError: there is no such file.
        TypeError: an image is of none of the kinds that ``read_image`` takes.
    """
    check_threshold(score_threshold)
    require_own_proposals(detector, "predict")
    prepare_weights(detector)
    run = _runner(detector, augmentation)
    size = input_size(detector, augmentation)
    records: list[ImageDetections] = []
    for group, paths in batches_of(images, batch_size, upright=upright):
        batch = make_batch(group, **size, size_divisor=detector.size_divisor, first_id=len(records))
        found = to_records(run(batch), batch, detector.class_names, detector.category_ids)
        records += [record._replace(path=path) for record, path in zip(found, paths, strict=True)]
    return [keep_above(record, score_threshold) for record in records] if score_threshold else records


def detect_dataset(
    detector: Any,
    dataset: CocoDataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int], Any] | None = None,
    per_stage: bool = False,
    skip_broken: bool = False,
    augmentation: Augmentation | None = None,
    upright: bool = True,
) -> Any:
    """Detects objects in every image of a data set.

    Args:
        detector: a ``TwoStageDetector``.
        dataset: the images; their objects are not looked at.
        batch_size: images that go through the network together.
        progress: called after each batch with the number of its images.
        per_stage: detections of every stage by itself, of which the last are the detector's.
        skip_broken: leaves out images that cannot be read, with a warning, instead of stopping.
        augmentation: looks at each image in several sizes and mirrored; None: once.
        upright: as in ``eval_batches``; boxes are in the frame of the annotations.

    Returns:
        One ``ImageDetections`` per image that was read, with ``segmentations`` if there are masks; with
        ``per_stage`` a list of such lists, one for each of the detector's ``row_names``.

    Raises:
        ValueError: ``batch_size`` is below 1, an image cannot be read (the message names it), or the stages
            are wanted with augmentation.
    """
    if per_stage and augmentation is not None:
        raise ValueError("got per_stage with augmentation, expected one of them: stages see an image once")
    prepare_weights(detector)
    run = traced(detector, "per_stage", _per_stage) if per_stage else _runner(detector, augmentation)
    stages: list[list[ImageDetections]] = [[] for _ in (detector.row_names if per_stage else ("all",))]
    batches = eval_batches(
        dataset,
        batch_size=batch_size,
        **input_size(detector, augmentation),
        size_divisor=detector.size_divisor,
        skip_broken=skip_broken,
        upright=upright,
    )
    try:
        for batch in batches:
            outputs = run(batch) if per_stage else [run(batch)]
            for records, detections in zip(stages, outputs, strict=True):
                found = to_records(detections, batch, detector.class_names, detector.category_ids)
                records += [record.encode() if record.has_masks else record for record in found]
            if progress is not None:
                progress(int(batch.image_id.shape[0]))
    except tf.errors.OpError as error:
        line = broken_image_line(error)
        if line is None:
            raise
        raise ValueError(line) from None
    return stages if per_stage else stages[0]


def to_original_frame(boxes: Tensor, image_size: Tensor, original_size: Tensor) -> Tensor:
    """Maps boxes from the network's input to the original image and clips them there.

    Args:
        boxes: [B, D, 4] float32 in the network's frame.
        image_size: [B, 2] (height, width) of the resized images, without padding.
        original_size: [B, 2] (height, width) of the original images.

    Returns:
        [B, D, 4] float32 in pixels of the original images.
    """
    image_size, original_size = tf.cast(image_size, tf.float32), tf.cast(original_size, tf.float32)
    limit = tf.tile(original_size[:, None, ::-1], [1, 1, 2])
    scale = limit / tf.tile(image_size[:, None, ::-1], [1, 1, 2])
    return tf.minimum(tf.maximum(boxes * scale, 0.0), limit)


def to_records(
    detections: Detections | InstanceDetections,
    batch: ImageBatch,
    class_names: Sequence[str],
    category_ids: Sequence[int],
) -> list[ImageDetections]:
    """Splits a batch's detections into images and maps them to the original pixels.

    Padding, and boxes that lie outside their image or have no area there, are left out.

    Args:
        detections: of the batch, in the network's frame.
        batch: the images that they were found in; the pixels are not looked at.
        class_names: K names of the classes 1..K.
        category_ids: K ids of the same classes.

    Returns:
        B records.
    """
    boxes = np.asarray(to_original_frame(detections.boxes, batch.image_size, batch.original_size))
    has_area = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    keep = np.asarray(detections.valid) & has_area
    scores, classes = np.asarray(detections.scores), np.asarray(detections.classes)
    ids = np.asarray(category_ids, np.int64)
    masks = np.asarray(detections.masks) if isinstance(detections, InstanceDetections) else None
    sizes = np.asarray(batch.original_size).astype(int).tolist()
    return [
        ImageDetections(
            boxes=boxes[b, keep[b]],
            scores=scores[b, keep[b]],
            classes=classes[b, keep[b]],
            category_ids=ids[classes[b, keep[b]] - 1],
            names=tuple(class_names[c - 1] for c in classes[b, keep[b]]),
            image_id=int(image_id),
            size=(sizes[b][0], sizes[b][1]),
            masks=None if masks is None else masks[b, keep[b]],
        )
        for b, image_id in enumerate(np.asarray(batch.image_id))
    ]


def to_coco_results(records: Iterable[ImageDetections]) -> list[dict[str, Any]]:
    """Returns one entry per detection in COCO's result format.

    Args:
        records: detections; their masks are encoded one image at a time.

    Returns:
        ``image_id``, ``category_id``, ``score``, ``bbox`` as (x, y, width, height) and, where there are
        masks, ``segmentation`` as compressed run lengths, ready for JSON. pycocotools loads such a list for
        boxes and for masks.
    """
    results = []
    for record in records:
        segmentations = record.encode().segmentations if record.has_masks else None
        for i, (x1, y1, x2, y2) in enumerate(record.boxes.tolist()):
            result = {
                "image_id": record.image_id,
                "category_id": int(record.category_ids[i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(record.scores[i]),
            }
            results.append(result if segmentations is None else {**result, "segmentation": segmentations[i]})
    return results


def keep_above(record: ImageDetections, score_threshold: float) -> ImageDetections:
    """Leaves out the detections whose score is at or below a threshold."""
    keep = record.scores > score_threshold
    return record._replace(
        boxes=record.boxes[keep],
        scores=record.scores[keep],
        classes=record.classes[keep],
        category_ids=record.category_ids[keep],
        names=tuple(name for name, kept in zip(record.names, keep, strict=True) if kept),
        masks=None if record.masks is None else record.masks[keep],
        segmentations=None
        if record.segmentations is None
        else tuple(mask for mask, kept in zip(record.segmentations, keep, strict=True) if kept),
    )


def check_threshold(score_threshold: float | None) -> None:
    """Raises a ValueError unless a threshold of ``predict`` is None or in 0..1."""
    if score_threshold is not None and not 0.0 <= score_threshold <= 1.0:
        raise ValueError(f"score_threshold: got {score_threshold!r}, expected a number in 0..1")


def batches_of(
    images: Any, batch_size: int, *, upright: bool = True
) -> Iterator[tuple[list[np.ndarray], list[str | None]]]:
    """Reads images, whatever ``each_image`` takes, in groups of ``batch_size``; with the files' paths.

    Raises:
        ValueError: ``batch_size`` is below 1, or an image cannot be read.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}, expected 1 or more")
    sources = each_image(images)
    while group := list(itertools.islice(sources, batch_size)):
        paths = [os.fspath(source) if isinstance(source, os.PathLike) else None for source in group]
        yield [read_image(source, upright=upright) for source in group], paths


def _runner(detector: Any, augmentation: Augmentation | None) -> Callable[[ImageBatch], Any]:
    if augmentation is None:
        return traced(detector, "detections", _network)
    return lambda batch: detect_prepared(detector, batch, augmentation)


def input_size(detector: Any, augmentation: Augmentation | None = None) -> dict[str, Any]:
    """Sizes of the images in a batch: with augmentation they stay as they are."""
    if augmentation is not None:
        return {"short_side": None, "max_side": None}
    return {name: getattr(detector, name) for name in ("short_side", "max_side", "side_multiple", "resize")}


def _network(detector: Any, batch: ImageBatch) -> Any:
    return detector(batch, training=False)


def _per_stage(detector: Any, batch: ImageBatch) -> Any:
    return detector.per_stage_detections(batch)
