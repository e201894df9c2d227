"""Features of fixed size for boxes of any size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import require
from cascade_tf.layers.image_areas import areas_of_boxes
from cascade_tf.layers.map_order import as_maps, check_strides, fine_to_coarse
from cascade_tf.layers.map_strides import MapStrides
from cascade_tf.ops.roi_align import assign_levels, roi_align, roi_align_in_turn
from cascade_tf.pooling.box_pooling import BoxPooling
from cascade_tf.pooling.map_channels import channels_of
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class ROIAlign(BoxPooling):
    """Pools each box from the pyramid level of its size, without rounding coordinates (He et al., 2017).

    Differentiable in the features, also twice; boxes get no gradient.

    Args:
        output_size: P, cells per side of the result, or their (height, width).
        strides: pixels per cell of the levels that boxes are pooled from, finest first. Coarser maps among
            the features (P6) are not used. For one map of stride 16: ``(16,)``.
        sampling_ratio: samples per cell and axis; 0 takes ``ceil(box size / P)``.
        aligned: whether a pixel's centre is at half a pixel; False is the older convention of Caffe2.
        inclusive: pools up to the box's last pixel, ``x2 - 1``, instead of its far edge, as detectors do
            whose boxes are (first pixel, last pixel) and that pool from their coordinates as they are (Caffe,
            Caffe2).
        canonical_size: a box of this side length goes to ``canonical_level``.
        canonical_level: number of that level, 4 for P4 where the finest level is P2.
        implementation: ``"auto"``, ``"custom"`` (the C++ op) or ``"tensorflow"``; see ``ops.roi_align``.

    Raises:
        ValueError: a size that is not positive.
    """

    kind = "pooling"
    asserts_sizes = True

    def __init__(
        self,
        output_size: int | Sequence[int] = 7,
        strides: Sequence[int] = (4, 8, 16, 32),
        sampling_ratio: int = 2,
        aligned: bool = True,
        inclusive: bool = False,
        canonical_size: float = 224.0,
        canonical_level: int = 4,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(output_size, implementation, **kwargs)
        require(canonical_size > 0, "canonical_size", canonical_size, "a number of pixels above 0")
        self.strides = strides
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.inclusive = inclusive
        self.canonical_size = canonical_size
        self.canonical_level = canonical_level

    def pooled_shape(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of ``call``'s result for features of these shapes."""
        return (None, None, *self.cells, channels_of("ROIAlign", shapes, self._names(shapes)))

    def map_strides(self, names: Iterable[str]) -> Iterator[MapStrides]:
        """The strides that it takes the maps of these names to have."""
        yield MapStrides("strides", self._names(names), tuple(self.strides))

    def pool_in_turn(self, features: Any, boxes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pools one set of boxes among several, in training; see ``ops.roi_align_in_turn``.

        Args:
            features: see ``call``.
            boxes: [B, R, 4].

        Returns:
            What ``call`` returns, and the features to pool the next set from.
        """
        features = as_maps(features)
        names = self._checked_names(features)
        maps = [features[name] for name in names]
        pooled, passed_on = roi_align_in_turn(maps, **self._settings(maps, boxes))
        return pooled, {**features, **dict(zip(names, passed_on, strict=True))}

    def _pool(self, features: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        names = self._checked_names(features)
        maps = [features[name] for name in names]
        return roi_align(maps, **self._settings(maps, boxes))

    def _names(self, features: Iterable[str]) -> tuple[str, ...]:
        return fine_to_coarse(features)[: len(self.strides)]

    def _checked_names(self, features: Mapping[str, Tensor]) -> tuple[str, ...]:
        names = self._names(features)
        check_strides("ROIAlign", features, names, self.strides, self.asserts_sizes)
        return names

    def _settings(self, maps: Sequence[Tensor], boxes: Tensor) -> dict[str, Any]:
        levels = assign_levels(
            boxes,
            len(maps),
            min_level=round(math.log2(self.strides[0])),
            canonical_size=self.canonical_size,
            canonical_level=self.canonical_level,
        )
        return {
            "boxes": boxes - tf.constant([0.0, 0.0, 1.0, 1.0]) if self.inclusive else boxes,
            "strides": tuple(self.strides),
            "output_size": self.output_size,
            "levels": levels,
            "map_sizes": _sizes_of_images(self.strides),
            "sampling_ratio": self.sampling_ratio,
            "aligned": self.aligned,
            "implementation": self.implementation,
        }


def _sizes_of_images(strides: Sequence[float]) -> Tensor | None:
    """[B, L, 2] cells of the images' own areas on the maps, in a detector that keeps images apart."""
    areas = areas_of_boxes()
    return None if areas is None else tf.stack([areas.cells(stride) for stride in strides], axis=1)
