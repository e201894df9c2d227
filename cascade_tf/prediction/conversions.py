"""Detections of one image in the forms of other tools; none of these tools is needed to import this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cascade_tf.prediction.inference import ImageDetections


def to_table(record: ImageDetections) -> dict[str, list[Any]]:
    """Returns columns with one entry per detection; see ``ImageDetections.to_table``."""
    columns = dict(zip(("x1", "y1", "x2", "y2"), record.boxes.T.tolist(), strict=True))
    count = len(record.boxes)
    return {
        "image_id": [record.image_id] * count,
        "path": [record.path] * count,
        "name": list(record.names),
        "category_id": record.category_ids.tolist(),
        "class": record.classes.tolist(),
        "score": record.scores.tolist(),
        **columns,
    }


def to_supervision(record: ImageDetections) -> Any:
    """Returns ``supervision.Detections``; see ``ImageDetections.to_supervision``."""
    try:
        import supervision
    except ImportError:
        raise ImportError("to_supervision: got no package supervision; pip install supervision") from None
    return supervision.Detections(
        xyxy=record.boxes.astype(np.float32),
        mask=record.paste() if record.has_masks else None,
        confidence=record.scores.astype(np.float32),
        class_id=record.classes.astype(int) - 1,
        data={"class_name": np.array(record.names, dtype=str), "category_id": record.category_ids},
    )
