"""The protocols that measure detections from files, by their names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

if TYPE_CHECKING:
    import numpy as np

    from cascade_tf.formats.voc import VocDetections, VocObjects

Numbers = dict[str, float]
"""Names to percent, NaN where there is nothing to measure."""


def _coco(ground_truth: Path, detections: Path, *, honour_ignore: bool = True) -> Numbers:
    from cascade_tf.coco_format.results_file import load_results_file
    from cascade_tf.metrics import evaluate_coco, evaluate_instances
    from cascade_tf.metrics.coco_input import read, require_distinct_annotations

    truth: Any
    if ground_truth.is_dir():
        truth, found = _voc_as_coco(ground_truth, detections)
    else:
        # What is wrong with the annotations is told with the name of their file.
        truth, found = read(str(ground_truth)), load_results_file(detections)
        require_distinct_annotations(truth)
    boxes, masks = (all(field in record for record in found) for field in ("bbox", "segmentation"))
    with _broken_in(detections):
        if masks and not boxes:
            result = evaluate_coco(truth, found, iou_type="segm", ignore=honour_ignore)
            return {f"mask_{name}": 100 * value for name, value in result.summary.items()}
        result = (evaluate_instances if masks else evaluate_coco)(truth, found, ignore=honour_ignore)
    if found and masks and result.no_mask:
        logging.warning("%s: masks are not measured: %s", ground_truth, result.no_mask)
    per_class = {f"AP/{name}": numbers["AP"] for name, numbers in result.per_class.items()}
    return {name: 100 * value for name, value in (result.numbers() | per_class).items()}


@contextlib.contextmanager
def _broken_in(detections: Path) -> Iterator[None]:
    """Puts the file in front of what is said of its detections."""
    from cascade_tf.metrics.coco_detections import BrokenDetectionError

    try:
        yield
    except BrokenDetectionError as error:
        raise ValueError(f"{detections}: {error}") from None


def _voc_as_coco(devkit: Path, results: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A devkit and result files in COCO's forms, difficult objects to be ignored: the paper's Table 11."""
    from cascade_tf.formats.voc import read_measured
    from cascade_tf.formats.voc_as_coco import detections_as_coco, objects_as_coco

    images, objects, found = read_measured(devkit, results)
    classes = _voc_classes(objects, found)
    return objects_as_coco(images, objects, classes), detections_as_coco(images, found, classes)


def _voc2007(ground_truth: Path, detections: Path, *, iou: float = 0.5) -> Numbers:
    return _voc(ground_truth, detections, 2007, iou)


def _voc2010(ground_truth: Path, detections: Path, *, iou: float = 0.5) -> Numbers:
    return _voc(ground_truth, detections, 2010, iou)


def _voc(ground_truth: Path, detections: Path, edition: int, iou: float) -> Numbers:
    from cascade_tf.formats.voc import read_measured
    from cascade_tf.metrics import evaluate_voc

    _, objects, found = read_measured(ground_truth, detections)
    return evaluate_voc(objects, found, edition=edition, iou=iou, classes=_voc_classes(objects, found))


def _voc_classes(objects: VocObjects, found: VocDetections) -> Sequence[str]:
    """VOC's classes, or what other data in its form have."""
    from cascade_tf.formats.voc import CLASSES

    own = {*objects.classes.tolist(), *found.classes.tolist()}
    return CLASSES if own <= set(CLASSES) else sorted(own)


def _kitti(ground_truth: Path, detections: Path, *, kitti_rule: str = "2017") -> Numbers:
    from cascade_tf.coco_format.fields import some
    from cascade_tf.formats.kitti import read_frames
    from cascade_tf.metrics import evaluate_kitti
    from cascade_tf.metrics.kitti import CLASSES

    frames = read_frames(ground_truth, detections).values()
    types = sorted({name for _, found in frames for name in found.types.tolist()})
    if types and not {name.lower() for name in types} & CLASSES.keys():
        logging.warning(
            "%s: no detection is of a class that is measured (%s): they are of %s",
            detections,
            ", ".join(CLASSES),
            some(types),
        )
    return evaluate_kitti(frames, rule=int(kitti_rule))


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

    from cascade_tf.coco_format.results_file import load_results_file
    from cascade_tf.metrics import evaluate_proposals
    from cascade_tf.metrics.coco_input import read, require_distinct_annotations
    from cascade_tf.metrics.proposals import without_classes

    content = read(str(ground_truth))
    require_distinct_annotations(content)
    with _broken_in(detections):
        if detections.suffix == ".json":
            given = without_classes(load_results_file(detections), content)
        else:
            given = _archived(detections)
        nothing = np.zeros((0, 4)), np.zeros(0)
        images = [image["id"] for image in content["images"]]
        if without := sum(not len(given.get(image_id, nothing)[0]) for image_id in images):
            logging.warning(
                "%s: objects of images without proposals count as missed: %d of %d images",
                detections,
                without,
                len(images),
            )
        ids = dict.fromkeys([*images, *given])
        result = evaluate_proposals(content, ((i, *given.get(i, nothing)) for i in ids))
    return {name: 100 * value for name, value in result.summary.items()}


def _archived(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Boxes and scores of the images in a file of proposals."""
    from cascade_tf.proposal_files import read_proposals

    proposals = read_proposals(path)
    return {image_id: proposals.of_record(i) for i, image_id in enumerate(proposals.image_ids.tolist())}


PROTOCOLS: dict[str, Callable[..., Numbers]] = {
    "coco": _coco,
    "voc2007": _voc2007,
    "voc2010": _voc2010,
    "kitti": _kitti,
    "citypersons": _citypersons,
    "widerface": _widerface,
    "recall": _recall,
}
"""Each takes the ground truth, the detections and, as keywords, some of the program's flags."""
