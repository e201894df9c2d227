"""The protocols that measure detections from files, by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Numbers = dict[str, float]
"""Names to percent, NaN where there is nothing to measure."""


def _citypersons(ground_truth: Path, detections: Path, *, iou: float = 0.5) -> Numbers:
    from cascade_tf.formats.citypersons import read_detections, read_ground_truth
    from cascade_tf.metrics import evaluate_citypersons

    truth = read_ground_truth(ground_truth)
    return evaluate_citypersons(list(truth.values()), read_detections(detections, truth), iou=iou)


def _widerface(ground_truth: Path, detections: Path, *, iou: float = 0.5) -> Numbers:
    from cascade_tf.formats.widerface import read_detections, read_ground_truth
    from cascade_tf.metrics import evaluate_widerface

    truth = read_ground_truth(ground_truth)
    return evaluate_widerface(list(truth.values()), read_detections(detections, truth), iou=iou)


def _recall(ground_truth: Path, detections: Path) -> Numbers:
    import numpy as np

    from cascade_tf.coco_format.file import load_annotation_file
    from cascade_tf.metrics import evaluate_proposals

    content = load_annotation_file(ground_truth)
    given = _listed(detections, content) if detections.suffix == ".json" else _archived(detections)
    # An image without proposals has all its objects missed.
    nothing = np.zeros((0, 4)), np.zeros(0)
    ids = dict.fromkeys([*(image["id"] for image in content["images"]), *given])
    result = evaluate_proposals(content, ((i, *given.get(i, nothing)) for i in ids))
    return {name: 100 * value for name, value in result.summary.items()}


def _listed(path: Path, content: dict[str, list]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Boxes and scores of the images that have detections in COCO's result format."""
    from cascade_tf.coco_format.results_file import load_results_file
    from cascade_tf.metrics.proposals import without_classes

    records = load_results_file(path)
    try:
        return without_classes(records, content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _archived(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The same from a file of proposals."""
    from cascade_tf.proposal_files import read_proposals

    proposals = read_proposals(path)
    return {image_id: proposals.of_record(i) for i, image_id in enumerate(proposals.image_ids.tolist())}


PROTOCOLS: dict[str, Callable[..., Numbers]] = {
    "citypersons": _citypersons,
    "widerface": _widerface,
    "recall": _recall,
}
"""Each takes the ground truth, the detections and, as keywords, some of the program's flags."""
