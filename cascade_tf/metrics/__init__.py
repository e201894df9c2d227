"""Evaluation protocols: detections and ground truth in, named numbers out."""

from cascade_tf.metrics.citypersons import evaluate_citypersons
from cascade_tf.metrics.coco import evaluate_coco, evaluate_instances
from cascade_tf.metrics.error_results import ErrorResult
from cascade_tf.metrics.errors import evaluate_errors
from cascade_tf.metrics.kitti import evaluate_kitti
from cascade_tf.metrics.measurement import (
    BenchmarkResult,
    Measurement,
    compare_measurements,
    write_comparison,
)
from cascade_tf.metrics.proposals import RecallResult, evaluate_proposals
from cascade_tf.metrics.results import CocoResult, compare_csv, compare_table
from cascade_tf.metrics.voc import evaluate_voc
from cascade_tf.metrics.widerface import evaluate_widerface

__all__ = [
    "BenchmarkResult",
    "CocoResult",
    "ErrorResult",
    "Measurement",
    "RecallResult",
    "compare_csv",
    "compare_measurements",
    "compare_table",
    "evaluate_citypersons",
    "evaluate_coco",
    "evaluate_errors",
    "evaluate_instances",
    "evaluate_kitti",
    "evaluate_proposals",
    "evaluate_voc",
    "evaluate_widerface",
    "write_comparison",
]
