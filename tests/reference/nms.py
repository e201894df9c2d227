"""Non-maximum suppression the slow, obvious way."""

from __future__ import annotations

import numpy as np


@np.errstate(over="ignore", invalid="ignore")  # areas of huge boxes overflow
def iou(a, b):
    """IoU of two xyxy boxes in float32; 0 if either has no area."""
    a, b = np.float32(a), np.float32(b)
    width = max(min(a[2], b[2]) - max(a[0], b[0]), np.float32(0))
    height = max(min(a[3], b[3]) - max(a[1], b[1]), np.float32(0))
    areas = [max(box[2] - box[0], np.float32(0)) * max(box[3] - box[1], np.float32(0)) for box in (a, b)]
    if min(areas) <= 0:
        return np.float32(0)
    intersection = width * height
    return intersection / (areas[0] + areas[1] - intersection)


def greedy(boxes, scores, iou_threshold, score_threshold):
    """Indices that survive, best first; ties go to the lower index."""
    candidates = [n for n in range(len(boxes)) if scores[n] > score_threshold and np.isfinite(boxes[n]).all()]
    kept = []
    for n in sorted(candidates, key=lambda n: (-scores[n], n)):
        if not any(iou(boxes[n], boxes[m]) > np.float32(iou_threshold) for m in kept):
            kept.append(n)
    return kept


def batched_nms(boxes, scores, *, iou_threshold, score_threshold, max_outputs):
    """Per image a list of (box index, class index, score), best first, at most ``max_outputs``."""
    results = []
    for image_boxes, image_scores in zip(boxes, scores, strict=True):
        num_classes = image_scores.shape[1]
        found = []
        for k in range(num_classes):
            class_boxes = image_boxes[:, k % image_boxes.shape[1]] if len(image_boxes) else image_boxes[:, 0]
            for n in greedy(class_boxes, image_scores[:, k], iou_threshold, score_threshold):
                found.append((n, k, image_scores[n, k]))
        found.sort(key=lambda item: (-item[2], item[0] * num_classes + item[1]))
        results.append(found[:max_outputs])
    return results


def soft(boxes, scores, method, sigma, iou_threshold, score_threshold, max_outputs):
    """Pairs (index, decayed score) of one class in the order of selection; ties go to the lower index."""
    alive = {
        n: np.float32(scores[n])
        for n in range(len(boxes))
        if scores[n] > score_threshold and np.isfinite(boxes[n]).all()
    }
    selected = []
    while alive and len(selected) < max_outputs:
        best = min(alive, key=lambda n: (-alive[n], n))
        selected.append((best, alive.pop(best)))
        for n in list(alive):
            overlap = iou(boxes[best], boxes[n])
            if method == "gaussian" and overlap > 0:
                width = np.float64(np.float32(sigma))
                alive[n] *= np.float32(np.exp(-(np.float64(overlap) ** 2) / width))
            elif method == "linear" and overlap > np.float32(iou_threshold):
                alive[n] *= np.float32(1) - overlap
            if not alive[n] > score_threshold:
                del alive[n]
    return selected


def batched_soft_nms(boxes, scores, *, method, sigma, iou_threshold, score_threshold, max_outputs):
    """As ``batched_nms``, with the decayed scores."""
    results = []
    for image_boxes, image_scores in zip(boxes, scores, strict=True):
        num_classes = image_scores.shape[1]
        found = []
        for k in range(num_classes):
            class_boxes = image_boxes[:, k % image_boxes.shape[1]]
            settings = (method, sigma, iou_threshold, np.float32(score_threshold), max_outputs)
            found += [(n, k, s) for n, s in soft(class_boxes, image_scores[:, k], *settings)]
        found.sort(key=lambda item: (-item[2], item[0] * num_classes + item[1]))
        results.append(found[:max_outputs])
    return results
