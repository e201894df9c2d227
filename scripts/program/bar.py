"""The progress bar."""

from __future__ import annotations

from tqdm import tqdm


def progress_bar(total: int, text: str, unit: str) -> tqdm:
    """Returns a bar that counts to ``total`` and shows the time left; there is none without a terminal."""
    return tqdm(total=total, desc=text, unit=unit, dynamic_ncols=True, leave=False, disable=None)
