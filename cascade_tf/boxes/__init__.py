"""Mathematics of boxes: float32 ``(x1, y1, x2, y2)`` in continuous pixel coordinates."""

import cascade_tf.ops  # noqa: F401 - registers the C++ ops, as every part of a detector does
from cascade_tf.boxes.anchors import AnchorGrid, ShapeGrid
from cascade_tf.boxes.cell_matching import match_cells
from cascade_tf.boxes.coder import BoxCoder
from cascade_tf.boxes.geometry import area, clip_boxes, cover, is_proper, pairwise_iou
from cascade_tf.boxes.matching import Match, ignored_objects, match_anchors, match_boxes
from cascade_tf.boxes.negatives import hardest_negatives, random_negatives
from cascade_tf.boxes.sampling import (
    random_priority,
    relabelled,
    sample_labels,
    sample_rois,
    unlabelled_samples,
    with_ground_truth,
)
from cascade_tf.boxes.voting import vote_boxes

__all__ = [
    "AnchorGrid",
    "BoxCoder",
    "Match",
    "ShapeGrid",
    "area",
    "clip_boxes",
    "cover",
    "hardest_negatives",
    "ignored_objects",
    "is_proper",
    "match_anchors",
    "match_boxes",
    "match_cells",
    "pairwise_iou",
    "random_negatives",
    "random_priority",
    "relabelled",
    "sample_labels",
    "sample_rois",
    "unlabelled_samples",
    "vote_boxes",
    "with_ground_truth",
]
