"""What a mask head should answer: the objects' masks, cut out at the sampled boxes.

The target of a cell is whether the object covers at least half of it: RoIAlign of the object's pixels with
one sample per pixel (rounded up), as in detectron2. Masks travel packed, eight pixels in a byte: a hundred
masks of 1333 x 800 pixels are 13 MB, and 430 MB as float32. They are never unpacked as a whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import with_equal_sizes
from cascade_tf.ops.division import divide
from cascade_tf.ops.pooling_arguments import MAX_CELLS
from cascade_tf.ops.roi_align_twin import MAX_RATIO


def crop_masks(
    masks: Any,
    image_size: Any,
    boxes: Any,
    object_index: Any,
    valid: Any,
    *,
    output_size: int = 28,
    implementation: str = "auto",
) -> tf.Tensor:
    """Cuts each box out of the mask of its object, as a target for the mask head. Has no gradient.

    Args:
        masks: [B, G, H, ceil(W / 8)] uint8, the leftmost of eight pixels in the highest bit
            (``np.packbits(masks, axis=-1)``).
        image_size: [B, 2] (height, width) of each image within its padded frame, whole numbers. Beyond the
            last pixel the mask continues as it ends there.
        boxes: [B, S, 4] float32 xyxy in pixels.
        object_index: [B, S] int32 index of each box's object in 0..G-1; any number where not valid.
        valid: [B, S] bool.
        output_size: M, cells per side.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        [B, S, M, M] float32, 0 or 1; zeros for boxes that are not valid, not finite or empty.

    Raises:
        ValueError: a wrong rank, type or size.
        tf.errors.InvalidArgumentError: an object that does not exist, or an image larger than its masks.
    """
    masks = tf.convert_to_tensor(masks)
    image_size = tf.cast(image_size, tf.int32)
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    object_index, valid = tf.cast(object_index, tf.int32), tf.cast(valid, tf.bool)
    _check(masks, image_size, boxes, object_index, valid, output_size)
    custom = library.custom_ops(implementation)
    if custom is None:
        return _crop_tensorflow(masks, image_size, boxes, object_index, valid, output_size)
    return custom.cascade_tf_crop_masks(
        masks=masks,
        image_size=image_size,
        boxes=boxes,
        object_index=object_index,
        valid=valid,
        output_size=output_size,
    )


tf.no_gradient("CascadeTf>CropMasks")


def _check(
    masks: tf.Tensor,
    image_size: tf.Tensor,
    boxes: tf.Tensor,
    object_index: tf.Tensor,
    valid: tf.Tensor,
    output_size: int,
) -> None:
    if masks.shape.rank != 4 or masks.dtype != tf.uint8:
        raise ValueError(
            f"crop_masks: masks must be uint8 [B, G, H, ceil(W / 8)], got {masks.dtype.name} {masks.shape}"
        )
    batch = masks.shape[:1]
    if boxes.shape.rank != 3 or not boxes.shape.is_compatible_with([*batch, None, 4]):
        raise ValueError(f"crop_masks: boxes must be [B, S, 4] for masks {masks.shape}, got {boxes.shape}")
    if not image_size.shape.is_compatible_with([*batch, 2]):
        raise ValueError(
            f"crop_masks: image_size must be [B, 2] for masks {masks.shape}, got {image_size.shape}"
        )
    for name, value in (("object_index", object_index), ("valid", valid)):
        if not value.shape.is_compatible_with(boxes.shape[:2]):
            raise ValueError(f"crop_masks: {name} must be [B, S] as boxes {boxes.shape}, got {value.shape}")
    if not 1 <= output_size <= 1024:
        raise ValueError(f"crop_masks: output_size must be in 1..1024, got {output_size}")


class _Crops(NamedTuple):
    """The n = B * S boxes, those with the most samples first. Axes are (y, x)."""

    start: tf.Tensor  # [n, 2] float32 corner of bin (0, 0), in pixels from the centre of pixel 0
    bin_size: tf.Tensor  # [n, 2] float32
    ratio: tf.Tensor  # [n, 2] int32 samples per bin
    size: tf.Tensor  # [n, 2] int32 height and width of the image
    mask: tf.Tensor  # [n] int64 number of the mask among all
    order: tf.Tensor  # [n] int32 which box this is


def _crop_tensorflow(
    masks: tf.Tensor,
    image_size: tf.Tensor,
    boxes: tf.Tensor,
    object_index: tf.Tensor,
    valid: tf.Tensor,
    output_size: int,
) -> tf.Tensor:
    """The twin: adds up the first sample of every bin of every box, then the second, and so on.

    That is the order of the C++ op within each bin. Boxes that have no more samples drop out, or add zeros
    under XLA, whose sizes are fixed.
    """
    if boxes.shape.rank != 3 or boxes.shape[2] != 4:
        # XLA takes what has gone through this for an array of sizes that change.
        boxes = tf.ensure_shape(boxes, [None, None, 4])
    boxes = _fitting_boxes(masks, image_size, boxes, object_index, valid)
    _assert_values(masks, image_size, object_index, valid)
    crops = _make_crops(masks, image_size, boxes, object_index, valid, output_size)
    num_samples = tf.reduce_prod(crops.ratio, axis=1)
    num_boxes = tf.shape(num_samples)[0]
    row_bytes = tf.shape(masks, tf.int64)[2:]
    flat = tf.reshape(masks, [-1])

    def add_sample_of_all(number, total):
        columns = tf.maximum(crops.ratio[:, 1], 1)
        sample = tf.stack([number // columns, number % columns], axis=1)
        values = _sample(flat, row_bytes, crops, sample, output_size)
        return number + 1, total + tf.where((number < num_samples)[:, None, None], values, 0.0)

    def add_sample(number, total):
        active = tf.reduce_sum(tf.cast(num_samples > number, tf.int32))
        some = _Crops(*(values[:active] for values in crops))
        sample = tf.stack([number // some.ratio[:, 1], number % some.ratio[:, 1]], axis=1)
        values = _sample(flat, row_bytes, some, sample, output_size)
        return number + 1, total + tf.pad(values, [[0, num_boxes - active], [0, 0], [0, 0]])

    _, total = tf.while_loop(
        lambda number, _: number < tf.reduce_max(tf.concat([num_samples, [0]], axis=0)),
        add_sample_of_all if library.under_xla() else add_sample,
        (tf.constant(0), tf.zeros([num_boxes, output_size, output_size])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, output_size, output_size])),
        parallel_iterations=1,
    )
    mean = tf.math.divide_no_nan(total, tf.cast(num_samples, tf.float32)[:, None, None])
    targets = tf.gather(tf.cast(mean >= 0.5, tf.float32), tf.math.invert_permutation(crops.order))
    shape = tf.concat([tf.shape(boxes)[:2], [output_size, output_size]], axis=0)
    return tf.ensure_shape(tf.reshape(targets, shape), [*boxes.shape[:2], output_size, output_size])


def _fitting_boxes(
    masks: tf.Tensor, image_size: tf.Tensor, boxes: tf.Tensor, object_index: tf.Tensor, valid: tf.Tensor
) -> tf.Tensor:
    shape = tf.shape(boxes)
    message = "crop_masks: boxes and masks must be of as many images, got"
    boxes = with_equal_sizes(boxes, message, shape[0], tf.shape(masks)[0])
    message = "crop_masks: image_size must be (height, width) of as many images as boxes, got"
    boxes = with_equal_sizes(boxes, message, tf.stack([shape[0], 2]), tf.shape(image_size))
    rows = tf.stack([tf.shape(object_index), tf.shape(valid)])
    return with_equal_sizes(boxes, "crop_masks: object_index and valid must be [B, S], got", shape[:2], rows)


def _assert_values(
    masks: tf.Tensor, image_size: tf.Tensor, object_index: tf.Tensor, valid: tf.Tensor
) -> None:
    num_objects = tf.shape(masks)[1]
    tf.debugging.Assert(
        tf.reduce_all(~valid | ((object_index >= 0) & (object_index < num_objects))),
        ["crop_masks: object_index must be in 0..G-1 with G =", num_objects, "got", object_index],
    )
    frame = tf.stack([tf.shape(masks)[2], 8 * tf.shape(masks)[3]])
    tf.debugging.Assert(
        tf.reduce_all((image_size >= 0) & (image_size <= frame)),
        ["crop_masks: image_size must be within the masks' pixels", frame, "got", image_size],
    )


def _make_crops(
    masks: tf.Tensor,
    image_size: tf.Tensor,
    boxes: tf.Tensor,
    object_index: tf.Tensor,
    valid: tf.Tensor,
    output_size: int,
) -> _Crops:
    batch, per_image = tf.unstack(tf.shape(boxes)[:2])
    pixels = tf.reshape(boxes, [-1, 4]) - 0.5
    size = tf.repeat(image_size, per_image, axis=0)
    usable = tf.reduce_all(tf.abs(pixels) <= MAX_CELLS, axis=-1) & tf.reduce_all(size > 0, axis=-1)
    usable &= tf.reshape(valid, [-1])
    pixels = tf.where(usable[:, None], pixels, 0.0)
    start = tf.reverse(pixels[:, :2], axis=[1])
    bin_size = divide(tf.reverse(pixels[:, 2:], axis=[1]) - start, output_size)
    ratio = tf.cast(tf.clip_by_value(tf.math.ceil(bin_size), 0.0, MAX_RATIO), tf.int32)
    ratio = tf.where(usable[:, None], ratio, 0)
    image = tf.repeat(tf.range(batch, dtype=tf.int64), tf.cast(per_image, tf.int64))
    mask = image * tf.shape(masks, tf.int64)[1] + tf.cast(tf.reshape(object_index, [-1]), tf.int64)
    order = tf.argsort(tf.reduce_prod(ratio, axis=1), direction="DESCENDING", stable=True)
    return _Crops(
        *(tf.gather(x, order) for x in (start, bin_size, ratio, size, mask, tf.range(batch * per_image)))
    )


def _sample(
    flat: tf.Tensor, mask_shape: tf.Tensor, crops: _Crops, sample: tf.Tensor, output_size: int
) -> tf.Tensor:
    """[m, M, M]: one bilinear sample of every bin; ``sample`` [m, 2] is its (row, column) inside the bin."""
    offset = (tf.cast(sample, tf.float32) + 0.5) * crops.bin_size / tf.cast(crops.ratio, tf.float32)
    bins = tf.range(output_size, dtype=tf.float32)
    # [m, 2, M]: both axes at once. The check of the shape keeps optimizers from adding in another order.
    corner = tf.ensure_shape(
        crops.start[:, :, None] + bins * crops.bin_size[:, :, None], [None, 2, output_size]
    )
    position = corner + offset[:, :, None]
    last = tf.cast(crops.size - 1, tf.float32)[:, :, None]
    inside = (position >= -1.0) & (position <= last + 1.0)
    position = tf.clip_by_value(position, 0.0, last)
    lower = tf.floor(position)
    fraction = position - lower
    cells = tf.cast(tf.stack([lower, tf.minimum(lower + 1.0, last)]), tf.int64)
    weights = tf.where(inside, tf.stack([1.0 - fraction, fraction]), 0.0)
    first = crops.mask[:, None] * mask_shape[0]
    terms = []
    for row in (0, 1):
        begin = (first + cells[row, :, 0]) * mask_shape[1]
        for column in (0, 1):
            x = cells[column, :, 1]
            byte = tf.gather(flat, begin[:, :, None] + (x // 8)[:, None, :])
            bit = tf.bitwise.right_shift(byte, tf.cast(7 - x % 8, tf.uint8)[:, None, :]) & 1
            weight = weights[row, :, 0, :, None] * weights[column, :, 1, None, :]
            terms.append(weight * tf.cast(bit, tf.float32))
    return ((terms[0] + terms[1]) + terms[2]) + terms[3]
