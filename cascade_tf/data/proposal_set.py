"""Proposals of many images that were collected beforehand, in a few arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ProposalSet:
    """Proposals of M images; those of all images are concatenated.

    Attributes:
        image_ids: [M] int64, the data set's, each once.
        offsets: [M + 1] int64; the proposals of image i are rows ``offsets[i]`` to ``offsets[i + 1] - 1``.
        boxes: [N, 4] float32 (x1, y1, x2, y2), continuous pixels of the original image as it was shown,
            upright if it was turned.
        scores: [N] float32, higher is better.
        sizes: [M, 2] int32 (height, width) of the original images; None: not known.
        file_names: M names of the image files; empty: not known.
        source: what messages call it.
    """

    image_ids: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    sizes: np.ndarray | None = None
    file_names: tuple[str, ...] = ()
    source: str = "proposals"

    def of_record(self, record: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [n, 4] and scores [n] of the image at a position."""
        rows = slice(self.offsets[record], self.offsets[record + 1])
        return self.boxes[rows], self.scores[rows]
