"""The COCO protocol, computed by pycocotools.

The numbers are pycocotools' own. Around it stand the things it leaves to its callers: inputs are checked and
never changed, nothing is printed, an empty list of detections is a result like any other, and ``area`` and
``iscrowd`` may be missing from annotations.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_tf.metrics.results import IOU_THRESHOLDS, CocoResult

_GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}


def evaluate_coco(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    iou_type: str = "bbox",
) -> CocoResult:
    """Evaluates detections in COCO's result format.

    Args:
        annotations: COCO annotation file, or its content.
        detections: one mapping per detection: ``image_id``, ``category_id``, ``score`` and ``bbox`` (x, y,
            width, height in pixels of the original image) or, for masks, ``segmentation`` (RLE). Any
            order, may be empty.
        image_ids: evaluate on these images alone; None means all of the file. Detections in other images
            of the file do not count.
        iou_type: ``"bbox"`` or ``"segm"``. For masks the size of a detection is its mask's area, with or
            without a ``bbox`` beside it.

    Returns:
        The numbers; NaN where the ground truth has no such object.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: the file is not JSON in COCO's format, or a detection names an unknown image or
            category or has a missing, malformed or non-finite field.
    """
    if iou_type not in _GEOMETRY:
        raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
    content, source = _read(annotations)
    selected = _select_images(content, image_ids, source)
    truth = _copy_annotations(content, iou_type, source)
    results = _copy_detections(detections, content, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(content, truth), _index(content, results), iou_type)
        evaluation.params.imgIds = selected
        evaluation.evaluate()
        evaluation.accumulate()
    return _collect(evaluation, content["categories"], truth)


def _read(annotations: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(annotations, Mapping):
        content, source = annotations, "annotations"
    else:
        source = os.fspath(annotations)
        try:
            with open(source, encoding="utf-8") as file:
                content = json.load(file)
        except ValueError as error:
            raise ValueError(f"{source}: not a JSON file ({error})") from None
    for field in ("images", "annotations", "categories"):
        if not isinstance(content, Mapping) or not isinstance(content.get(field), Sequence):
            raise ValueError(f"{source}: expected a COCO annotation file with a list named {field!r}")
    return content, source


def _select_images(content: Mapping[str, Any], image_ids: Iterable[int] | None, source: str) -> list[int]:
    known = {image["id"] for image in content["images"]}
    if image_ids is None:
        return sorted(known)
    selected = sorted({int(image_id) for image_id in image_ids})
    unknown = [image_id for image_id in selected if image_id not in known]
    if unknown:
        raise ValueError(f"image_ids: {source} has no image {_some(unknown)}")
    return selected


def _copy_annotations(content: Mapping[str, Any], iou_type: str, source: str) -> list[dict[str, Any]]:
    """Shallow copies with new ids, and with the optional fields filled in.

    Ids are renumbered from 1: pycocotools marks an unmatched detection by id 0, so an object whose own id
    is 0 could never be found, and of objects that share an id it keeps only the last.
    """
    categories = {category["id"] for category in content["categories"]}
    copies = []
    for number, annotation in enumerate(content["annotations"]):
        try:
            copies.append({**_copy_annotation(annotation, categories, iou_type), "id": number + 1})
        except ValueError as error:
            raise ValueError(f"{source}: annotation {number}: {error}") from None
    return copies


def _copy_annotation(annotation: Mapping[str, Any], categories: set, iou_type: str) -> dict[str, Any]:
    _require(annotation, ("image_id", "category_id", _GEOMETRY[iou_type]))
    _require_known_category(annotation["category_id"], categories)
    copy = {"iscrowd": 0, **annotation}
    if iou_type == "bbox" or "area" not in copy:
        _require(copy, ("bbox",))
        if np.shape(copy["bbox"]) != (4,):
            raise ValueError(f"bbox must be 4 numbers, got {copy['bbox']!r}")
        copy.setdefault("area", copy["bbox"][2] * copy["bbox"][3])
    return copy


def _copy_detections(
    detections: Sequence[Mapping[str, Any]], content: Mapping[str, Any], iou_type: str
) -> list[dict[str, Any]]:
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    copies = []
    for number, detection in enumerate(detections):
        try:
            copies.append({**_copy_detection(detection, images, categories, iou_type), "id": number + 1})
        except (TypeError, ValueError) as error:
            raise ValueError(f"detection {number}: {error}") from None
    return copies


def _copy_detection(
    detection: Mapping[str, Any], images: set, categories: set, iou_type: str
) -> dict[str, Any]:
    _require(detection, ("image_id", "category_id", "score", _GEOMETRY[iou_type]))
    if detection["image_id"] not in images:
        raise ValueError(f"image_id {detection['image_id']!r} is not an image of the annotation file")
    _require_known_category(detection["category_id"], categories)
    copy = {
        "image_id": detection["image_id"],
        "category_id": detection["category_id"],
        "score": float(detection["score"]),
        "iscrowd": 0,
    }
    if not np.isfinite(copy["score"]):
        raise ValueError(f"score must be finite, got {copy['score']}")
    if iou_type == "segm":
        segmentation = detection["segmentation"]
        if not isinstance(segmentation, Mapping) or isinstance(segmentation.get("counts"), list):
            raise ValueError("segmentation must be a compressed RLE mapping with 'size' and 'counts'")
        return {**copy, "segmentation": dict(segmentation), "area": float(coco_mask.area(segmentation))}
    box = _box(detection["bbox"])
    return {**copy, "bbox": box, "area": box[2] * box[3]}


def _box(value: Any) -> list[float]:
    box = np.asarray(value, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] < 0 or box[3] < 0:
        raise ValueError(f"bbox must be 4 finite numbers (x, y, width >= 0, height >= 0), got {value!r}")
    return box.tolist()


def _require(entry: Mapping[str, Any], fields: Iterable[str]) -> None:
    for field in fields:
        if field not in entry:
            raise ValueError(f"no field {field!r}")


def _require_known_category(category_id: Any, categories: set) -> None:
    if category_id not in categories:
        known = _some(sorted(categories))
        raise ValueError(f"category_id {category_id!r} is not one of the annotation file's {known}")


def _some(values: Sequence[Any], limit: int = 5) -> str:
    rest = f", ... ({len(values)} in all)" if len(values) > limit else ""
    return ", ".join(map(repr, values[:limit])) + rest


def _index(content: Mapping[str, Any], annotations: list[dict[str, Any]]) -> COCO:
    """Fills the container directly: its ``loadRes`` fails on an empty list and writes into its input."""
    coco = COCO()
    coco.dataset = {**content, "annotations": annotations}
    coco.createIndex()
    return coco


def _collect(
    evaluation: COCOeval, categories: Sequence[Mapping[str, Any]], truth: list[dict[str, Any]]
) -> CocoResult:
    precision = evaluation.eval["precision"]  # [IoU, recall, class, area, max detections]
    recall = evaluation.eval["recall"]  # [IoU, class, area, max detections]
    curve = {iou: _mean(precision[i, :, :, 0, -1]) for i, iou in enumerate(IOU_THRESHOLDS)}
    summary = {"AP": _mean(precision[..., 0, -1])}
    summary |= {f"AP{percent}": curve[percent / 100] for percent in (50, 60, 70, 75, 80, 85, 90, 95)}
    summary |= {f"AP{size}": _mean(precision[..., a, -1]) for a, size in enumerate("sml", start=1)}
    summary |= {f"AR{most}": _mean(recall[..., 0, m]) for m, most in enumerate((1, 10, 100))}
    summary |= {f"AR{size}": _mean(recall[..., a, -1]) for a, size in enumerate("sml", start=1)}
    images = set(evaluation.params.imgIds)
    objects = Counter(t["category_id"] for t in truth if t["image_id"] in images and not t["iscrowd"])
    names = _class_names(categories)
    per_class = {
        names[category_id]: _collect_class(
            precision[:, :, k, 0, -1], recall[:, k, 0, -1], objects[category_id]
        )
        for k, category_id in enumerate(evaluation.params.catIds)
    }
    return CocoResult(summary, per_class, curve)


def _collect_class(precision: np.ndarray, recall: np.ndarray, objects: int) -> dict[str, float]:
    at_iou = {
        f"AP{percent}": _mean(precision[IOU_THRESHOLDS.index(percent / 100)]) for percent in (50, 75, 90)
    }
    return {"AP": _mean(precision), **at_iou, "AR100": _mean(recall), "objects": objects}


def _mean(values: np.ndarray) -> float:
    """Mean of the measured values; -1 marks classes without objects."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else float("nan")


def _class_names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Category id -> name, made unique by the id where two categories share one."""
    count = Counter(category["name"] for category in categories)
    return {
        category["id"]: category["name"] + (f" ({category['id']})" if count[category["name"]] > 1 else "")
        for category in categories
    }
