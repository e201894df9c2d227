"""Settings of a detector that arrive by dotted names: checked, and put into a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade_tf.models import cascade_mask_rcnn_fpn, cascade_rcnn_fpn
from cascade_tf.parts import Part

_MASKS = "heads.masks"
# All frameworks pool masks as they pool boxes.
_SHARED_POOLING = ("sampling_ratio", "aligned", "inclusive", "canonical_size")


def check_arguments(
    settings: Mapping[str, Any],
    class_names: Sequence[str] | None = None,
    base: Part = cascade_mask_rcnn_fpn,
) -> None:
    """Refuses settings that a detector does not have, and a text in place of class names.

    Args:
        settings: values by dotted names, such as ``"backbone.depth"``.
        class_names: of the classes; None where none are given.
        base: the detector.

    Raises:
        TypeError: one of them is wrong; the message says what may have been meant.
    """
    if isinstance(class_names, (str, bytes)):
        raise TypeError(f"class_names: got the text {class_names!r}, expected a sequence of names")
    base.replace(outer_first(settings))


def with_mask_pooling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Adds how masks are pooled, if there are masks: as boxes, but for the size.

    Args:
        settings: of a checkpoint, as its family reads them.
    """
    if not settings.get(f"{_MASKS}.stages"):
        return dict(settings)
    pooling = {name: settings.get(f"heads.pooling.{name}") for name in _SHARED_POOLING}
    return {
        **{f"{_MASKS}.pooling.{name}": value for name, value in pooling.items() if value is not None},
        **settings,
    }


def recipe_of(settings: Mapping[str, Any]) -> Part:
    """The detector that settings describe.

    Args:
        settings: values by dotted names. There are mask heads where ``heads.masks.stages`` are some, or where
            ``heads.masks`` is a part; ``{"heads.masks": None}`` leaves them out.
    """
    stages = f"{_MASKS}.stages"
    has_masks = settings[_MASKS] is not None if _MASKS in settings else bool(settings.get(stages))
    if not has_masks:
        settings = {name: value for name, value in settings.items() if not name.startswith(_MASKS)}
    elif not settings.get(stages):
        # Those of a checkpoint without masks; the part has its own.
        settings = {name: value for name, value in settings.items() if name != stages}
    recipe = cascade_mask_rcnn_fpn if has_masks else cascade_rcnn_fpn
    return recipe.replace(outer_first(settings))


def outer_first(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in an order in which a part that is exchanged comes before the settings inside it."""
    return dict(sorted(settings.items(), key=lambda item: item[0].count(".")))
