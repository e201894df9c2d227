"""Batches for training and evaluation: Examples in, (ImageBatch, Targets) out.

The plan (`cascade_tf.data.plan`) is NumPy and runs ahead, many steps at a time. Reading, decoding, resizing,
padding and the drawing of masks are TensorFlow ops that run in parallel without Python.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from cascade_tf.data import augment, images
from cascade_tf.data.batch_share import Frame, frame_of_sizes, padded_to, share_of
from cascade_tf.data.coco import CocoDataset
from cascade_tf.data.crop import choose_window, cut_boxes, cut_masks, resize_window
from cascade_tf.data.distortion import distort_colours
from cascade_tf.data.instance_targets import only_valid, with_masks
from cascade_tf.data.masks import mask_function
from cascade_tf.data.object_scales import draw_size
from cascade_tf.data.plan import BatchPlan, PlannedSteps, aspect_buckets
from cascade_tf.data.proposals import ProposalTable
from cascade_tf.data.settings import check_crop
from cascade_tf.data.table import ExampleTable
from cascade_tf.ops.resize import network_size, pad_images
from cascade_tf.ops.resize_and_pad import resize_and_pad
from cascade_tf.structures import (
    Batch,
    ImageBatch,
    InstanceTargets,
    ProposalBatch,
    Proposals,
    Targets,
    Tensor,
)

# Steps planned at once: long enough that Python is idle, short enough that the first batch comes soon.
_PLANNED_STEPS = 64
# So many broken images in a row mean that the folder is wrong, not a few files.
_MOST_REPLACEMENTS = 100
# A longer side that no image reaches, pixels.
_NO_LIMIT = 2**31 - 1


def train_batches(
    dataset: CocoDataset,
    *,
    batch_size: int,
    short_sides: Sequence[int],
    max_side: int,
    flip: bool = True,
    aspect_grouping: bool = True,
    max_boxes: int | None = None,
    seed: int = 0,
    start_step: int = 0,
    num_steps: int | None = None,
    size_divisor: int = 32,
    workers: int | None = None,
    skip_broken: bool = False,
    masks: bool = False,
    upright: bool = True,
    photometric_distortion: bool = False,
    crop: bool = False,
    min_object_side: float = 0.0,
    resize: str = "shorter_side",
    crop_size: Sequence[int] = (),
    object_scales: Sequence[float] = (),
    min_object_height: float = 0.0,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches for training, step after step; batch s is a pure function of the data set, the settings and s.

    Every epoch is a new permutation; images without objects take part. A batch has one scale and, with
    ``aspect_grouping``, one orientation, so that it needs little padding.

    Args:
        dataset: what to train on.
        batch_size: images in a batch, over all replicas.
        short_sides: lengths of the shorter side in pixels, one of which is chosen for each batch (multi-scale
            training).
        max_side: limit of the longer side, pixels.
        flip: mirror every second image, by chance.
        aspect_grouping: wide and tall images in separate batches, where there are enough of both.
        max_boxes: G; an image with more objects keeps its largest. Default: the most that an image has.
        seed: of the order, the scales, the flips and ``Targets.seed``.
        start_step: the first batch, counted from 0; batches before it cost nothing.
        num_steps: how many batches; None for no end. With a number everything is planned at once, and no
            Python is left in the graph, unless ``skip_broken``, a lack of the C++ ops or files that only
            Pillow decodes (TIFF, WebP, HEIC) ask for it: a service of tf.data can run it in another process.
        size_divisor: both sides of the batch are padded to a multiple of this, the network's coarsest stride.
        workers: images decoded in parallel; None lets tf.data choose.
        skip_broken: take another example for an image that cannot be read and log its name, instead of
            stopping. With ``masks``, an object whose mask cannot be drawn becomes a crowd and is logged.
        masks: give the objects' masks too, for a detector with mask heads. A crowd's is all zeros, since
            nothing learns from it; an object without a single pixel at the network's scale becomes a crowd.
            Without the C++ ops they are drawn by Python functions inside tf.data: then an iterator that is
            still alive when the interpreter ends can keep it from ending, so let it go out of scope before.
        upright: turn images as their EXIF orientation says, unless only the stored size is the annotated one;
            without it they stay as they are stored.
        photometric_distortion: change brightness, contrast, saturation and hue by chance.
        crop: instead of shrinking an image whose longer side is above ``max_side``, cut it to that around one
            of its objects. An object whose centre is cut off is to be ignored (see ``Targets``); of such an
            object the mask is zeros too.
        min_object_side: an object is to be ignored if its box, at the network's scale, has a shorter side,
            pixels.
        resize: as in ``ops.resize.network_size``.
        crop_size: height and width that ``crop`` cuts images to, pixels; empty: ``max_side`` both.
        object_scales: for every second image, the smallest and the largest scale that one of its objects is
            brought to before the image is cut around it, see ``object_scales.draw_size``; empty: none.
        min_object_height: an object is to be ignored if its box, at the network's scale, is lower, pixels.
        part: which of how many equal parts of each batch: worker 1 of 4 takes ``(1, 4)``, and reads no
            picture that another one reads. The parts of a batch, one behind the other, are the batch.
            Images are padded as in the whole batch; with ``crop`` or ``object_scales`` as in the part.

    Returns:
        Dataset of (ImageBatch, Targets) with static B and G; images are uint8 RGB. With ``masks`` it is
        (ImageBatch, InstanceTargets) with static B, and G is what the batch needs (1 at least): for the most
        that any image has, every batch would be as large as the largest. Where the data set has proposals,
        these are in a ProposalBatch in the place of the ImageBatch.

    Raises:
        ValueError: a setting is out of its range, the data set is empty, or it was read without the masks
            that are wanted.
        tf.errors.InvalidArgumentError: while iterating, an image that cannot be read or is not of the
            annotated size, or a mask that cannot be drawn (`cascade_tf.data.images.broken_image_line` gives
            the line for the user).
    """
    _check_at_least(
        1,
        batch_size=batch_size,
        max_side=max_side,
        size_divisor=size_divisor,
        max_boxes=max_boxes,
        workers=workers,
    )
    _check_at_least(0, start_step=start_step, num_steps=num_steps)
    _check_part(part, batch_size)
    if not short_sides or min(short_sides) < 1:
        raise ValueError(
            f"train_batches: short_sides is {short_sides!r}, expected at least one positive length"
        )
    check_crop(crop, crop_size, object_scales)
    if resize == "both_sides" and len(short_sides) > 1:
        raise ValueError(f"short_sides: got {short_sides!r}, expected one length where both sides are given")
    if object_scales and masks:
        raise ValueError(
            f"object_scales: got {object_scales!r}, expected none with masks, which are drawn whole"
        )
    table = ExampleTable.of(dataset.examples, max_boxes)
    reader = images.ImageReader([example.path for example in dataset.examples], upright=upright)
    buckets = aspect_buckets(table.sizes, batch_size if aspect_grouping else len(table.sizes) + 1)
    plan = BatchPlan(buckets, batch_size, tuple(short_sides), flip, seed)
    stand_ins = _successors(buckets) if skip_broken else None
    draw = mask_function(table, skip_broken=skip_broken) if masks else None
    given = ProposalTable.of(dataset)
    has_ignored = any(example.ignored.any() for example in dataset.examples)

    # What crop cuts off is not shrunk before; both sides of a fixed size are no limits.
    limit = _NO_LIMIT if crop and resize != "both_sides" else max_side
    at_scale = functools.partial(network_size, max_side=limit, resize=resize)
    window_limits = (crop_size[0], crop_size[1]) if crop_size else max_side

    def load(step: PlannedSteps, frame: Frame | None = None) -> tuple[Batch, Targets | InstanceTargets]:
        index, image = _read(table, reader, step.example, stand_ins)
        if photometric_distortion:
            image = distort_colours(image, step.seed)
        height, width = table.size_of(index)
        size = at_scale(height, width, step.short_side)
        boxes, classes, crowd, ignored = table.objects_of(index)
        valid = tf.logical_not(crowd | ignored)
        if object_scales:
            resized = augment.scale_boxes(boxes, (height, width), size)
            size = draw_size(resized, valid, size, (object_scales[0], object_scales[1]), step.seed)
        boxes = _moved(boxes, (height, width), size, step.flip)
        proposals = None if given is None else given.proposals_of(index)
        if proposals is not None:
            moved = _moved(proposals.boxes, (height, width), size, step.flip)
            proposals = proposals._replace(boxes=moved)
        if crop:
            window = choose_window(boxes, valid, size, window_limits, step.seed)
            image = resize_window(image, size, window, flip=step.flip, multiple=size_divisor)
            boxes, has_centre = cut_boxes(boxes, window)
            if proposals is not None:
                proposals = proposals._replace(boxes=cut_boxes(proposals.boxes, window)[0])
            valid &= has_centre
            drawn = None if draw is None else draw(index, size, step.flip, tf.stack(size))
            if drawn is not None:
                drawn = cut_masks(*drawn, window, tf.shape(image)[:2])
            size = window.height, window.width
        else:
            image = resize_and_pad(image, size, flip=step.flip, multiple=size_divisor)
            image = image if frame is None or object_scales else padded_to(image, frame)
            drawn = None if draw is None else draw(index, size, step.flip, tf.shape(image)[:2])
        if min_object_side > 0.0:
            valid &= tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= min_object_side, axis=1)
        if min_object_height > 0.0:
            valid &= boxes[:, 3] - boxes[:, 1] >= min_object_height
        batch = _batch(table, index, image, size, proposals)
        targets = Targets(boxes, classes, valid, crowd, step.seed)
        if drawn is None:
            return batch, targets
        if has_ignored or crop or max(min_object_side, min_object_height) > 0.0:
            drawn = only_valid(drawn[0], valid), drawn[1]
        return batch, with_masks(targets, *drawn)

    planned = _planned(plan, start_step, num_steps)
    if part[1] > 1:
        planned = share_of(planned, part, batch_size, frame_of_sizes(table.sizes, at_scale, size_divisor))
    batches = planned.map(
        tf.autograph.experimental.do_not_convert(load), num_parallel_calls=workers or tf.data.AUTOTUNE
    )
    capacity = table.capacity
    shapes = Targets([capacity, 4], [capacity], [capacity], [capacity], [2])
    all_shapes = (_shapes_of_images(given), _INSTANCE_SHAPES if masks else shapes)
    return _finish(batches.padded_batch(batch_size // part[1], all_shapes, drop_remainder=True))


def eval_batches(
    dataset: CocoDataset,
    *,
    batch_size: int,
    short_side: int | None,
    max_side: int | None,
    size_divisor: int = 32,
    side_multiple: int | None = None,
    resize: str = "shorter_side",
    workers: int | None = None,
    skip_broken: bool = False,
    upright: bool = True,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Every image once, in the data set's order; the last batch may be smaller.

    Args:
        dataset: what to evaluate on.
        batch_size: images in a batch.
        short_side: length of the shorter side, pixels; None leaves the images as they are.
        max_side: limit of the longer side, pixels; None likewise.
        size_divisor: both sides of the batch are padded to a multiple of this.
        side_multiple: ``multiple`` of ``ops.resize.network_size``.
        resize: as there.
        workers: images decoded in parallel; None lets tf.data choose.
        skip_broken: leave out an image that cannot be read and log its name, instead of stopping.
        upright: turn images as their EXIF orientation says, unless only the stored size is the annotated one;
            without it they stay as they are stored.
        part: which of how many parts: worker 1 of 4 takes ``(1, 4)``, every fourth image from the second on.

    Returns:
        Dataset of ImageBatch; images are uint8 RGB. Where the data set has proposals, of ProposalBatch.

    Raises:
        ValueError: a setting is out of its range or the data set is empty.
        tf.errors.InvalidArgumentError: as for `train_batches`.
    """
    _check_at_least(
        1,
        batch_size=batch_size,
        short_side=short_side,
        max_side=max_side,
        size_divisor=size_divisor,
        workers=workers,
    )
    _check_part(part)
    table = ExampleTable.of(dataset.examples, None)
    reader = images.ImageReader([example.path for example in dataset.examples], upright=upright)
    broken = images.BrokenImages()
    given = ProposalTable.of(dataset)

    def load(index: Tensor) -> tuple[Batch, Tensor]:
        height, width = table.size_of(index)
        image = reader.try_read(index, table.path_of(index), (height, width))
        intact = images.is_as_annotated(image, height, width)
        if skip_broken:
            blank = tf.zeros([1, 1, 3], tf.uint8)
            image = tf.cond(intact, lambda: image, lambda: broken.note(table.path_of(index), blank))
        else:
            image = images.require_as_annotated(image, table.path_of(index), height, width)
        proposals = None if given is None else given.proposals_of(index)
        if short_side is None or max_side is None:
            image = pad_images(image, size_divisor)
            return _batch(table, index, image, (height, width), proposals), intact
        size = network_size(height, width, short_side, max_side, side_multiple, resize)
        image = resize_and_pad(image, size, multiple=size_divisor)
        if proposals is not None:
            moved = augment.scale_boxes(proposals.boxes, (height, width), size)
            proposals = proposals._replace(boxes=moved)
        return _batch(table, index, image, size, proposals), intact

    order = tf.data.Dataset.range(part[0], len(dataset.examples), part[1], output_type=tf.int32)
    loaded = order.map(
        tf.autograph.experimental.do_not_convert(load), num_parallel_calls=workers or tf.data.AUTOTUNE
    )
    intact_only = loaded.filter(lambda _, intact: intact).map(lambda batch, _: batch)
    return _finish(intact_only.padded_batch(batch_size, _shapes_of_images(given)))


_IMAGE_SHAPES = ImageBatch([None, None, 3], [2], [2], [])
_INSTANCE_SHAPES = InstanceTargets([None, 4], [None], [None], [None], [2], [None, None, None])
_PLAN_SPEC = (((), tf.int32), ((), tf.int32), ((), tf.bool), ((2,), tf.int32))


def _successors(buckets: Sequence[np.ndarray]) -> np.ndarray:
    """For each example the one that stands in for it: the next of its bucket."""
    following = np.zeros(sum(len(bucket) for bucket in buckets), np.int32)
    for bucket in buckets:
        following[bucket] = np.roll(bucket, -1)
    return following


def _planned(plan: BatchPlan, start_step: int, num_steps: int | None) -> tf.data.Dataset:
    """The plan's examples, one after the other."""
    if num_steps is not None:
        # All at once takes about a microsecond an image, and leaves a graph that runs in other processes too.
        return tf.data.Dataset.from_tensor_slices(plan.steps(start_step, num_steps))

    def endless() -> Iterator[PlannedSteps]:
        for step in itertools.count(start_step, _PLANNED_STEPS):
            yield plan.steps(step, _PLANNED_STEPS)

    signature = PlannedSteps(*(tf.TensorSpec([None, *shape], dtype) for shape, dtype in _PLAN_SPEC))
    return tf.data.Dataset.from_generator(endless, output_signature=signature).unbatch()


def _read(
    table: ExampleTable, reader: images.ImageReader, index: Tensor, successors: np.ndarray | None
) -> tuple[Tensor, Tensor]:
    """Reads an example's image, or with ``successors`` the first that can be read from there on."""

    def attempt(index: Tensor) -> tuple[Tensor, Tensor]:
        image = reader.try_read(index, table.path_of(index), table.size_of(index))
        return image, images.is_as_annotated(image, *table.size_of(index))

    image, intact = attempt(index)
    if successors is not None:
        broken = images.BrokenImages()

        def replace(index: Tensor, image: Tensor, intact: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            index = tf.gather(successors, broken.note(table.path_of(index), index))
            return index, *attempt(index)

        index, image, _ = tf.while_loop(
            lambda index, image, intact: tf.logical_not(intact),
            replace,
            (index, image, intact),
            shape_invariants=(index.shape, tf.TensorShape([None, None, 3]), intact.shape),
            maximum_iterations=_MOST_REPLACEMENTS,
        )
    image = images.require_as_annotated(image, table.path_of(index), *table.size_of(index))
    return index, image


def _moved(
    boxes: Tensor, from_size: tuple[Tensor, Tensor], to_size: tuple[Tensor, Tensor], flip: Tensor
) -> Tensor:
    """Boxes of a file in the resized image, mirrored or not."""
    boxes = augment.scale_boxes(boxes, from_size, to_size)
    return tf.cond(flip, lambda: augment.flip_boxes(boxes, to_size[1]), lambda: boxes)


def _batch(
    table: ExampleTable,
    index: Tensor,
    image: Tensor,
    size: tuple[Tensor, Tensor],
    proposals: Proposals | None,
) -> Batch:
    """One element of a batch to be; the batch dimension comes with `padded_batch`."""
    original = tf.cast(tf.stack(table.size_of(index)), tf.float32)
    batch = ImageBatch(image, tf.cast(tf.stack(size), tf.float32), original, table.ids[index])
    return batch if proposals is None else ProposalBatch(*batch, proposals)


def _shapes_of_images(given: ProposalTable | None) -> Batch:
    return _IMAGE_SHAPES if given is None else ProposalBatch(*_IMAGE_SHAPES, given.shapes)


def _finish(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Each worker of a cluster plans the whole run and keeps its share of every batch: no files to share out.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _check_part(part: tuple[int, int], batch_size: int | None = None) -> None:
    index, count = part
    if not 0 <= index < count:
        raise ValueError(f"part: got {part}, expected an index below the number of parts, from 0")
    if batch_size is not None and batch_size % count:
        raise ValueError(f"part: got {count} parts of batch_size {batch_size}, expected parts of one size")


def _check_at_least(least: int, **settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
