"""Evaluation protocols: detections and ground truth in, named numbers out."""

from cascade_tf.metrics.coco import evaluate_coco, evaluate_instances
from cascade_tf.metrics.proposals import RecallResult, evaluate_proposals
from cascade_tf.metrics.results import CocoResult, compare_csv, compare_table

__all__ = [
    "CocoResult",
    "RecallResult",
    "compare_csv",
    "compare_table",
    "evaluate_coco",
    "evaluate_instances",
    "evaluate_proposals",
]
