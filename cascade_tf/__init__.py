"""Cascade R-CNN for TensorFlow and Keras: high-quality object detection.

The package root imports nothing heavy: the names below are fetched on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cascade_tf.keras_names import announce

__version__ = "0.1.0"

_PUBLIC = {
    "core_ops": "cascade_tf.serving.core_ops",
    "export": "cascade_tf.serving",
    "export_saved_model": "cascade_tf.serving.export",
    "load": "cascade_tf.experiment.loading",
    "load_pretrained": "cascade_tf.weights.zoo.pretrained",
    "TwoStageDetector": "cascade_tf.models",
    "cascade_mask_rcnn_fpn": "cascade_tf.models",
    "cascade_rcnn_fpn": "cascade_tf.models",
    "faster_rcnn_fpn": "cascade_tf.models",
    "mask_rcnn_fpn": "cascade_tf.models",
}

__all__ = ["__version__", *_PUBLIC]

announce()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'cascade_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
