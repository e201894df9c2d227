"""The authors' labels of anchors as slow loops over levels, rows, columns and shapes."""

from __future__ import annotations

import math
from typing import NamedTuple

from tests.reference.cascade import intersection, iou


class Rule(NamedTuple):
    """Thresholds, as ``match_cells`` has them."""

    foreground_iou: float = 0.7
    background_iou: float = 0.3
    claim_iou: float = 0.2
    min_object_side: float = 0.0
    max_outside: float | None = None
    crowd_cover: float = 0.4


def cell_labels(levels, objects, crowds, image_size, rule):
    """Labels of all anchors, and for each the index of its object where it is foreground.

    Args:
        levels: (shapes, stride, rows, columns) of each.
        objects: boxes.
        crowds: boxes.
        image_size: (height, width).
        rule: thresholds.
    """
    labels, owners = [], []
    best_of_object = [(0.0, None)] * len(objects)
    for level, (shapes, stride, rows, columns) in enumerate(levels):
        for row in range(rows):
            for column in range(columns):
                for number, shape in enumerate(shapes):
                    anchor = _anchor(row, column, stride, shape)
                    own = [iou(anchor, box) for box in objects]
                    hidden = _covered(anchor, crowds) >= rule.crowd_cover
                    label, owner = 0, None
                    if not _considered(anchor, row, column, stride, shape, image_size, rule):
                        label, own = -1, [0.0] * len(objects)
                    elif max(own, default=0.0) > rule.foreground_iou:
                        owner = own.index(max(own))
                        label = 1 if _searched(objects[owner], image_size, rule) else -1
                    elif max(own, default=0.0) >= rule.background_iou or hidden:
                        label = -1
                    labels.append(label)
                    owners.append(owner if label == 1 else None)
                    for place, overlap in enumerate(own):
                        # Ties between shapes go to the first of them, wherever the cell.
                        key = (level, number)
                        best, holder = best_of_object[place]
                        if overlap > best or (overlap == best > 0.0 and key < holder):
                            best_of_object[place] = (overlap, key)
    for place, box in enumerate(objects):
        best, holder = best_of_object[place]
        if place in owners or best < rule.claim_iou or not _searched(box, image_size, rule):
            continue
        at = _place(levels, holder, box)
        if labels[at] != 1:
            labels[at], owners[at] = 1, place
    return labels, owners


def _anchor(row, column, stride, shape):
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    return (x - shape[0] / 2, y - shape[1] / 2, x + shape[0] / 2, y + shape[1] / 2)


def _considered(anchor, row, column, stride, shape, image_size, rule):
    height, width = image_size
    if row >= math.floor(height / stride + 0.5) or column >= math.floor(width / stride + 0.5):
        return False
    if rule.max_outside is None:
        return True
    x_margin, y_margin = (rule.max_outside * side / 2 for side in shape)
    return (
        anchor[0] >= -x_margin
        and anchor[1] >= -y_margin
        and anchor[2] < width + x_margin
        and anchor[3] < height + y_margin
    )


def _searched(box, image_size, rule):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    long_enough = min(box[2] - box[0], box[3] - box[1]) >= rule.min_object_side
    return long_enough and 0 <= x < image_size[1] and 0 <= y < image_size[0]


def _covered(anchor, crowds):
    area = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
    return sum(intersection(anchor, crowd) for crowd in crowds) / area


def _place(levels, holder, box):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    start = 0
    for level, (shapes, stride, rows, columns) in enumerate(levels):
        if level == holder[0]:
            row = min(max(math.floor(y / stride), 0), rows - 1)
            column = min(max(math.floor(x / stride), 0), columns - 1)
            return start + (row * columns + column) * len(shapes) + holder[1]
        start += rows * columns * len(shapes)
    raise ValueError(holder)
