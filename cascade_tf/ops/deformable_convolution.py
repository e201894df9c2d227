"""Deformable convolution from core ops (Dai et al., "Deformable Convolutional Networks", Sec. 2.1).

Each point of the kernel, a "tap", reads the input at its regular position plus an offset of its own, by
bilinear interpolation in a map that is zero outside. The taps are summed one after another, forward and
backward: the samples of all nine at once would be nine copies of the input, and automatic differentiation
would keep several sets of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.ops import library


def deformable_conv2d(inputs: Any, offsets: Any, kernel: Any, *, stride: int = 1) -> tf.Tensor:
    """Convolves the input at displaced positions, padded with zeros by half the kernel; has first gradients.

    A sample at or beyond one cell outside the map is zero and passes no gradient on; nearer ones lose the
    share of the cells outside. So it is in detectron2. A sample at an offset that is not finite is zero.

    Args:
        inputs: [B, H, W, C] floating, at least 1 x 1 cell.
        offsets: [B, h, w, 2 T] float32 cells, (y, x) of each of the T taps in row-major order;
            h = ceil(H / stride).
        kernel: [k, k, C / groups, O] with odd sizes; T = k * k. Of the type to multiply in.
        stride: cells between neighbouring outputs.

    Returns:
        [B, h, w, O] of the kernel's type; sums over taps are float32.

    Raises:
        ValueError: a wrong rank, an even kernel, or channels that do not fit one another.
    """
    library.refuse_xla("deformable_conv2d")
    inputs, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
    offsets = tf.cast(offsets, tf.float32)
    _check(inputs, offsets, kernel, stride)

    @tf.custom_gradient
    def convolve(inputs, offsets, kernel):
        return _convolve(inputs, offsets, kernel, stride), lambda upstream: gradient(
            upstream, inputs, offsets, kernel
        )

    @tf.custom_gradient
    def gradient(upstream, inputs, offsets, kernel):
        def second(*_):
            # crop_and_resize's own gradient loses updates on the CPU.
            raise ValueError("deformable_conv2d: its gradient cannot be differentiated")

        return _gradient(upstream, inputs, offsets, kernel, stride), second

    return tf.ensure_shape(convolve(inputs, offsets, kernel), [*offsets.shape[:3], kernel.shape[3]])


def _check(inputs: tf.Tensor, offsets: tf.Tensor, kernel: tf.Tensor, stride: int) -> None:
    if inputs.shape.rank != 4 or offsets.shape.rank != 4 or kernel.shape.rank != 4:
        raise ValueError(
            "deformable_conv2d: inputs, offsets and kernel must have rank 4, got "
            f"{inputs.shape}, {offsets.shape} and {kernel.shape}"
        )
    height, width, depth, filters = kernel.shape
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"deformable_conv2d: the kernel's sides must be odd, got {height} x {width}")
    if offsets.shape[3] not in (2 * height * width, None):
        raise ValueError(
            f"deformable_conv2d: a {height} x {width} kernel needs {2 * height * width} offsets, "
            f"got {offsets.shape[3]}"
        )
    channels = inputs.shape[3]
    if channels is None or channels % depth or filters % (channels // depth):
        raise ValueError(
            f"deformable_conv2d: kernel {kernel.shape} does not divide {channels} channels into groups"
        )
    if stride < 1:
        raise ValueError(f"deformable_conv2d: stride must be at least 1, got {stride}")


def _convolve(inputs: tf.Tensor, offsets: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    padded = _pad(inputs)
    positions = _positions(offsets, kernel, stride)
    taps = tf.reshape(kernel, [-1, 1, 1, *kernel.shape[2:]])
    out_shape = tf.concat([tf.shape(offsets)[:3], kernel.shape[3:]], axis=0)

    def add_tap(tap, total):
        samples = tf.cast(_sample(padded, positions[tap]), kernel.dtype)
        # oneDNN's convolution of no images has the channels of its input.
        part = tf.reshape(tf.nn.conv2d(samples, taps[tap], 1, "VALID"), tf.shape(total))
        return tap + 1, total + tf.cast(part, tf.float32)

    _, total = tf.while_loop(
        lambda tap, _: tap < tf.shape(taps)[0],
        add_tap,
        (tf.constant(0), tf.zeros(out_shape)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, None, kernel.shape[3]])),
        parallel_iterations=1,
    )
    return tf.cast(total, kernel.dtype)


def _gradient(
    upstream: tf.Tensor, inputs: tf.Tensor, offsets: tf.Tensor, kernel: tf.Tensor, stride: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gradients in the inputs, the offsets and the kernel; samples are taken again instead of kept."""
    padded = _pad(inputs)
    positions = _positions(offsets, kernel, stride)
    transposed = _transpose(kernel, inputs.shape[3])
    cells = tf.reshape(inputs, [-1, inputs.shape[3]])
    num_taps = kernel.shape[0] * kernel.shape[1]

    def add_tap(tap, total, in_offsets, in_kernel):
        samples = _sample(padded, positions[tap])
        in_kernel = in_kernel.write(tap, _kernel_gradient(samples, upstream, kernel))
        # As a forward convolution, because TensorFlow's backward ones know no groups on some CPUs.
        in_samples = tf.cast(tf.nn.conv2d(upstream, transposed[tap], 1, "VALID"), tf.float32)
        in_samples = tf.reshape(in_samples, [-1, inputs.shape[3]])
        corners = _corners(positions[tap], tf.shape(inputs))
        in_offsets = in_offsets.write(tap, _position_gradient(in_samples, cells, corners))
        return tap + 1, total + _spread(in_samples, corners, tf.shape(cells)[0]), in_offsets, in_kernel

    _, total, in_offsets, in_kernel = tf.while_loop(
        lambda tap, *_: tap < num_taps,
        add_tap,
        (
            tf.constant(0),
            tf.zeros(tf.shape(cells)),
            tf.TensorArray(tf.float32, num_taps, element_shape=[None, 2]),
            tf.TensorArray(tf.float32, num_taps, element_shape=kernel.shape[2:]),
        ),
        parallel_iterations=1,
    )
    in_inputs = tf.cast(tf.reshape(total, tf.shape(inputs)), inputs.dtype)
    by_position = tf.transpose(in_offsets.stack(), [1, 0, 2])
    in_kernel = tf.cast(tf.reshape(in_kernel.stack(), kernel.shape), kernel.dtype)
    return in_inputs, tf.reshape(by_position, tf.shape(offsets)), in_kernel


def _pad(inputs: tf.Tensor) -> tf.Tensor:
    """A float32 map with one border of zeros: where interpolation has to fall off to zero."""
    return tf.pad(tf.cast(inputs, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]])


def _positions(offsets: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """[T, B, h, w, 2] float32 (y, x) of the samples, in cells from the centre of cell (0, 0)."""
    height, width = kernel.shape[:2]
    taps = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)
    taps = tf.reshape(taps, [-1, 2]) - tf.constant([height // 2, width // 2])
    rows, columns = tf.range(tf.shape(offsets)[1]), tf.range(tf.shape(offsets)[2])
    outputs = tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1) * stride
    regular = tf.cast(taps[:, None, None, None] + outputs, tf.float32)
    by_tap = tf.reshape(offsets, tf.concat([tf.shape(offsets)[:3], [height * width, 2]], axis=0))
    return regular + tf.transpose(by_tap, [3, 0, 1, 2, 4])


def _inside(positions: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """[...] whether samples may touch a cell of the map of that (height, width); not where they are NaN."""
    return tf.reduce_all((positions > -1.0) & (positions < tf.cast(size, tf.float32)), axis=-1)


def _sample(padded: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """[B, h, w, C] float32 values of the map at [B, h, w, 2] positions.

    ``crop_and_resize`` with crops of one pixel is faster than gathering and weighting four cells.
    """
    shape = tf.shape(positions)
    size = tf.shape(padded)[1:3]
    inside = _inside(positions, size - 2)[..., None]
    # The corner of the border stands for everything outside: no index can be wrong.
    relative = tf.where(inside, (positions + 1.0) / tf.cast(size - 1, tf.float32), 0.0)
    points = tf.reshape(relative, [-1, 2])
    image = tf.repeat(tf.range(shape[0]), shape[1] * shape[2])
    samples = tf.image.crop_and_resize(padded, tf.concat([points, points], axis=1), image, [1, 1])
    return tf.reshape(samples, tf.concat([shape[:3], padded.shape[3:]], axis=0))


class _Corners(NamedTuple):
    """The four cells around each of the n samples."""

    cell: tf.Tensor  # [n, 4] int32 row of the flattened maps; any valid one where the weights are zero
    weight: tf.Tensor  # [n, 4] float32 share of the sample
    slope: tf.Tensor  # [n, 2, 4] float32 derivatives of the shares in y and x


def _corners(positions: tf.Tensor, map_shape: tf.Tensor) -> _Corners:
    """Cells, weights and slopes; at whole positions the slope is the one towards the next cell."""
    size = map_shape[1:3]
    inside = _inside(positions, size)
    position = tf.where(inside[..., None], positions, 0.0)
    lower = tf.floor(position)
    both = tf.cast(tf.stack([lower, lower + 1.0], axis=-1), tf.int32)  # [B, h, w, axis, 2]
    exists = (both >= 0) & (both < size[:, None]) & inside[..., None, None]
    fraction = position - lower
    share = tf.where(exists, tf.stack([1.0 - fraction, fraction], axis=-1), 0.0)
    slope = tf.where(exists, tf.constant([-1.0, 1.0]), 0.0)
    both = tf.clip_by_value(both, 0, size[:, None] - 1)
    first = tf.range(map_shape[0])[:, None, None, None, None] * size[0] * size[1]
    cell = first + both[..., 0, :, None] * size[1] + both[..., 1, None, :]
    weight = share[..., 0, :, None] * share[..., 1, None, :]
    slope_y = slope[..., 0, :, None] * share[..., 1, None, :]
    slope_x = share[..., 0, :, None] * slope[..., 1, None, :]
    slopes = tf.stack([slope_y, slope_x], axis=3)
    return _Corners(tf.reshape(cell, [-1, 4]), tf.reshape(weight, [-1, 4]), tf.reshape(slopes, [-1, 2, 4]))


def _position_gradient(in_samples: tf.Tensor, cells: tf.Tensor, corners: _Corners) -> tf.Tensor:
    """[n, 2]: how the loss changes with each sample's y and x."""
    products = [
        tf.reduce_sum(in_samples * tf.cast(tf.gather(cells, corners.cell[:, k]), tf.float32), axis=1)
        for k in range(4)
    ]
    return tf.reduce_sum(corners.slope * tf.stack(products, axis=-1)[:, None], axis=-1)


def _spread(in_samples: tf.Tensor, corners: _Corners, num_cells: tf.Tensor) -> tf.Tensor:
    """[num_cells, C]: adds each sample's gradient to its four cells, without weighted copies of it."""
    sample = tf.repeat(tf.range(tf.shape(in_samples)[0]), 4)
    entries = tf.stack([sample, tf.reshape(corners.cell, [-1])], axis=1)
    shape = tf.cast(tf.stack([tf.shape(in_samples)[0], num_cells]), tf.int64)
    weights = tf.SparseTensor(tf.cast(entries, tf.int64), tf.reshape(corners.weight, [-1]), shape)
    return tf.sparse.sparse_dense_matmul(weights, in_samples, adjoint_a=True)


def _transpose(kernel: tf.Tensor, channels: int) -> tf.Tensor:
    """[T, 1, 1, O / groups, C]: per tap, the kernel that leads from the outputs to the inputs."""
    depth, filters = kernel.shape[2:]
    groups = channels // depth
    by_group = tf.reshape(kernel, [-1, depth, groups, filters // groups])
    return tf.reshape(tf.transpose(by_group, [0, 3, 2, 1]), [-1, 1, 1, filters // groups, channels])


def _kernel_gradient(samples: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """[C / groups, O] float32: the gradient of one tap's kernel."""
    depth, filters = kernel.shape[2:]
    groups = samples.shape[3] // depth
    left = tf.reshape(samples, [-1, groups, depth])
    right = tf.reshape(tf.cast(upstream, tf.float32), [-1, groups, filters // groups])
    return tf.reshape(tf.einsum("ngc,ngo->cgo", left, right), [depth, filters])
