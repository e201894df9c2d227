"""RoIAlign for XLA, whose tensors have fixed sizes: every step of a loop takes one sample of every bin.

Samples are four rows of all maps behind one another, as in the gradient of the other twin. An RoI with fewer
samples than others adds zeros in the steps that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from cascade_tf.ops.roi_align_twin import (
    Rois,
    grid_positions,
    make_rois,
    neighbours,
    num_samples,
    sizes_of_images,
)

_Add = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def roi_align_fixed_shapes(
    features: list[tf.Tensor],
    boxes: tf.Tensor,
    levels: tf.Tensor,
    map_sizes: tf.Tensor | None,
    *,
    strides: Sequence[float],
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> tf.Tensor:
    """``roi_align`` on checked arguments: float32 features, clamped [B, R] levels."""
    batch, num_rois = tf.unstack(tf.shape(boxes)[:2])
    shapes = [tf.shape(feature) for feature in features]
    image = tf.repeat(tf.range(batch), num_rois)
    own = sizes_of_images(map_sizes, shapes)
    rois = make_rois(boxes, levels, image, own, strides, output_size, sampling_ratio, aligned)
    sizes = tf.stack(shapes)
    num_cells, channels = tf.reduce_prod(sizes[:, :3], axis=1), shapes[0][3]

    def over_samples(add: _Add, total: tf.Tensor) -> tf.Tensor:
        """The total after ``add(total, cell, weight)`` of all neighbours of all samples."""

        def add_sample(number, total):
            for cell, weight in _neighbouring_cells(rois, sizes, num_cells, number, output_size):
                total = add(total, cell, weight[..., None])
            return number + 1, total

        most = tf.reduce_max(tf.reduce_prod(rois.ratio, axis=1))
        return tf.while_loop(lambda number, _: number < most, add_sample, (tf.constant(0), total))[1]

    # Each is the other's gradient. A loop whose number of steps is not known has none under XLA; it must not
    # see what is differentiated, or TensorFlow prepares for one where tapes are nested.
    @tf.custom_gradient
    def pool(*maps):
        cells = tf.concat([tf.reshape(tf.stop_gradient(one), [-1, channels]) for one in maps], axis=0)

        def add(total, cell, weight):
            return total + tf.gather(cells, cell) * weight

        total = over_samples(add, tf.zeros([tf.shape(rois.level)[0], *output_size, channels]))
        return total / num_samples(rois), lambda upstream: spread(upstream)

    @tf.custom_gradient
    def spread(upstream):
        share = tf.stop_gradient(upstream) / num_samples(rois)

        def add(total, cell, weight):
            return tf.tensor_scatter_nd_add(total, cell[..., None], share * weight)

        total = over_samples(add, tf.zeros([tf.reduce_sum(num_cells), channels]))
        parts = tf.split(total, num_cells, num=len(shapes))
        return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)], pool

    pooled = tf.reshape(pool(*features), [batch, num_rois, *output_size, channels])
    return tf.ensure_shape(pooled, [*boxes.shape[:2], *output_size, features[0].shape[3]])


def _neighbouring_cells(
    rois: Rois, sizes: tf.Tensor, num_cells: tf.Tensor, number: tf.Tensor, output_size: tuple[int, int]
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Rows of all maps, and their weights, [n, P, Q], of one sample in each bin."""
    height, width = tf.gather(sizes[:, 1], rois.level), tf.gather(sizes[:, 2], rois.level)
    begin = tf.gather(tf.cumsum(num_cells, exclusive=True), rois.level) + rois.image * height * width
    columns_per_bin = tf.maximum(rois.ratio[:, 1], 1)
    within_bin = tf.stack([number // columns_per_bin, number % columns_per_bin], axis=1)
    exists = tf.cast(number < tf.reduce_prod(rois.ratio, axis=1), tf.float32)[:, None, None]
    position = grid_positions(rois, tf.range(tf.shape(rois.level)[0]), within_bin, output_size)
    for row, row_weight in neighbours(position[:, : output_size[0], 0], rois.size[:, :, 0]):
        for column, column_weight in neighbours(position[:, : output_size[1], 1], rois.size[:, :, 1]):
            cell = (begin[:, None] + row * width[:, None])[:, :, None] + column[:, None, :]
            yield cell, row_weight[:, :, None] * column_weight[:, None, :] * exists
