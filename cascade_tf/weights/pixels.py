"""Whether a detector's image inputs are the ones that a backbone's weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade_tf.layers import PixelNormalization

MEAN_TOLERANCE = 2.0
"""Grey levels of 255. The frameworks' mean colours of ImageNet differ by up to 1.4, and nothing shows it."""
STD_TOLERANCE = 0.02
"""Relative: frameworks divide by the same numbers, or by 1."""


def check_pixels(image_inputs: PixelNormalization, settings: Mapping[str, Any]) -> None:
    """Refuses image inputs with which the weights would see other colours than they were trained on.

    Wrong colours cost accuracy without any other sign, so that this is an error and not a warning.

    Args:
        image_inputs: of the detector.
        settings: of the weights: ``inputs.order``, ``inputs.mean`` and ``inputs.std``.

    Raises:
        ValueError: the order differs, or mean or standard deviation by more than frameworks differ among
            themselves; the message names both sides.
    """
    order, mean, std = (settings[f"inputs.{name}"] for name in ("order", "mean", "std"))
    same = (
        image_inputs.order == order
        and all(abs(a - b) <= MEAN_TOLERANCE for a, b in zip(image_inputs.mean, mean, strict=True))
        and all(abs(a / b - 1) <= STD_TOLERANCE for a, b in zip(image_inputs.std, std, strict=True))
    )
    if not same:
        raise ValueError(
            f"got a detector with {_described(image_inputs.order, image_inputs.mean, image_inputs.std)}, "
            f"expected {_described(order, mean, std)}, on which the weights were trained"
        )


def _described(order: str, mean: Any, std: Any) -> str:
    return f"inputs.order={order!r}, inputs.mean={tuple(mean)}, inputs.std={tuple(std)}"
