"""The outlines of all objects of a data set as tensors: a tf.data graph draws masks without Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.data.segmentation import MAX_COORDINATE, checked_run_lengths
from cascade_tf.ops.draw_masks import Outlines
from cascade_tf.structures import Tensor

# Polygons have at least three corners.
_LEAST_COORDINATES = 6


class OutlineTable(NamedTuple):
    """Polygons and run lengths of O objects, those of an object side by side.

    Attributes:
        corners: [*, 2] float64 (x, y) of all polygons.
        corner_offsets: [P + 1] int64; polygon p has the corners from ``corner_offsets[p]`` on.
        polygon_offsets: [O + 1] int64; object o has the polygons from ``polygon_offsets[o]`` on.
        runs: int32 run lengths of all objects.
        run_offsets: [O + 1] int64.
    """

    corners: Tensor
    corner_offsets: Tensor
    polygon_offsets: Tensor
    runs: Tensor
    run_offsets: Tensor

    @classmethod
    def of(cls, segmentations: Sequence[Sequence[Any]], sizes: np.ndarray) -> OutlineTable | None:
        """Makes the table.

        The checks are those of `packed_mask`, all objects at once: one by one they would take longer than the
        annotation file.

        Args:
            segmentations: for each example its objects', as in ``Example.segmentations``.
            sizes: [M, 2] int32 (height, width) of the examples' images.

        Returns:
            None if `packed_mask` would refuse a segmentation, which those of a reader never are.
        """
        objects = [segmentation for example in segmentations for segmentation in example]
        per_example = [len(example) for example in segmentations]
        object_sizes = np.repeat(sizes, per_example, axis=0)
        try:
            corners, per_polygon, per_object = _join_polygons(objects, object_sizes)
            runs, runs_per_object = _join_runs(objects, object_sizes)
        except (ValueError, TypeError):
            return None
        with tf.device("CPU:0"):
            return cls(
                tf.constant(corners),
                _offsets(per_polygon),
                _offsets(per_object),
                tf.constant(runs),
                _offsets(runs_per_object),
            )

    def of_objects(self, begin: Tensor, end: Tensor) -> Outlines:
        """The outlines of objects ``begin`` to ``end - 1``, for a graph."""
        polygons, runs = self.polygon_offsets[begin : end + 1], self.run_offsets[begin : end + 1]
        corners = self.corner_offsets[polygons[0] : polygons[-1] + 1]
        return Outlines(
            self.corners[corners[0] : corners[-1]],
            _counts(corners),
            _counts(polygons),
            self.runs[runs[0] : runs[-1]],
            _counts(runs),
        )


def _offsets(counts: np.ndarray) -> Tensor:
    return tf.constant(np.concatenate([[0], np.cumsum(counts)]), tf.int64)


def _counts(offsets: Tensor) -> Tensor:
    return tf.cast(offsets[1:] - offsets[:-1], tf.int32)


def _join_polygons(objects: Sequence[Any], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[*, 2] corners, corners per polygon, polygons per object."""
    outlined = np.array([not (s is None or isinstance(s, Mapping)) for s in objects], bool)
    kept = [s for s, has_polygons in zip(objects, outlined, strict=True) if has_polygons]
    per_object = np.zeros(len(objects), np.int64)
    per_object[outlined] = [len(s) for s in kept]
    polygons = [np.asarray(polygon) for s in kept for polygon in s]
    if any(polygon.ndim != 1 or polygon.dtype.kind not in "iuf" for polygon in polygons):
        raise ValueError("a polygon is not a list of numbers")
    lengths = np.array([len(polygon) for polygon in polygons], np.int64)
    if (per_object[outlined] == 0).any() or (lengths % 2).any() or (lengths < _LEAST_COORDINATES).any():
        raise ValueError("an object without polygons, or a polygon without three corners")
    corners = np.concatenate([np.zeros(0), *polygons]).astype(np.float64).reshape(-1, 2)
    # Written so that a NaN is refused.
    if not (np.abs(corners) <= MAX_COORDINATE).all():
        raise ValueError("a corner too far away")
    inside = _touch(corners, lengths // 2, np.repeat(sizes, per_object, axis=0))
    owner = np.repeat(np.arange(len(objects)), per_object)
    if (np.bincount(owner, inside, minlength=len(objects))[outlined] == 0).any():
        raise ValueError("an object outside its image")
    return corners, lengths // 2, per_object


def _touch(corners: np.ndarray, per_polygon: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[P] bool, whether the box of each polygon overlaps its image."""
    if not len(per_polygon):
        return np.zeros(0, bool)
    begin = np.cumsum(per_polygon) - per_polygon
    low, high = np.minimum.reduceat(corners, begin), np.maximum.reduceat(corners, begin)
    return np.all((high > 0) & (low < sizes[:, ::-1]), axis=1)


def _join_runs(objects: Sequence[Any], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of all objects, runs per object."""
    per_object = np.zeros(len(objects), np.int64)
    joined = [np.zeros(0, np.int32)]
    for number, segmentation in enumerate(objects):
        if isinstance(segmentation, Mapping):
            height, width = sizes[number].tolist()
            lengths = checked_run_lengths(segmentation, (height, width))
            if height * width > np.iinfo(np.int32).max:
                raise ValueError("too many pixels for int32")
            per_object[number] = len(lengths)
            joined.append(lengths.astype(np.int32))
    return np.concatenate(joined), per_object
