"""Proposals as Detectron and detectron2 pickle them: lists with an entry for each image.

Both have ``ids`` (old Detectron ``indexes``) and ``boxes``. Detectron calls the scores ``scores``, and its
boxes count pixels: the corner (x2, y2) is the last pixel inside. detectron2 calls them ``objectness_logits``,
says in ``bbox_mode`` what its boxes are, and these are continuous.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.weights.files.raw_arrays import shown

_XYXY, _XYWH = 0, 1
_NUMBERS = "iuf"


def from_lists(content: Any, source: str) -> ProposalSet:
    """Makes proposals of a pickle's content; their values are checked by `reading.checked`.

    Raises:
        ValueError: the content is something else; the message names the record.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"holds a {type(content).__name__}, expected a mapping with ids, boxes and scores")
    ids = _list(content, "ids", "indexes")
    boxes = _list(content, "boxes")
    scores = _list(content, "objectness_logits", "scores")
    if not len(ids) == len(boxes) == len(scores):
        counts = f"{len(ids)} ids, {len(boxes)} boxes and {len(scores)} scores"
        raise ValueError(f"has {counts}, expected an entry of each for every image")
    image_ids = np.array([_image_id(value, record) for record, value in enumerate(ids)], np.int64)
    all_boxes = [_array(value, "boxes", record, ids[record], 2) for record, value in enumerate(boxes)]
    all_scores = [_array(value, "scores", record, ids[record], 1) for record, value in enumerate(scores)]
    for record, (some, values) in enumerate(zip(all_boxes, all_scores, strict=True)):
        if len(some) != len(values):
            got = f"{len(some)} boxes and {len(values)} scores"
            raise ValueError(f"record {record} (image id {shown(ids[record])}): got {got}, expected as many")
    return ProposalSet(
        image_ids=image_ids,
        offsets=np.concatenate([[0], np.cumsum([len(values) for values in all_scores], dtype=np.int64)]),
        boxes=_continuous(_joined(all_boxes, (0, 4)), content),
        scores=_joined(all_scores, (0,)),
        source=source,
    )


def _list(content: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        value = content.get(name)
        if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
            return value
    known = ", ".join(shown(key) for key in list(content)[:8])
    raise ValueError(
        f"has no list {' or '.join(map(repr, names))}, expected one; it has {known or 'nothing'}"
    )


def _image_id(value: Any, record: int) -> int:
    if isinstance(value, np.generic):
        value = value.item()
    # detectron2 takes ids that are text; COCO's are numbers.
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(f"record {record}: got the image id {shown(value)}, expected an integer")
    return value


def _array(value: Any, name: str, record: int, image_id: Any, axes: int) -> np.ndarray:
    array = np.zeros([0, 4][:axes], np.float32) if isinstance(value, (list, tuple)) and not value else value
    if isinstance(array, np.ndarray) and array.size == 0:
        array = array.reshape([0, 4][:axes])
    fits = isinstance(array, np.ndarray) and array.dtype.kind in _NUMBERS and array.ndim == axes
    if not fits or (axes == 2 and array.shape[1] != 4):
        got = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else shown(value)
        expected = "numbers of shape (n, 4)" if axes == 2 else "numbers of shape (n,)"
        raise ValueError(
            f"record {record} (image id {shown(image_id)}): {name}: got {got}, expected {expected}"
        )
    # What float32 does not hold becomes infinite, and is told.
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _joined(arrays: Iterable[np.ndarray], empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.zeros(empty, np.float32), *arrays])


def _continuous(boxes: np.ndarray, content: Mapping[str, Any]) -> np.ndarray:
    """Boxes [N, 4] as (x1, y1, x2, y2) of continuous pixels; changed in place."""
    of_detectron2 = "bbox_mode" in content or "objectness_logits" in content
    if not of_detectron2:
        boxes[:, 2:] += 1.0
        return boxes
    mode = content.get("bbox_mode", _XYXY)
    if type(mode) is not int or mode not in (_XYXY, _XYWH):
        raise ValueError(f"bbox_mode: got {shown(mode)}, expected {_XYXY} (corners) or {_XYWH} (x, y, w, h)")
    if mode == _XYWH:
        boxes[:, 2:] += boxes[:, :2]
    return boxes
