"""The authors' assignment of ground truth to anchors: an object that fits none gets the one of its cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.boxes.anchors import ShapeGrid
from cascade_tf.boxes.geometry import cover, pairwise_iou
from cascade_tf.boxes.matching import BACKGROUND, FOREGROUND, IGNORED, Match, ignored_objects
from cascade_tf.structures import Targets, Tensor


def match_cells(
    grid: ShapeGrid,
    anchors: Tensor,
    feature_sizes: Tensor,
    targets: Targets,
    image_size: Tensor,
    *,
    foreground_iou: float = 0.7,
    background_iou: float = 0.3,
    claim_iou: float = 0.2,
    min_object_side: float | Sequence[float] = 0.0,
    max_outside: float | None = None,
    crowd_cover: float | None = 0.4,
    inclusive: bool = False,
    match_crowds: bool = False,
    crowds_first: bool = False,
) -> Match:
    """Labels anchors as the data layers of the authors' Caffe code do (zhaoweicai/cascade-rcnn).

    An object that no anchor fits by ``foreground_iou`` claims one: the anchor in the cell that contains its
    centre, in the shape that overlaps the object most anywhere. It gets that anchor even where it is ignored
    otherwise, unless the anchor stands for an object already. Of two objects that claim an anchor the first
    gets it.

    Objects to ignore, that are too small or whose centre lies outside of the image are not searched for: the
    anchors that they would be matched with are ignored.

    Args:
        grid: of the anchors.
        anchors: [N, 4] float32, the grid's.
        feature_sizes: [L, 2] int32 (height, width) of the maps in cells.
        targets: ground truth; an image may have none.
        image_size: [B, 2] float32 (height, width) before padding; anchors of cells in the padding are
            ignored.
        foreground_iou: foreground above.
        background_iou: background below; ignored in between.
        claim_iou: objects without an anchor claim one where their largest IoU is this or more.
        min_object_side: objects with a shorter side are not searched for, pixels; for both sides, or
            (width, height).
        max_outside: anchors that reach over the image's border by more than this share of half their side
            are ignored; None: wherever they lie.
        crowd_cover: background anchors of whose area crowd regions cover this share or more, all regions
            together, are ignored; None counts them as background.
        inclusive: the authors' arithmetic, for which boxes are (first pixel, last pixel) and anchors are not:
            these are one pixel wider and higher in overlaps, and an object's centre lies half a pixel before
            its own.
        match_crowds: crowds are matched as if they were objects to ignore.
        crowds_first: anchors that crowd regions cover so far are ignored even where they fit an object.

    Returns:
        The match. ``index`` and ``iou`` of a claimed anchor are of the object that claims it.
    """
    present = targets.valid | ignored_objects(targets, match_crowds=match_crowds)
    centres = _centres(targets.boxes, inclusive)
    wanted = targets.valid & _is_searched(targets.boxes, centres, image_size, min_object_side)
    compared = anchors + tf.constant([0.0, 0.0, 1.0, 1.0]) if inclusive else anchors
    overlaps = tf.where(present[:, None, :], pairwise_iou(compared[None], targets.boxes), 0.0)
    considered = grid.of_image(image_size, feature_sizes)
    if max_outside is not None:
        considered &= _keeps_margin(anchors, image_size, max_outside)

    covered = None if crowd_cover is None else _covered(compared, targets, crowd_cover)
    if covered is not None and crowds_first:
        considered &= ~covered
    padded = tf.pad(overlaps, [[0, 0], [0, 0], [0, 1]])
    best = tf.reduce_max(padded, axis=2)
    index = tf.argmax(padded, axis=2, output_type=tf.int32)
    fits = considered & (best > foreground_iou)
    labels = tf.where(considered & (best < background_iou), BACKGROUND, IGNORED)
    is_wanted = tf.gather(tf.pad(wanted, [[0, 0], [0, 1]]), index, batch_dims=1)
    labels = tf.where(fits & is_wanted, FOREGROUND, labels)
    if covered is not None:
        labels = tf.where(covered & (labels == BACKGROUND), IGNORED, labels)
    index = tf.where(best > 0.0, index, 0)

    shape, largest = _best_shape(grid, tf.where(considered[..., None], overlaps, 0.0), feature_sizes)
    unfitted = wanted & ~_has_anchor(labels, index, wanted) & (largest >= claim_iou)
    place = grid.place(shape, centres, feature_sizes)
    claims = _granted(unfitted, place, labels)
    return _with_claims(Match(labels, index, best), claims, place, largest)


def _centres(boxes: Tensor, inclusive: bool) -> Tensor:
    return 0.5 * (boxes[..., :2] + boxes[..., 2:]) - (0.5 if inclusive else 0.0)


def _is_searched(boxes: Tensor, centres: Tensor, image_size: Tensor, min_side: Any) -> Tensor:
    """[B, G] objects whose centre lies in the image and whose sides are long enough."""
    inside = (centres >= 0.0) & (centres < image_size[:, None, ::-1])
    return tf.reduce_all(
        inside & (boxes[..., 2:] - boxes[..., :2] >= tf.constant(min_side, tf.float32)), axis=-1
    )


def _keeps_margin(anchors: Tensor, image_size: Tensor, share: float) -> Tensor:
    """[B, N] anchors that reach over no border by more than a share of half their side."""
    margin = 0.5 * share * (anchors[:, 2:] - anchors[:, :2])
    before = tf.reduce_all(anchors[:, :2] >= -margin, axis=-1)
    after = tf.reduce_all(anchors[None, :, 2:] < image_size[:, None, ::-1] + margin[None], axis=-1)
    return before[None] & after


def _covered(anchors: Tensor, targets: Targets, share: float) -> Tensor:
    shares = tf.where(targets.crowd[:, None, :], cover(anchors[None], targets.boxes), 0.0)
    return tf.reduce_sum(shares, axis=2) >= share


def _best_shape(grid: ShapeGrid, overlaps: Tensor, feature_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """[B, G] each object's shape with the largest IoU, the first among equals, and that IoU."""
    shape = tf.shape(overlaps)
    per_shape = []
    levels = grid.split(overlaps, feature_sizes)
    for values, count in zip(levels, grid.shapes_per_level, strict=True):
        by_cell = tf.reshape(values, [shape[0], tf.shape(values)[1] // count, count, shape[2]])
        per_shape.append(tf.reduce_max(by_cell, axis=1))
    every = tf.concat(per_shape, axis=1)
    return tf.argmax(every, axis=1, output_type=tf.int32), tf.reduce_max(every, axis=1)


def _has_anchor(labels: Tensor, index: Tensor, wanted: Tensor) -> Tensor:
    """[B, G] objects that are some foreground anchor's."""
    images = tf.broadcast_to(tf.range(tf.shape(index)[0])[:, None], tf.shape(index))
    places = tf.boolean_mask(tf.stack([images, index], axis=-1), labels == FOREGROUND)
    return tf.scatter_nd(places, tf.ones_like(places[:, 0]), tf.shape(wanted)) > 0


def _granted(unfitted: Tensor, place: Tensor, labels: Tensor) -> Tensor:
    """[B, G] objects that get the anchor at their place: it stands for none, and no earlier one wants it."""
    taken = tf.gather(labels, place, batch_dims=1) == FOREGROUND
    claims = unfitted & ~taken
    same = (place[:, :, None] == place[:, None, :]) & claims[:, None, :]
    order = tf.range(tf.shape(place)[1])
    earlier = order[None, :] < order[:, None]
    return claims & ~tf.reduce_any(same & earlier[None], axis=2)


def _with_claims(match: Match, claims: Tensor, place: Tensor, iou: Tensor) -> Match:
    objects = tf.where(claims)
    image = tf.cast(objects[:, 0], tf.int32)
    at = tf.stack([image, tf.gather_nd(place, objects)], axis=-1)

    def put(values: Tensor, new: Tensor) -> Tensor:
        return tf.tensor_scatter_nd_update(values, at, new)

    return Match(
        put(match.labels, tf.fill(tf.shape(image), FOREGROUND)),
        put(match.index, tf.cast(objects[:, 1], tf.int32)),
        put(match.iou, tf.gather_nd(iou, objects)),
    )
