"""A cascade from its thresholds: one detector for each, with the statistics and weights of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cascade_tf.heads.box_head import BoxHead
from cascade_tf.heads.cascade_heads import CascadeHeads
from cascade_tf.heads.stage import Stage
from cascade_tf.layers.base import require
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.pooling import ROIAlign

FIRST_STD = (0.1, 0.1, 0.2, 0.2)


def stage_weights(num_stages: int, weighting: str) -> list[float]:
    """Loss weights of the stages (Sec. 6.4 and Table 3).

    Args:
        num_stages: T.
        weighting: ``"decay"`` is 1, 1/2, 1/4, ...; ``"avg"`` is 1/T each.

    Raises:
        ValueError: unknown weighting.
    """
    if weighting == "decay":
        return [0.5**number for number in range(num_stages)]
    if weighting == "avg":
        return [1.0 / num_stages] * num_stages
    raise ValueError(f"weighting must be 'decay' or 'avg', got {weighting!r}")


def stage_statistics(num_stages: int, update: bool, rounded: bool) -> list[tuple[float, ...]]:
    """Standard deviations of (dx, dy, dw, dh) of each stage (Sec. 4.2 and 6.4).

    Args:
        num_stages: T.
        update: stage t divides those of the first stage by t; False keeps them (Table 3).
        rounded: to three decimals, 0.033 and 0.067 for the third stage, as the authors' Caffe code and
            mmdetection write them; else 1/30 and 1/15 as Detectron and detectron2.
    """
    values = [
        [value / (number if update else 1) for value in FIRST_STD] for number in range(1, num_stages + 1)
    ]
    return [tuple(round(value, 3) if rounded else value for value in stage) for stage in values]


@of_kind("heads")
def cascade(
    num_classes: int,
    *,
    ious: Sequence[float] = (0.5, 0.6, 0.7),
    head: Part = part(BoxHead),
    pooling: Part = part(ROIAlign),
    masks: Annotated[Part | None, "masks"] = None,
    weighting: str = "decay",
    rescale_heads: bool = True,
    update_statistics: bool = True,
    round_statistics: bool = False,
    num_samples: int | None = 512,
    later_samples: int | None = None,
    foreground_fraction: float = 0.25,
    append_ground_truth: str = "all",
    redundant_iou: float = 0.95,
    clip_boxes: bool = False,
    inclusive: bool = False,
    crowd_cover: float | None = 0.7,
    box_beta: float = 1.0,
    ensemble: str = "last_boxes",
    means: Sequence[Sequence[float]] | None = None,
    stds: Sequence[Sequence[float]] | None = None,
    box_weight: float = 1.0,
    background_range: Sequence[float] | None = None,
    top_up: bool = False,
    match_crowds: bool = False,
    min_side: float = 0.0,
    hard_examples: int | None = None,
    iterations: int = 1,
) -> CascadeHeads:
    """Detectors in sequence, each trained on the boxes of the one before (Sec. 4); with one, the baseline.

    Args:
        num_classes: K, without the background.
        ious: thresholds of the stages; their number is T.
        head: of every stage, each with weights of its own.
        pooling: what every head reads.
        masks: ``mask_heads`` for an instance segmentation; None: boxes alone.
        weighting: see ``stage_weights``.
        rescale_heads: see ``CascadeHeads``, with ``append_ground_truth``, ``redundant_iou``, ``clip_boxes``,
            ``inclusive``, ``crowd_cover``, ``match_crowds``, ``min_side``, ``box_beta`` and ``ensemble``.
        update_statistics: see ``stage_statistics``.
        round_statistics: see ``stage_statistics``, with ``update_statistics``.
        num_samples: RoIs per image in the first stage's loss; None: all proposals, for ``hard_examples``.
        later_samples: the same in later stages; None keeps every box of the stage before.
        foreground_fraction: share of foreground among a number of RoIs, at most.
        append_ground_truth: which stages get the objects' own boxes.
        redundant_iou: boxes that fit an object so well do not go on.
        clip_boxes: whether boxes are clipped to the image between the stages.
        inclusive: see ``clip_boxes`` of ``cascade_tf.boxes``.
        crowd_cover: see ``match_boxes``; None takes boxes over crowds for background.
        box_beta: where Smooth L1 changes from quadratic to linear; 0 is plain L1.
        ensemble: class probabilities at test: "last_boxes", the mean of all classifiers on the last boxes;
            "own_boxes" or "own_logits", of what each said of its own boxes; "last_stage" or "first_stage",
            what that one said.
        means: of (dx, dy, dw, dh), one row for each stage; None: 0, as in the paper.
        stds: standard deviations in the same form; None: those of ``update_statistics``.
        box_weight: of every stage's box loss beside its class loss (lambda of Eq. 12).
        background_range: the IoU from which and the one below which boxes are background in the first stage;
            None: all below the stage's threshold, as in later stages.
        top_up: whether boxes outside ``background_range`` fill up the first stage's ``num_samples``.
        match_crowds: whether a crowd is matched like an object to ignore.
        min_side: shortest side of boxes that go on to the next stage in training, pixels.
        hard_examples: RoIs per image that take part in the losses, those with the largest; None: all.
        iterations: how often the last stage is applied at test, after the first time to its own boxes; with
            one stage this is iterative box regression (Sec. 4.4).

    Raises:
        ValueError: a setting outside its range.
    """
    weights = stage_weights(len(ious), weighting)
    if stds is None:
        stds = stage_statistics(len(ious), update_statistics, round_statistics)
    if means is None:
        means = [(0.0, 0.0, 0.0, 0.0)] * len(ious)
    for name, rows in (("means", means), ("stds", stds)):
        require(len(rows) == len(ious), name, rows, f"a row for each of {len(ious)} stages")
    parts = zip(ious, weights, means, stds, strict=True)
    stages = [
        Stage(
            head(num_classes, name=f"box_head{number}"),
            iou=iou,
            std=std,
            weight=weight,
            num_samples=num_samples if number == 1 else later_samples,
            foreground_fraction=foreground_fraction,
            mean=mean,
            box_weight=box_weight,
            background_range=background_range if number == 1 else None,
            top_up=top_up and number == 1,
            hard_examples=hard_examples,
            name=f"stage{number}",
        )
        for number, (iou, weight, mean, std) in enumerate(parts, start=1)
    ]
    return CascadeHeads(
        stages,
        pooling(name="pooling"),
        rescale_heads=rescale_heads,
        append_ground_truth=append_ground_truth,
        redundant_iou=redundant_iou,
        clip_boxes=clip_boxes,
        ensemble=ensemble,
        crowd_cover=crowd_cover,
        inclusive=inclusive,
        box_beta=box_beta,
        masks=masks(num_classes, len(ious)) if masks else None,
        match_crowds=match_crowds,
        min_side=min_side,
        iterations=iterations,
        name="heads",
    )
