"""The integral loss from its thresholds, with the hidden layers that its classifiers have."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_tf.heads.box_head import BoxHead
from cascade_tf.heads.cascade import FIRST_STD
from cascade_tf.heads.integral_heads import IntegralHeads
from cascade_tf.heads.stage import Stage
from cascade_tf.layers.base import require
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.pooling import ROIAlign

HIDDEN_LAYERS = ("shared", "own")


@of_kind("heads")
def integral(
    num_classes: int,
    *,
    ious: Sequence[float] = (0.5, 0.6, 0.7),
    hidden_layers: str = "shared",
    head: Part = part(BoxHead),
    pooling: Part = part(ROIAlign),
    num_samples: int | None = 512,
    foreground_fraction: float = 0.25,
    append_ground_truth: str = "all",
    crowd_cover: float | None = 0.7,
    box_beta: float = 1.0,
    mean: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    std: Sequence[float] = FIRST_STD,
    box_weight: float = 1.0,
    background_range: Sequence[float] | None = None,
    top_up: bool = False,
    match_crowds: bool = False,
    hard_examples: int | None = None,
) -> IntegralHeads:
    """Classifiers of several thresholds on the same boxes, and one regressor: a baseline (Sec. 6.3).

    Args:
        num_classes: K, without the background.
        ious: thresholds of the classifiers, ascending; boxes are drawn and regressed by the first.
        hidden_layers: "shared" by all classifiers and the regressor, or each classifier has its "own" and
            the regressor reads the first one's. The paper does not say which.
        head: hidden layers, classifier and regressor.
        pooling: what the heads read.
        num_samples: RoIs per image in the losses; None: all proposals, for ``hard_examples``.
        foreground_fraction: share of foreground among them, at most.
        append_ground_truth: whether the objects' own boxes join the proposals in training, "all" or "none".
        crowd_cover: see ``match_boxes``; None takes boxes over crowds for background.
        box_beta: where Smooth L1 changes from quadratic to linear; 0 is plain L1.
        mean: of (dx, dy, dw, dh).
        std: their standard deviations.
        box_weight: of the box loss beside the class losses.
        background_range: the IoU from which and the one below which boxes are drawn as background; None: all
            below the first threshold.
        top_up: whether boxes outside ``background_range`` fill up ``num_samples``.
        match_crowds: whether a crowd is matched like an object to ignore.
        hard_examples: RoIs per image that take part in each loss, those with the largest; None: all.

    Raises:
        ValueError: a setting outside its range, or a head that can have but one classifier.
    """
    require(bool(ious), "ious", tuple(ious), "a threshold or more")
    require(
        hidden_layers in HIDDEN_LAYERS, "hidden_layers", hidden_layers, f"one of {', '.join(HIDDEN_LAYERS)}"
    )
    for argument in ("num_classifiers", "regresses"):
        require(head.asks_for(argument), "head", head.name, f"one that takes {argument}")
    shared = hidden_layers == "shared"
    stage = Stage(
        head(num_classes, num_classifiers=len(ious) if shared else 1, name="box_head1"),
        iou=ious[0],
        std=std,
        num_samples=num_samples,
        foreground_fraction=foreground_fraction,
        mean=mean,
        box_weight=box_weight,
        background_range=background_range,
        top_up=top_up,
        hard_examples=hard_examples,
        name="stage1",
    )
    numbers = () if shared else range(2, len(ious) + 1)
    return IntegralHeads(
        stage,
        pooling(name="pooling"),
        ious=ious,
        further_heads=[head(num_classes, regresses=False, name=f"box_head{number}") for number in numbers],
        append_ground_truth=append_ground_truth,
        crowd_cover=crowd_cover,
        match_crowds=match_crowds,
        box_beta=box_beta,
        name="heads",
    )
