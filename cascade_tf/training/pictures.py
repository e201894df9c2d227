"""Sample pictures of a run: what the detector finds in a training batch, over the ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.ops.paste_masks import paste_masks
from cascade_tf.structures import ImageBatch, InstanceDetections, InstanceTargets, Targets
from cascade_tf.visualization import draw_detections


def sample_pictures(
    detector: Any,
    batch: ImageBatch,
    targets: Targets | InstanceTargets,
    *,
    count: int = 2,
    score_threshold: float = 0.3,
) -> dict[str, np.ndarray]:
    """Draws the first images of a batch with detections and, as dashed lines, the ground truth.

    Args:
        detector: callable on an ImageBatch, with ``class_names``.
        batch: images in 0..255.
        targets: their ground truth.
        count: number of pictures, at most.
        score_threshold: weaker detections are left out.

    Returns:
        Pictures [h, w, 3] uint8 by name, ``"0"``, ``"1"``, ...
    """
    batch, targets = tf.nest.map_structure(lambda value: value[:count], (batch, targets))
    detections = tf.nest.map_structure(np.asarray, detector(batch, training=False))
    batch, targets = tf.nest.map_structure(np.asarray, (batch, targets))
    pictures = {}
    for i, (height, width) in enumerate(batch.image_size.astype(int)):
        found = detections.valid[i]
        classes = detections.classes[i][found]
        masks = None
        if isinstance(detections, InstanceDetections):
            size = (int(height), int(width))
            masks = paste_masks(detections.masks[i][found], detections.boxes[i][found], size).numpy()
        pictures[str(i)] = draw_detections(
            np.clip(np.round(batch.images[i, :height, :width]), 0, 255).astype(np.uint8),
            detections.boxes[i][found],
            detections.scores[i][found],
            [detector.class_names[c - 1] for c in classes],
            classes,
            ground_truth=targets.boxes[i][targets.valid[i]],
            score_threshold=score_threshold,
            masks=masks,
        )
    return pictures
