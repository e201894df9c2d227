"""Average precision from a curve of precision over recall."""

from __future__ import annotations

import numpy as np


def area_under_envelope(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the curve after each precision was raised to the best one at that recall or a higher one.

    PASCAL VOC's measure since 2010, and WIDER FACE's.

    Args:
        recall: [n], rising.
        precision: [n], at those recalls.
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
