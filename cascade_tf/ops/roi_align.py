"""RoIAlign over all levels of a feature pyramid (He et al., "Mask R-CNN", Sec. 3).

Each output bin is the mean of bilinear samples on a regular grid. Feature cell (i, j) is a sample at its
centre, (i + 0.5, j + 0.5) in units of cells; with ``aligned`` the box is shifted by that half cell. Samples
farther than one cell outside the map count as zero, nearer ones take the border's value. An RoI with a
coordinate that is not finite, or farther than 2^24 cells from the origin, yields zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import floats
from cascade_tf.ops.pooling_arguments import (
    KERNEL_TYPES,
    checked_levels,
    checked_maps,
    checked_size,
)
from cascade_tf.ops.roi_align_fixed_shapes import roi_align_fixed_shapes
from cascade_tf.ops.roi_align_twin import MAX_RATIO, roi_align_tensorflow


def assign_levels(
    boxes: Any,
    num_levels: int,
    *,
    min_level: int = 2,
    canonical_size: float = 224.0,
    canonical_level: int = 4,
) -> tf.Tensor:
    """Pyramid level that pools each box: ``floor(canonical_level + log2(sqrt(area) / canonical_size))``.

    The rule of Lin et al., "Feature Pyramid Networks", Eq. 1, clamped to the levels that exist.

    Args:
        boxes: [..., 4] float32 xyxy in pixels.
        num_levels: number of levels, the finest is ``min_level``.
        min_level: level of index 0 (stride ``2 ** min_level``).
        canonical_size: box side in pixels that belongs to ``canonical_level``.
        canonical_level: level of a box of the canonical size.

    Returns:
        [...] int32 index of the level, 0..num_levels - 1. Boxes without area and NaN boxes go to level 0.
    """
    boxes = floats("assign_levels", "boxes", boxes)
    if not boxes.shape[-1:].is_compatible_with([4]):
        raise ValueError(f"assign_levels: boxes must be [..., 4], got {boxes.shape}")
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    relative = tf.sqrt(sides[..., 0] * sides[..., 1]) / canonical_size + 1e-8
    # Counting the boundaries that are reached is exact at powers of two, where a float32 log2 may not be.
    boundaries = [2.0 ** (min_level + i - canonical_level) for i in range(1, num_levels)]
    reached = relative[..., None] >= tf.constant(boundaries, tf.float32, shape=[num_levels - 1])
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1)


def roi_align(
    features: Sequence[Any],
    boxes: Any,
    *,
    strides: Sequence[float],
    output_size: int | tuple[int, int],
    levels: Any = None,
    map_sizes: Any = None,
    sampling_ratio: int = 2,
    aligned: bool = True,
    canonical_size: float = 224.0,
    canonical_level: int = 4,
    implementation: str = "auto",
) -> tf.Tensor:
    """Pools every box from its pyramid level. Differentiable in the features; boxes get no gradient.

    Args:
        features: one [B, h_l, w_l, C] floating tensor per level, finest first; at least 1 x 1 cell each.
        boxes: [B, R, 4] float32 xyxy in pixels of the network's input.
        strides: pixels per cell of each level.
        output_size: P, or (height, width) of the result in bins.
        levels: [B, R] int32 index into ``features``, clamped to those that exist. None:
            ``assign_levels`` with ``min_level = log2(strides[0])``.
        map_sizes: [B, L, 2] int32 (height, width) in cells, at least 1, of what each image has of each map,
            at the upper left: the maps end there for its boxes. None: every image has the whole maps.
        sampling_ratio: samples per bin and axis, at most 256. 0: one per cell that a bin spans, rounded up,
            cut at 256.
        aligned: shift by half a cell ("RoIAlignV2"). False: no shift, and boxes are at least one cell wide
            and high.
        canonical_size: see ``assign_levels``.
        canonical_level: see ``assign_levels``.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        [B, R, height, width, C] of the features' dtype. The arithmetic is float32.

    Raises:
        ValueError: a wrong rank, unequal channels, batch sizes or list lengths, or a setting out of range.
    """
    if levels is None:
        maps = checked_maps("roi_align", features, boxes, strides)
        levels = assign_levels(
            maps.boxes,
            len(maps.features),
            min_level=round(math.log2(strides[0])),
            canonical_size=canonical_size,
            canonical_level=canonical_level,
        )
    call = _checked_call(
        features,
        boxes,
        levels=levels,
        map_sizes=map_sizes,
        strides=strides,
        output_size=output_size,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
        implementation=implementation,
    )
    return tf.cast(call.pool(call.maps), call.dtype)


def roi_align_in_turn(
    features: Sequence[Any], boxes: Any, **settings: Any
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """``roi_align`` of one set of boxes among several, as the stages of a cascade pool theirs.

    Pool the next set from the features that this returns. Values and gradients are those of ``roi_align`` on
    the same features every time; but the gradient of each set is added to that of the next ones where it
    lies, in place of as many gradients of the whole pyramid as there are sets, and of their sum. The C++ op
    does so; elsewhere the features come back as they are. The last set is for ``roi_align``: what nothing
    reads further on gets a gradient of zeros first.

    Args:
        features: see ``roi_align``.
        boxes: see there.
        **settings: ``levels``, ``strides``, ``output_size``, ``sampling_ratio``, ``aligned`` and
            ``implementation``, which have no default here, and ``map_sizes``.

    Returns:
        The pooled boxes, and the features.
    """
    call = _checked_call(features, boxes, **settings)
    if not call.native:
        return tf.cast(call.pool(call.maps), call.dtype), list(features)

    @tf.custom_gradient
    def pool(*maps: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Callable[..., list[tf.Tensor]]]:
        def gradient(upstream: tf.Tensor, *others: tf.Tensor) -> list[tf.Tensor]:
            return call.gradient(upstream, maps, others)

        return (call.pool(maps), *(tf.identity(one) for one in maps)), gradient

    pooled, *passed_on = pool(*call.maps)
    return pooled, passed_on


class _Call(NamedTuple):
    """Checked arguments, and how they are computed with."""

    custom: Any
    native: bool  # whether the C++ op takes the features as they are
    dtype: tf.DType
    maps: list[tf.Tensor]
    boxes: tf.Tensor
    levels: tf.Tensor
    map_sizes: tf.Tensor | None
    size: tuple[int, int]
    settings: dict[str, Any]

    @property
    def sizes(self) -> tf.Tensor:
        """``map_sizes`` as the C++ op takes them."""
        return tf.zeros([0], tf.int32) if self.map_sizes is None else self.map_sizes

    def pool(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        if self.custom is None:
            levels = tf.clip_by_value(self.levels, 0, len(maps) - 1)
            twin = roi_align_fixed_shapes if library.under_xla() else roi_align_tensorflow
            return twin(
                list(maps), self.boxes, levels, self.map_sizes, output_size=self.size, **self.settings
            )
        return self.custom.cascade_tf_roi_align(
            features=maps,
            boxes=self.boxes,
            levels=self.levels,
            map_sizes=self.sizes,
            output_height=self.size[0],
            output_width=self.size[1],
            **self.settings,
        )

    def gradient(
        self, upstream: tf.Tensor, maps: Sequence[tf.Tensor], others: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        return self.custom.cascade_tf_roi_align_grad(
            upstream=upstream,
            boxes=self.boxes,
            levels=self.levels,
            map_sizes=self.sizes,
            feature_shapes=[tf.shape(one) for one in maps],
            others=others,
            **self.settings,
        )


def _checked_call(
    features: Sequence[Any],
    boxes: Any,
    *,
    levels: Any,
    strides: Sequence[float],
    output_size: int | tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    implementation: str,
    map_sizes: Any = None,
) -> _Call:
    custom = library.custom_ops(implementation)
    size = checked_size("roi_align", output_size)
    if sampling_ratio not in range(MAX_RATIO + 1):
        raise ValueError(
            f"roi_align: sampling_ratio must be 0 (adaptive) or a whole number of at most {MAX_RATIO}, "
            f"got {sampling_ratio}"
        )
    maps, boxes = checked_maps("roi_align", features, boxes, strides)
    dtype = maps[0].dtype
    native = custom is not None and dtype in KERNEL_TYPES
    return _Call(
        custom,
        native,
        dtype,
        maps if native else [tf.cast(one, tf.float32) for one in maps],
        boxes,
        checked_levels("roi_align", levels, boxes),
        _checked_sizes(map_sizes, boxes, len(maps)),
        size,
        {
            "strides": [float(stride) for stride in strides],
            "sampling_ratio": sampling_ratio,
            "aligned": aligned,
        },
    )


def _checked_sizes(map_sizes: Any, boxes: tf.Tensor, num_levels: int) -> tf.Tensor | None:
    if map_sizes is None:
        return None
    sizes = tf.cast(map_sizes, tf.int32)
    if not sizes.shape.is_compatible_with([boxes.shape[0], num_levels, 2]):
        raise ValueError(
            f"roi_align: map_sizes must be [B, L, 2], got {sizes.shape} for {num_levels} levels and the "
            f"boxes {boxes.shape}"
        )
    return sizes


@tf.RegisterGradient("CascadeTf>RoiAlign")
def _roi_align_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    num_levels = op.get_attr("num_levels")
    upstream.set_shape(op.outputs[0].shape)
    gradients = library.load().cascade_tf_roi_align_grad(
        upstream=upstream,
        boxes=op.inputs[num_levels],
        levels=op.inputs[num_levels + 1],
        map_sizes=op.inputs[num_levels + 2],
        feature_shapes=[tf.shape(feature) for feature in op.inputs[:num_levels]],
        others=[],
        strides=op.get_attr("strides"),
        sampling_ratio=op.get_attr("sampling_ratio"),
        aligned=op.get_attr("aligned"),
    )
    return [*gradients, None, None, None]


@tf.RegisterGradient("CascadeTf>RoiAlignGrad")
def _roi_align_second_gradient(op: tf.Operation, *upstream: tf.Tensor) -> list[Any]:
    """The gradient is linear in what comes from above: its own gradient is the pooling."""
    num_levels, num_others = op.get_attr("num_levels"), op.get_attr("num_others")
    gradient = library.load().cascade_tf_roi_align(
        features=upstream,
        boxes=op.inputs[1],
        levels=op.inputs[2],
        map_sizes=op.inputs[3],
        output_height=op.inputs[0].shape[2],
        output_width=op.inputs[0].shape[3],
        strides=op.get_attr("strides"),
        sampling_ratio=op.get_attr("sampling_ratio"),
        aligned=op.get_attr("aligned"),
    )
    return [gradient, *[None] * (3 + num_levels), *upstream[:num_others]]
