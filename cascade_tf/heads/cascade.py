"""A cascade from its thresholds: one detector for each, with the statistics and weights of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cascade_tf.heads.box_head import BoxHead
from cascade_tf.heads.cascade_heads import CascadeHeads
from cascade_tf.heads.stage import Stage
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.pooling import ROIAlign

FIRST_STD = (0.1, 0.1, 0.2, 0.2)


def stage_weights(num_stages: int, weighting: str) -> list[float]:
    """Loss weights of the stages (Sec. 5.2 and Table 3).

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
    """Standard deviations of (dx, dy, dw, dh) of each stage (Sec. 4.1).

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
    num_samples: int = 512,
    later_samples: int | None = None,
    foreground_fraction: float = 0.25,
    append_ground_truth: str = "all",
    redundant_iou: float = 0.95,
    clip_boxes: bool = False,
    inclusive: bool = False,
    crowd_cover: float | None = 0.7,
    box_beta: float = 1.0,
    ensemble: str = "last_boxes",
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
            ``inclusive``, ``crowd_cover``, ``box_beta`` and ``ensemble``.
        update_statistics: see ``stage_statistics``.
        round_statistics: see ``stage_statistics``, with ``update_statistics``.
        num_samples: RoIs per image in the first stage's loss.
        later_samples: the same in later stages; None keeps every box of the stage before.
        foreground_fraction: share of foreground among a number of RoIs, at most.
        append_ground_truth: which stages get the objects' own boxes.
        redundant_iou: boxes that fit an object so well do not go on.
        clip_boxes: whether boxes are clipped to the image between the stages.
        inclusive: see ``clip_boxes`` of ``cascade_tf.boxes``.
        crowd_cover: see ``match_boxes``; None takes boxes over crowds for background.
        box_beta: where Smooth L1 changes from quadratic to linear; 0 is plain L1.
        ensemble: class probabilities at test.

    Raises:
        ValueError: a setting outside its range.
    """
    weights = stage_weights(len(ious), weighting)
    statistics = stage_statistics(len(ious), update_statistics, round_statistics)
    stages = [
        Stage(
            head(num_classes, name=f"box_head{number}"),
            iou=iou,
            std=std,
            weight=weight,
            num_samples=num_samples if number == 1 else later_samples,
            foreground_fraction=foreground_fraction,
            name=f"stage{number}",
        )
        for number, (iou, weight, std) in enumerate(zip(ious, weights, statistics, strict=True), start=1)
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
        name="heads",
    )
