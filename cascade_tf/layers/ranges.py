"""The ranges that settings of several parts share."""

from __future__ import annotations

from cascade_tf.layers.base import require


def require_overlaps(**settings: float) -> None:
    """Raises a ValueError unless each of these settings is an IoU."""
    for name, value in settings.items():
        require(0.0 <= value <= 1.0, name, value, "an overlap in 0..1")


def require_shares(**settings: float) -> None:
    """Raises a ValueError unless each of these settings is a share."""
    for name, value in settings.items():
        require(0.0 <= value <= 1.0, name, value, "a share in 0..1")


def require_not_negative(**settings: float) -> None:
    """Raises a ValueError unless each of these settings is 0 or more."""
    for name, value in settings.items():
        require(value >= 0.0, name, value, "0 or more")
