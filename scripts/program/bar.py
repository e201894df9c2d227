"""What shows that a program is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_tf.progress import Bar


def progress_bar(total: int, text: str, unit: str, *, first: str = "", leave: bool = False) -> Bar:
    """Returns a bar that counts to ``total`` with the time left; without a terminal, a line every 30 seconds.

    Its ``update`` is the ``progress`` of functions that take one.

    Args:
        total: of what there is to do.
        text: what is being done.
        unit: of the count, in the singular.
        first: what is going on until the first count, if that takes longer.
        leave: whether the bar stays on the terminal in the end.
    """
    from cascade_tf.progress import Bar

    return Bar(total, text, unit, first=first, leave=leave)


def detection_bar(images: int) -> Bar:
    """Returns a bar that counts images in which objects are detected."""
    return image_bar(images, "detecting")


def image_bar(images: int, text: str) -> Bar:
    """Returns a bar that counts images that go through a network."""
    return progress_bar(images, text, "image", first="tracing the network")


def waiting(text: str) -> Bar:
    """Returns the same for work whose end is not known, such as tracing: the seconds that it has taken."""
    from cascade_tf.progress import Bar

    return Bar(None, text)
