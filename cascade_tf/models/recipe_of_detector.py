"""From a detector back to the recipe that builds its like."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from cascade_tf.heads import (
    CascadeHeads,
    IntegralHeads,
    MaskBranch,
    cascade,
    integral,
    mask_heads,
    stage_statistics,
    stage_weights,
)
from cascade_tf.models.detector import TwoStageDetector
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import Part, find_part, part

# What does not make another network: where ops run, and what Keras notes beside the arguments.
_APART = (
    *("name", "dtype", "trainable", "supports_masking", "inner_layers", "implementation"),
    *("build_config", "compile_config", "registered_name", "module"),
)


def recipe_of_detector(detector: TwoStageDetector) -> Part:
    """Returns the recipe that, called with a detector's classes, builds its equal.

    Args:
        detector: of the package's parts.

    Raises:
        ValueError: no recipe builds such a detector.
    """
    try:
        recipe = _read_off(detector)
        again = recipe(detector.class_names, detector.category_ids)
    # Parts of other kinds lack what the recipe's have.
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"got a detector that no recipe builds ({error})") from None
    if _plain(again) != _plain(detector):
        raise ValueError("got a detector that no recipe builds: its parts are put together otherwise")
    return recipe


def _read_off(detector: TwoStageDetector) -> Part:
    settings = (
        *("short_side", "max_side", "resize", "size_divisor", "round_sides", "round_to"),
        "separate_images",
    )
    return part(
        two_stage,
        backbone=_of_layer(detector.backbone),
        neck=None if detector.neck is None else _of_layer(detector.neck),
        proposals=_of_layer(detector.proposals),
        heads=_of_heads(detector.heads),
        output=_of_layer(detector.detection_output),
        inputs=_of_layer(detector.image_inputs),
        **{name: getattr(detector, name) for name in settings},
    )


def _of_layer(layer: Any) -> Part:
    """The part whose constructor is the layer's class: it keeps its arguments as attributes."""
    kind = type(layer)
    blank = find_part(f"{kind.__module__}:{kind.__qualname__}")
    return blank.replace({name: _immutable(getattr(layer, name)) for name in blank.settings})


def _of_heads(heads: Any) -> Part:
    if isinstance(heads, IntegralHeads):
        return _of_integral_heads(heads)
    if not isinstance(heads, CascadeHeads):
        return _of_layer(heads)
    first, later = heads.stages[0], heads.stages[1:]
    selection = ("append_ground_truth", "redundant_iou", "crowd_cover", "match_crowds", "min_side")
    of_heads = ("rescale_heads", "clip_boxes", "inclusive", "box_beta", "ensemble", "iterations", *selection)
    of_first = ("num_samples", "foreground_fraction", "box_weight", "top_up", "hard_examples")
    means = [tuple(stage.mean) for stage in heads.stages]
    return part(
        cascade,
        ious=tuple(stage.iou for stage in heads.stages),
        head=_of_layer(first.head),
        pooling=_of_layer(heads.pooling),
        masks=None if heads.masks is None else _of_masks(heads.masks),
        weighting=_weighting([stage.weight for stage in heads.stages]),
        **_statistics([tuple(stage.std) for stage in heads.stages]),
        means=tuple(means) if any(map(any, means)) else None,
        later_samples=later[0].num_samples if later else None,
        background_range=_immutable(first.background_range),
        **{name: getattr(first, name) for name in of_first},
        **{name: getattr(heads, name) for name in of_heads},
    )


def _of_integral_heads(heads: IntegralHeads) -> Part:
    stage = heads.stage
    of_stage = ("num_samples", "foreground_fraction", "mean", "std", "box_weight", "background_range")
    of_heads = ("ious", "append_ground_truth", "crowd_cover", "match_crowds", "box_beta")
    return part(
        integral,
        hidden_layers="own" if heads.further_heads else "shared",
        head=_of_layer(stage.head),
        pooling=_of_layer(heads.pooling),
        **{name: _immutable(getattr(stage, name)) for name in (*of_stage, "top_up", "hard_examples")},
        **{name: getattr(heads, name) for name in of_heads},
    )


def _of_masks(masks: MaskBranch) -> Part:
    return part(
        mask_heads, stages=masks.stages, head=_of_layer(masks.heads[0]), pooling=_of_layer(masks.pooling)
    )


def _statistics(stages: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    for update, rounded in itertools.product((True, False), (False, True)):
        if stage_statistics(len(stages), update, rounded) == list(stages):
            return {"update_statistics": update, "round_statistics": rounded}
    return {"stds": tuple(stages)}


def _weighting(weights: Sequence[float]) -> str:
    for name in ("decay", "avg"):
        if stage_weights(len(weights), name) == list(weights):
            return name
    raise ValueError(f"the stages' weights are {list(weights)}")


def _immutable(value: Any) -> Any:
    return tuple(_immutable(item) for item in value) if isinstance(value, (list, tuple)) else value


def _plain(detector: TwoStageDetector) -> Any:
    """The arguments of all parts, as they would stand in a file."""
    return _without_names(json.loads(json.dumps(detector.get_config(), default=repr)))


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_names(item) for key, item in value.items() if key not in _APART}
    if isinstance(value, list):
        return [_without_names(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
