"""What MS-CNN's proposal branches learn, as slow loops over templates, cells and classes."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.cascade import intersection, iou

FOREGROUND, BACKGROUND, CLAIM, COVER = 0.5, 0.2, 0.2, 0.4


def candidate_boxes(branches):
    """(branch, template, row, column, box) of every candidate, in the order of the maps.

    Args:
        branches: (templates, stride, rows, columns) of each.
    """
    for branch, (templates, stride, rows, columns) in enumerate(branches):
        for row, column in np.ndindex(rows, columns):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            for template, (width, height) in enumerate(templates):
                box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                yield branch, template, row, column, box


def labels(branches, objects, regions, image_size):
    """Class of every candidate, 0 background, -1 ignored; and its object's index or None.

    Args:
        branches: see ``candidate_boxes``.
        objects: (box, class, whether it is ignored) of each.
        regions: boxes that are not looked at.
        image_size: (height, width).
    """
    every = list(candidate_boxes(branches))
    found, owners = [], []
    best = [(0.0, None)] * len(objects)
    for branch, template, _, _, box in every:
        area = (box[2] - box[0]) * (box[3] - box[1])
        if sum(intersection(box, region) for region in regions) / area >= COVER:
            found.append(-1)
            owners.append(None)
            continue
        overlaps = [iou(box, one) for one, _, _ in objects]
        for number, overlap in enumerate(overlaps):
            if overlap > best[number][0]:
                best[number] = (overlap, (branch, template))
        largest = max(overlaps, default=0.0)
        owner = overlaps.index(largest) if largest > FOREGROUND else None
        if owner is None:
            found.append(0 if largest < BACKGROUND else -1)
        else:
            usable = not objects[owner][2] and _inside(objects[owner][0], image_size)
            found.append(objects[owner][1] if usable else -1)
            owner = owner if usable else None
        owners.append(owner)
    for number, (box, label, ignored) in enumerate(objects):
        overlap, holder = best[number]
        if ignored or number in owners or overlap < CLAIM or not _inside(box, image_size):
            continue
        at = _cell_of(every, branches, holder, box)
        if owners[at] is None:
            found[at], owners[at] = label, number
    return found, owners


def _inside(box, image_size):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return 0 <= x < image_size[1] and 0 <= y < image_size[0]


def _cell_of(every, branches, holder, box):
    _, stride, rows, columns = branches[holder[0]]
    row = min(math.floor((box[1] + box[3]) / 2 / stride), rows - 1)
    column = min(math.floor((box[0] + box[2]) / 2 / stride), columns - 1)
    return next(n for n, one in enumerate(every) if one[:4] == (*holder, row, column))


def hardest(own, logits, multiple, least):
    """Which candidates of one image and template are chosen.

    Args:
        own: classes of the candidates.
        logits: [N, K + 1].
    """
    chosen = {n for n, label in enumerate(own) if label > 0}
    for number in range(1, logits.shape[1]):
        background = [n for n, label in enumerate(own) if label == 0]
        wanted = max(least, multiple * sum(label == number for label in own))
        chosen |= set(sorted(background, key=lambda n: -logits[n, number])[:wanted])
    return chosen


def losses(chosen, logits, deltas, wanted, multiple):
    """(class, box) loss of one template over a batch.

    Args:
        chosen: (image, candidate, class) of those that take part.
        logits: [B, N, K + 1].
        deltas: [B, N, 4].
        wanted: [B, N, 4].
        multiple: share of the background for one of the foreground.
    """
    positive = [one for one in chosen if one[2] > 0]
    total, count = 0.0, len(chosen)
    for image, place, label in chosen:
        row = logits[image, place].astype(np.float64)
        entropy = np.log(np.exp(row - row.max()).sum()) + row.max() - row[label]
        weight = 1.0
        if 0 < len(positive) < count:
            share, number = (1, len(positive)) if label > 0 else (multiple, count - len(positive))
            weight = share / (1 + multiple) * count / number
        total += weight * entropy
    box = 0.0
    for image, place, _ in positive:
        for size in np.abs(deltas[image, place] - wanted[image, place]):
            box += 0.5 * size**2 if size < 1 else size - 0.5
    return total / max(count, 1), box / max(4 * len(positive), 1)
