"""What a file as a whole says about its boxes and images: nonsense stops, what may be right is remarked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade_tf.data.annotations.values import first_names
from cascade_tf.data.examples import Category, Example

SLACK = 2.0
"""Pixels by which a right box may leave its image: rounding, and pixels counted from 1, stay below."""

ENOUGH_BOXES = 10
"""A pattern in fewer boxes may be chance: they are remarked where more of them would stop."""

LEAVING_SHARE = 0.3
"""Of corners read as sizes at least so many leave their image: all whose centre lies to the right of the
image's or below it, three quarters of those spread evenly. Right boxes do not leave."""

FITTING_SHARE = 0.99
"""So many boxes are inside their image if they are corners; of right ones few are wider than they begin."""

REMARKED_SHARE = 0.1
"""Where fewer boxes leave their image, annotators have drawn over its border, and clipping mends that."""

TINY = 2.0
"""Pixels. Narrower boxes are at the limit of what a pixel shows, and often slips of the annotator."""

EMPTY_SHARE = 0.25
"""From so many images without objects on, work that is not finished is likelier than backgrounds chosen on
purpose; 1 % of COCO's images have none."""

CROWD_SHARE = 0.2
"""From so many crowds on a tool has marked objects so; 1 % of COCO's annotations are crowds."""

ENOUGH_RECORDS = 10
"""Shares of fewer images or annotations say nothing."""


def find_nonsense(boxes: np.ndarray) -> str | None:
    """Says why the boxes of a file cannot be boxes ``[x, y, width, height]`` in pixels; None if they can.

    Args:
        boxes: [n, 6] x, y, width, height, and the width and height of the image.
    """
    count = len(boxes)
    if count and _are_fractions(boxes):
        return (
            f"bbox: {_all(count)} between 0 and 1, as fractions of the image are; expected pixels, "
            "[x, y, width, height]"
        )
    leaving = _leaving(boxes)
    if count >= ENOUGH_BOXES and _are_corners(boxes, leaving):
        return (
            f"bbox: {leaving.sum()} of {count} boxes leave their image when they are read as [x, y, width, "
            "height], and they fit as corners [x1, y1, x2, y2]; expected sizes, not corners"
        )
    return None


def remarks(
    boxes: np.ndarray, examples: Sequence[Example], categories: Sequence[Category], marked_crowds: int
) -> list[str]:
    """Returns a line for everything about a file that is legal but rarely meant.

    Args:
        boxes: as in `find_nonsense`.
        examples: the images with their objects.
        categories: of the classes.
        marked_crowds: how many annotations say that they are crowds, which become crowds.
    """
    if not len(boxes):
        return ["no image has annotations, there is nothing to learn from and nothing to measure by"]
    lines = [_leaving_remark(boxes), _tiny_remark(examples), _class_remark(examples, categories)]
    empty = sum(not len(example.boxes) for example in examples)
    if len(examples) >= ENOUGH_RECORDS and empty >= EMPTY_SHARE * len(examples):
        lines.append(
            f"{empty} of {len(examples)} images have no annotations and count as background; where they are "
            "only not labelled yet, leave them out"
        )
    if len(boxes) >= ENOUGH_RECORDS and marked_crowds >= CROWD_SHARE * len(boxes):
        lines.append(f"{marked_crowds} of {len(boxes)} annotations are crowds; {CROWD_REMEDY}")
    return [line for line in lines if line]


CROWD_REMEDY = (
    "nothing is learnt from these (iscrowd is 1). Brush masks of CVAT come so: crowds_as_objects (in "
    "programs --set data.crowds_as_objects=true) reads them as objects"
)
"""What messages say about annotations that are all, or often, crowds."""


def _all(count: int) -> str:
    return "the only box lies" if count == 1 else f"all {count} boxes lie"


def _are_fractions(boxes: np.ndarray) -> bool:
    ends = boxes[:, :2] + boxes[:, 2:4]
    # A margin for rounding; in images of a few pixels a box may be that small.
    inside = (boxes[:, :4] >= 0).all() and ends.max() <= 1.01
    return bool(inside and boxes[:, 4:].min() > SLACK and boxes[:, 2:4].max() > 0)


def _leaving(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:4] > boxes[:, 4:] + SLACK).any(axis=1)


def _are_corners(boxes: np.ndarray, leaving: np.ndarray) -> bool:
    fit = (boxes[:, 2:4] > boxes[:, :2]).all(axis=1) & (boxes[:, 2:4] <= boxes[:, 4:] + SLACK).all(axis=1)
    return bool(leaving.mean() >= LEAVING_SHARE and fit.mean() >= FITTING_SHARE)


def _leaving_remark(boxes: np.ndarray) -> str | None:
    leaving = _leaving(boxes)
    count = f"{leaving.sum()} of {len(boxes)} boxes leave their image to the right or below"
    if _are_corners(boxes, leaving):
        return f"{count} and would fit as corners [x1, y1, x2, y2]; they were read as [x, y, width, height]"
    if leaving.sum() > 1 and leaving.mean() >= REMARKED_SHARE:
        return f"{count} and are clipped: are they of an image of another size?"
    return None


def _tiny_remark(examples: Sequence[Example]) -> str | None:
    boxes = np.concatenate([example.boxes for example in examples])
    tiny = int(((boxes[:, 2:] - boxes[:, :2]) < TINY).any(axis=1).sum())
    return f"{tiny} of {len(boxes)} boxes are narrower or lower than {TINY:g} pixels" if tiny else None


def _class_remark(examples: Sequence[Example], categories: Sequence[Category]) -> str | None:
    classes = np.concatenate([example.classes[~(example.crowd | example.ignored)] for example in examples])
    present = set(classes.tolist())
    absent = [category.name for i, category in enumerate(categories, start=1) if i not in present]
    if not absent:
        return None
    return f"{len(absent)} of {len(categories)} classes have no object: {first_names(absent)}"
