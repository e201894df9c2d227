"""The maps of any Keras model that serves as a backbone, before it has seen an image."""

from __future__ import annotations

from collections.abc import Mapping

import keras


def backbone_shapes(backbone: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """Shapes of a backbone's maps for images of any size: ``{"C2": (None, None, None, C), ...}``.

    A subclassed model runs on a symbolic image once, which creates its variables if that is still to do.

    Args:
        backbone: images [B, H, W, 3] -> ``{"C2": [B, h, w, C], ...}``.

    Raises:
        ValueError: the backbone returns something else, or a map whose channels depend on the image.
    """
    # Functional models have their outputs, others only after a call on a symbol, and then as a plain list.
    outputs = backbone.output if hasattr(backbone, "inputs") else backbone(keras.Input((None, None, 3)))
    if not isinstance(outputs, Mapping):
        raise ValueError(
            "the backbone must return a dict of feature maps, such as {'C2': ..., 'C3': ...}; "
            f"got {type(outputs).__name__}"
        )
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    for name, shape in shapes.items():
        if len(shape) != 4 or shape[-1] is None:
            raise ValueError(f"the backbone's map {name!r} must be [B, h, w, C] of known C, got {shape}")
    return shapes
