"""Users' arrays, checked and as pictures that Pillow draws on."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image


def to_picture(image: np.ndarray) -> Image.Image:
    """A picture in RGB; ValueError unless the image is [H, W, 3] or [H, W] uint8 with pixels."""
    image = np.asarray(image)
    shape_fits = (image.ndim == 3 and image.shape[2] == 3) or image.ndim == 2
    if image.dtype != np.uint8 or not shape_fits or 0 in image.shape:
        raise ValueError(f"an image must be uint8 [H, W, 3] or [H, W], got {image.dtype} {list(image.shape)}")
    return Image.fromarray(image).convert("RGB")


def enlarge(picture: Image.Image, min_side: float) -> tuple[Image.Image, float]:
    """The picture, scaled up where its shorter side is below ``min_side`` pixels, and the factor."""
    scale = min(min_side / min(picture.size), 4 * min_side / max(picture.size))
    if scale <= 1:
        return picture, 1.0
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC), scale


def check_length(what: str, values: Any, number: int) -> None:
    """Raises ValueError unless there are ``number`` values or none at all."""
    if values is not None and len(values) != number:
        raise ValueError(f"{what} must have one entry for each of the {number} items, got {len(values)}")
