"""A data set on one page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cascade_tf.boxes.anchors import ShapeGrid
from cascade_tf.inspection.anchor_fit import AnchorFit, fit_anchors
from cascade_tf.inspection.inspected import Inspected
from cascade_tf.inspection.selection import choose_pictures
from cascade_tf.inspection.statistics import Statistics
from cascade_tf.inspection.table import facts_of
from cascade_tf.inspection.thumbnails import draw_thumbnail
from cascade_tf.ops.resize import network_size
from cascade_tf.report.data_page import SplitFigures, write_data_page


class NetworkInput(NamedTuple):
    """How a detector sees images.

    Attributes:
        short_side: of an image, pixels.
        max_side: limit of the longer side, pixels.
        multiple: of what both sides are a multiple; None: of nothing.
        grid: the anchors of its proposals; None: it has none.
        resize: how an image gets its size, as in ``ops.resize.network_size``.
    """

    short_side: int
    max_side: int
    multiple: int | None
    grid: ShapeGrid | None
    resize: str = "shorter_side"

    @property
    def scale(self) -> str:
        """How an image gets its size, in words."""
        return {
            "shorter_side": f"shorter side {self.short_side}, longer side at most {self.max_side}",
            "both_sides": f"shorter side {self.short_side}, longer side {self.max_side}",
            "none": f"their own size, longer side at most {self.max_side}",
        }[self.resize]


def write_overview(
    path: str | os.PathLike[str],
    splits: Mapping[str, Inspected],
    fits: Mapping[str, AnchorFit],
    *,
    scale: str,
    title: str,
    remarks: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> Path:
    """Writes a page with figures, warnings, pictures, and the boxes beside the anchors.

    Args:
        path: file to write.
        splits: by their names.
        fits: the boxes of each split beside anchors, see `fit_network`.
        scale: says in which pixels these are.
        title: heading of the page.
        remarks: lines by their headings, the worst first.
        seed: of the pictures that are chosen at random.

    Returns:
        The path.
    """
    pictures = {
        group.title: [draw_thumbnail(chosen) for chosen in group.pictures]
        for group in choose_pictures(splits, seed)
    }
    figures = [_figures(name, split, fits[name]) for name, split in splits.items()]
    anchors = next(iter(fits.values())).shapes
    return write_data_page(
        path,
        title=title,
        splits=figures,
        anchors=anchors,
        scale=scale,
        remarks=remarks,
        pictures=pictures,
    )


def fit_network(network: NetworkInput, statistics: Statistics) -> AnchorFit:
    """Compares the boxes of a split, as the network sees them, with its anchors.

    Args:
        network: sees them. Without anchors all IoUs are 0 and there are no shapes.
        statistics: of the split.
    """
    sizes = statistics.image_sizes
    if not len(sizes):
        seen = np.zeros((0, 2))
    else:
        height, width = network_size(
            sizes[:, 0], sizes[:, 1], network.short_side, network.max_side, network.multiple, network.resize
        )
        seen = np.stack([height.numpy(), width.numpy()], axis=1).astype(np.float64)
    of_box = statistics.image_index
    factors = (seen / sizes)[of_box][:, [1, 0, 1, 0]]
    boxes = statistics.boxes * factors
    if network.grid is None:
        return AnchorFit(boxes[:, 2:] - boxes[:, :2], np.zeros(len(boxes)), np.zeros((0, 2)))
    return fit_anchors(network.grid, boxes, seen[of_box])


def _figures(name: str, split: Inspected, fit: AnchorFit) -> SplitFigures:
    statistics = split.statistics
    return SplitFigures(
        name=name,
        facts=facts_of(split),
        images=statistics.images,
        objects=statistics.objects,
        counts=statistics.counts,
        classes=statistics.classes if split.dataset.labelled else (),
        image_sizes=statistics.image_sizes,
        sides=fit.sides,
        best=fit.best if len(fit.shapes) else None,
    )
