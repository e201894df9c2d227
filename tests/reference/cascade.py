"""The cascade's box mathematics, labels and losses as slow loops, written from the paper (Sec. 3 and 4).

One image at a time, lists of Python numbers; ``None`` and short lists where the package has masks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


def area(box):
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def intersection(box, other):
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = min(box[2], other[2]), min(box[3], other[3])
    return area((left, top, right, bottom))


def iou(box, other):
    common = intersection(box, other)
    return common / (area(box) + area(other) - common) if common > 0 else 0.0


def encode(target, box, std):
    """Offsets from ``box`` to ``target`` (Eq. 2), divided by the statistics."""
    width, height = box[2] - box[0], box[3] - box[1]
    target_width, target_height = target[2] - target[0], target[3] - target[1]
    return [
        ((target[0] + target[2]) / 2 - (box[0] + box[2]) / 2) / width / std[0],
        ((target[1] + target[3]) / 2 - (box[1] + box[3]) / 2) / height / std[1],
        math.log(target_width / width) / std[2],
        math.log(target_height / height) / std[3],
    ]


def decode(delta, box, std):
    """The box that offsets lead to; sides grow by at most 1000 / 16."""
    width, height = box[2] - box[0], box[3] - box[1]
    x = (box[0] + box[2]) / 2 + delta[0] * std[0] * width
    y = (box[1] + box[3]) / 2 + delta[1] * std[1] * height
    width *= math.exp(min(delta[2] * std[2], math.log(1000 / 16)))
    height *= math.exp(min(delta[3] * std[3], math.log(1000 / 16)))
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def is_proper(box):
    return all(math.isfinite(value) for value in box) and box[2] > box[0] and box[3] > box[1]


def clip(box, size):
    height, width = size
    return [
        min(max(value, 0.0), limit) for value, limit in zip(box, (width, height, width, height), strict=True)
    ]


class Object(NamedTuple):
    """One object of the ground truth."""

    box: list[float]
    label: int


class Sample(NamedTuple):
    """One box that a stage is trained on: its label (0 background) and the object it stands for."""

    box: list[float]
    label: int
    iou: float
    target: list[float] | None


def best_object(box, objects):
    """Index of the object with the largest IoU, the first among equals, and that IoU."""
    best, best_iou = None, 0.0
    for index, one in enumerate(objects):
        overlap = iou(box, one.box)
        if overlap > best_iou:
            best, best_iou = index, overlap
    return best, best_iou


def label(box, objects, threshold, crowds=(), crowd_cover=0.7):
    """The box as a training sample of a stage with that IoU threshold; None where it is ignored."""
    index, overlap = best_object(box, objects)
    if index is not None and overlap >= threshold:
        return Sample(box, objects[index].label, overlap, objects[index].box)
    if any(intersection(box, crowd) >= crowd_cover * area(box) for crowd in crowds):
        return None
    return Sample(box, 0, overlap, None if index is None else objects[index].box)


def first_stage(proposals, objects, threshold, crowds=(), append_objects=True):
    """All samples of the first stage, foreground first. There is no quota: the tests offer enough places."""
    boxes = [*proposals, *(one.box for one in objects)] if append_objects else proposals
    samples = [label(box, objects, threshold, crowds) for box in boxes if is_proper(box)]
    samples = [sample for sample in samples if sample is not None]
    return [s for s in samples if s.label] + [s for s in samples if not s.label]


def next_stage(samples, regressed, objects, threshold, crowds=(), append_objects=True, redundant_iou=0.95):
    """Samples of a later stage: every regressed box, labelled anew.

    Where the objects themselves join each stage, boxes that came in as good as an object do not go on.
    """
    kept = []
    for sample, box in zip(samples, regressed, strict=True):
        if is_proper(box) and not (append_objects and sample.iou >= redundant_iou):
            kept.append(box)
    if append_objects:
        kept += [one.box for one in objects]
    labelled = [label(box, objects, threshold, crowds) for box in kept]
    return [sample for sample in labelled if sample is not None]


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return powers / powers.sum()


def smooth_l1(x, beta):
    size = abs(x)
    return size if beta == 0 else (size * size / (2 * beta) if size < beta else size - beta / 2)


def losses(samples, logits, deltas, std, beta=1.0):
    """(class, box) loss of one stage over all samples of a batch (Eq. 1, 3 and 9); class-agnostic offsets."""
    class_loss = box_loss = 0.0
    for sample, one, delta in zip(samples, logits, deltas, strict=True):
        class_loss -= math.log(softmax(one)[sample.label])
        if sample.label:
            wanted = encode(sample.target, sample.box, std)
            box_loss += sum(smooth_l1(a - b, beta) for a, b in zip(delta, wanted, strict=True))
    return class_loss / max(len(samples), 1), box_loss / max(len(samples), 1)


def anchor_labels(anchors, objects, foreground, background, crowds=(), crowd_cover=0.7):
    """1, 0 or -1 for each anchor: two thresholds, and every object claims the anchors it overlaps most."""
    overlaps = np.array([[iou(anchor, one.box) for one in objects] for anchor in anchors]).reshape(
        len(anchors), -1
    )
    labels = []
    for anchor, row in zip(anchors, overlaps, strict=True):
        best = max(row, default=0.0)
        result = 1 if best >= foreground else 0 if best < background else -1
        if any(value > 0 and value == overlaps[:, number].max() for number, value in enumerate(row)):
            result = 1
        if result == 0 and any(intersection(anchor, crowd) >= crowd_cover * area(anchor) for crowd in crowds):
            result = -1
        labels.append(result)
    return labels


class Detection(NamedTuple):
    """One final detection."""

    box: list[float]
    score: float
    label: int


def detect(boxes, probabilities, size, score_threshold, nms_iou, limit):
    """Final selection for one image: ``boxes[r][0]`` for every class, or ``boxes[r][k - 1]`` for class k."""
    kept = []
    for k in range(1, len(probabilities[0])):
        candidates = []
        for own, scores in zip(boxes, probabilities, strict=True):
            box = clip(own[k - 1 if len(own) > 1 else 0], size)
            if scores[k] > score_threshold and is_proper(box):
                candidates.append(Detection(box, scores[k], k))
        candidates.sort(key=lambda one: -one.score)
        survivors = []
        for one in candidates:
            if all(iou(one.box, other.box) <= nms_iou for other in survivors):
                survivors.append(one)
        kept += survivors
    return sorted(kept, key=lambda one: -one.score)[:limit]
