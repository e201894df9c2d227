"""Arguments of a recipe that arrive by name, checked before anything is read or downloaded for them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from cascade_tf.models import cascade_rcnn_fpn


def check_arguments(settings: Mapping[str, Any], class_names: Sequence[str] | None = None) -> None:
    """Refuses names that ``cascade_rcnn_fpn`` does not have, and a text in place of several class names.

    Args:
        settings: arguments by name.
        class_names: of the classes; None where none are given.

    Raises:
        TypeError: one of them is wrong; the message says what may have been meant.
    """
    if isinstance(class_names, (str, bytes)):
        raise TypeError(f"class_names: got the text {class_names!r}, expected a sequence of names")
    known = inspect.signature(cascade_rcnn_fpn).parameters
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"got the unknown setting {name!r}, expected one of cascade_rcnn_fpn{hint}")
