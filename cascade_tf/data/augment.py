"""What happens to an image happens to its boxes."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor


def scale_boxes(boxes: Tensor, from_size: tuple[Tensor, Tensor], to_size: tuple[Tensor, Tensor]) -> Tensor:
    """Carries boxes along when their image is resized.

    Each axis has its own ratio, that of the whole sizes: they differ a little, since sizes are rounded. The
    right border of the old image becomes exactly the right border of the new one.

    Args:
        boxes: [n, 4] float32 inside the old image.
        from_size: (height, width) before, integers.
        to_size: (height, width) after, integers.

    Returns:
        [n, 4] float32.
    """
    old = tf.cast(tf.stack([from_size[1], from_size[0]] * 2), tf.float32)
    new = tf.cast(tf.stack([to_size[1], to_size[0]] * 2), tf.float32)
    # Multiplied first: the product of two sizes is a whole number that float32 holds, the ratio is not.
    return tf.minimum(boxes * new / old, new)


def flip_boxes(boxes: Tensor, width: Tensor) -> Tensor:
    """Mirrors boxes left and right: x becomes ``width - x``. Twice is nothing, up to rounding.

    Args:
        boxes: [n, 4] float32.
        width: of the image, pixels.

    Returns:
        [n, 4] float32, again x1 <= x2.
    """
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    width = tf.cast(width, tf.float32)
    return tf.stack([width - x2, y1, width - x1, y2], axis=-1)
