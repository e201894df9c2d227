"""KITTI's protocol once more, the slow way: one loop over objects, detections and thresholds."""

from __future__ import annotations

HEIGHT = {"easy": 40, "moderate": 25, "hard": 25}
OCCLUDED = {"easy": 0, "moderate": 1, "hard": 2}
TRUNCATED = {"easy": 0.15, "moderate": 0.3, "hard": 0.5}
OVERLAP = {"car": 0.7, "pedestrian": 0.5, "cyclist": 0.5}
SIMILAR = {"car": "van", "pedestrian": "person_sitting", "cyclist": None}


def curve(frames, name, level, rule):
    """41 precisions, from frames of (label rows, detection rows).

    A label is (type, box, truncated, occluded), a detection (type, box, score).
    """
    prepared = [_prepare(labels, detections, name, level, rule) for labels, detections in frames]
    total = sum(state == "counts" for labels, _, _ in prepared for _, state in labels)
    scores = []
    for frame in prepared:
        scores += _first_pass(frame, OVERLAP[name])
    scores.sort(reverse=True)
    thresholds, wanted = [], 0.0
    for i, score in enumerate(scores):
        left, right = (i + 1) / total, (i + 2) / total
        if i + 1 < len(scores) and right - wanted < wanted - left:
            continue
        thresholds.append(score)
        wanted += 1 / 40
    precisions = [0.0] * 41
    for t, threshold in enumerate(thresholds):
        counts = [_second_pass(frame, OVERLAP[name], threshold) for frame in prepared]
        hits, errors = (sum(column) for column in zip(*counts, strict=True))
        precisions[t] = hits / (hits + errors) if hits + errors else 0.0
    return [max(precisions[t:]) for t in range(41)]


def _prepare(labels, detections, name, level, rule):
    taking, regions = [], []
    for kind, box, truncated, occluded in labels:
        kind = kind.lower()
        if kind == "dontcare":
            regions.append(box)
        if kind not in (name, SIMILAR[name]):
            continue
        easy_enough = (
            box[3] - box[1] >= HEIGHT[level] and occluded <= OCCLUDED[level] and truncated <= TRUNCATED[level]
        )
        taking.append((box, "counts" if kind == name and easy_enough else "ignored"))
    offered = []
    for kind, box, score in detections:
        if rule == 2017 and box[3] - box[1] < HEIGHT[level]:
            offered.append((box, score, "ignored"))
        elif kind.lower() == name:
            offered.append((box, score, "counts"))
    return taking, offered, regions


def _first_pass(frame, overlap):
    labels, detections, _ = frame
    used, scores = set(), []
    for box, state in labels:
        best = None
        for j, (other, score, _) in enumerate(detections):
            if j not in used and _iou(other, box) > overlap and (best is None or score > detections[best][1]):
                best = j
        if best is None:
            continue
        used.add(best)
        if state == detections[best][2] == "counts":
            scores.append(detections[best][1])
    return scores


def _second_pass(frame, overlap, threshold):
    labels, detections, regions = frame
    used, hits = set(), 0
    above = [j for j, detection in enumerate(detections) if detection[1] >= threshold]
    for box, state in labels:
        best, ignored = None, None
        for j in above:
            value = _iou(detections[j][0], box)
            if j in used or value <= overlap:
                continue
            if detections[j][2] == "ignored":
                ignored = j if ignored is None else ignored
            elif best is None or value > _iou(detections[best][0], box):
                best = j
        if best is not None:
            used.add(best)
            hits += state == "counts"
        elif ignored is not None:
            used.add(ignored)
    errors = 0
    for j in above:
        box, _, state = detections[j]
        excused = any(_shared(box, region) / _size(box) > overlap for region in regions)
        errors += j not in used and state == "counts" and not excused
    return hits, errors


def _size(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _iou(one, other):
    shared = _shared(one, other)
    return shared / (_size(one) + _size(other) - shared)
