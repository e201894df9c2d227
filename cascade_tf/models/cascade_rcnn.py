"""Recipes: Cascade R-CNN, Faster R-CNN and their variants with masks on a ResNet feature pyramid."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from cascade_tf.backbones import ResNet
from cascade_tf.layers import (
    FPN,
    BoxHead,
    CascadeHeads,
    DetectionOutput,
    MaskHead,
    PixelNormalization,
    RegionProposal,
    ROIAlign,
    Stage,
)
from cascade_tf.models.detector import TwoStageDetector

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
    raise ValueError(f"stage_weighting must be 'decay' or 'avg', got {weighting!r}")


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


def cascade_rcnn_fpn(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    depth: int = 50,
    width: float = 1.0,
    stem_channels: int | None = None,
    cardinality: int = 1,
    width_per_group: int = 64,
    deformable_stages: Sequence[int] = (),
    norm: str = "frozen",
    norm_groups: int = 32,
    stride_in_1x1: bool = True,
    freeze_at: int = 2,
    pixel_order: str = "BGR",
    pixel_mean: Sequence[float] = (103.53, 116.28, 123.675),
    pixel_std: Sequence[float] = (1.0, 1.0, 1.0),
    fpn_channels: int = 256,
    fpn_norm: str = "auto",
    anchor_sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    anchor_offset: float = 0.0,
    round_anchors: bool = False,
    pre_nms_train: int = 2000,
    pre_nms_test: int = 1000,
    post_nms_train: int = 1000,
    post_nms_test: int = 1000,
    rpn_nms_iou: float = 0.7,
    anchors_per_image: int = 256,
    claim_untouched: bool = False,
    crowd_cover: float | None = 0.7,
    rpn_beta: float = 1.0 / 9.0,
    ious: Sequence[float] = (0.5, 0.6, 0.7),
    update_statistics: bool = True,
    round_statistics: bool = False,
    stage_weighting: str = "decay",
    rescale_heads: bool = True,
    rois_per_image: int = 512,
    later_rois: int | None = None,
    foreground_fraction: float = 0.25,
    append_ground_truth: str = "all",
    redundant_iou: float = 0.95,
    clip_boxes: bool = False,
    inclusive_boxes: bool = False,
    box_beta: float = 1.0,
    class_agnostic: bool = True,
    head_units: int = 1024,
    head_convs: int = 0,
    head_channels: int = 256,
    head_fcs: int | None = None,
    head_norm: str = "none",
    roi_size: int = 7,
    sampling_ratio: int = 2,
    roi_aligned: bool = True,
    canonical_size: float = 224.0,
    mask_stages: Sequence[int] = (),
    mask_roi_size: int = 14,
    mask_sampling_ratio: int | None = None,
    mask_convs: int = 4,
    mask_channels: int = 256,
    mask_norm: str = "none",
    mask_class_agnostic: bool = False,
    ensemble: str = "last_boxes",
    score_threshold: float = 0.05,
    nms_iou: float = 0.5,
    soft_nms: str = "none",
    soft_sigma: float = 0.5,
    max_detections: int = 100,
    short_side: int = 800,
    max_side: int = 1333,
    implementation: str = "auto",
    recompute: bool = False,
) -> TwoStageDetector:
    """Cascade R-CNN with a ResNet-FPN backbone (Tables 5, 7, 9 and 10), weights initialised at random.

    The defaults are the paper's; docs/conventions.md has those of other implementations in a table.

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        depth: see ``ResNet``, with ``width``, ``stem_channels``, ``cardinality``, ``width_per_group``,
            ``deformable_stages``, ``norm``, ``norm_groups``, ``stride_in_1x1`` and ``freeze_at``.
        width: factor of the backbone's channel counts.
        stem_channels: of the first convolution; None is ``64 * width``.
        cardinality: 32 for ResNeXt 32x8d.
        width_per_group: 8 for ResNeXt 32x8d.
        deformable_stages: stages with deformable convolutions.
        norm: normalisation of the backbone.
        norm_groups: groups of every ``"group"`` normalisation in the detector.
        stride_in_1x1: where the backbone's strides sit.
        freeze_at: frozen parts of the backbone.
        pixel_order: see ``PixelNormalization``, with ``pixel_mean`` and ``pixel_std``.
        pixel_mean: per channel, in that order.
        pixel_std: per channel, in that order.
        fpn_channels: width of the pyramid.
        fpn_norm: normalisation of the pyramid, ``"group"`` or ``"none"``; ``"auto"`` follows the backbone's
            ``"group"``, and is ``"none"`` beside any other.
        anchor_sizes: pixels, one or several per level P2 to P6.
        aspect_ratios: height / width of the anchors.
        anchor_offset: see ``AnchorGrid``.
        round_anchors: see ``AnchorGrid``'s ``rounding``.
        pre_nms_train: see ``RegionProposal``, with the other limits.
        pre_nms_test: the same at test.
        post_nms_train: proposals per image in training.
        post_nms_test: proposals per image at test.
        rpn_nms_iou: overlap above which the weaker of two proposals of one level is dropped.
        anchors_per_image: anchors in the loss.
        claim_untouched: see ``match_anchors``.
        crowd_cover: see ``match_boxes``; None takes boxes over crowds for background.
        rpn_beta: see ``rpn_losses``.
        ious: thresholds of the stages; their number is T.
        update_statistics: see ``stage_statistics``.
        round_statistics: see ``stage_statistics``.
        stage_weighting: see ``stage_weights``.
        rescale_heads: see ``CascadeHeads``, with ``append_ground_truth``, ``redundant_iou``, ``clip_boxes``
            and ``ensemble``.
        rois_per_image: RoIs per image in the first stage.
        later_rois: RoIs per image in the later stages; None keeps every box of the stage before.
        foreground_fraction: share of foreground among a number of RoIs, at most.
        append_ground_truth: which stages get the objects' own boxes.
        redundant_iou: boxes that do not go on.
        clip_boxes: between the stages.
        inclusive_boxes: clips and pools as detectors do whose boxes are (first pixel, last pixel), the "+ 1"
            of Caffe and Caffe2; see docs/conventions.md.
        box_beta: see ``stage_losses``.
        class_agnostic: one box per RoI, or one per class.
        head_units: see ``BoxHead``.
        head_convs: 4 for the heads of the GroupNorm models, else 0.
        head_channels: of these convolutions.
        head_fcs: fully connected layers; None is 1 behind convolutions, else 2.
        head_norm: normalisation of these convolutions.
        roi_size: P, cells per side of the features that the box heads see.
        sampling_ratio: see ``ROIAlign``, with ``canonical_size``.
        roi_aligned: see ``ROIAlign``'s ``aligned``.
        canonical_size: side of the box that is pooled from P4; lower it with the images' size.
        mask_stages: numbers of the stages with a mask head, from 1, or from the end as -1; see
            ``CascadeHeads``.
        mask_roi_size: cells per side of the features that the mask heads see; the masks have twice as many.
        mask_sampling_ratio: ``sampling_ratio`` for masks; None is the same.
        mask_convs: see ``MaskHead``, with the other settings of masks.
        mask_channels: of the mask heads' convolutions.
        mask_norm: normalisation of these convolutions.
        mask_class_agnostic: one mask per RoI, or one per class.
        ensemble: class probabilities at test.
        score_threshold: see ``DetectionOutput``, with ``nms_iou``, ``soft_nms``, ``soft_sigma`` and
            ``max_detections``.
        nms_iou: of the final suppression.
        soft_nms: whether it lowers scores instead of dropping boxes.
        soft_sigma: width of its Gaussian.
        max_detections: per image.
        short_side: length of the shorter side of images at test.
        max_side: largest length of the longer side at test.
        implementation: of the ops, ``"auto"``, ``"custom"`` or ``"tensorflow"``.
        recompute: trains with less memory in more time: the backbone's blocks, the pyramid's sums and the
            heads' convolutions keep nothing but their inputs for the gradient.

    Returns:
        A built detector.
    """
    # Made first, and in Keras's global policy, so that a mixed policy reaches every convolution.
    backbone = ResNet(
        depth,
        norm,
        stride_in_1x1,
        width,
        stem_channels=stem_channels,
        freeze_at=freeze_at,
        norm_groups=norm_groups,
        cardinality=cardinality,
        width_per_group=width_per_group,
        deformable_stages=deformable_stages,
        recompute=recompute,
        name="backbone",
    )
    if fpn_norm == "auto":
        fpn_norm = "group" if norm == "group" else "none"
    neck = FPN(fpn_channels, norm=fpn_norm, norm_groups=norm_groups, recompute=recompute, name="fpn")
    region_proposal = RegionProposal(
        anchor_sizes=tuple(anchor_sizes),
        aspect_ratios=tuple(aspect_ratios),
        anchor_offset=anchor_offset,
        round_anchors=round_anchors,
        pre_nms_train=pre_nms_train,
        pre_nms_test=pre_nms_test,
        post_nms_train=post_nms_train,
        post_nms_test=post_nms_test,
        nms_iou=rpn_nms_iou,
        samples_per_image=anchors_per_image,
        claim_untouched=claim_untouched,
        crowd_cover=crowd_cover,
        inclusive=inclusive_boxes,
        beta=rpn_beta,
        implementation=implementation,
        name="rpn",
    )
    weights = stage_weights(len(ious), stage_weighting)
    statistics = stage_statistics(len(ious), update_statistics, round_statistics)
    stages = []
    for number, (iou, weight, std) in enumerate(zip(ious, weights, statistics, strict=True), start=1):
        head = BoxHead(
            len(class_names),
            class_agnostic=class_agnostic,
            num_convs=head_convs,
            conv_channels=head_channels,
            num_fcs=(1 if head_convs else 2) if head_fcs is None else head_fcs,
            units=head_units,
            norm=head_norm,
            norm_groups=norm_groups,
            recompute=recompute,
            name=f"box_head{number}",
        )
        stages.append(
            Stage(
                head,
                iou=iou,
                std=std,
                weight=weight,
                num_samples=rois_per_image if number == 1 else later_rois,
                foreground_fraction=foreground_fraction,
                name=f"stage{number}",
            )
        )

    def pooler(output_size: int, samples: int, name: str) -> ROIAlign:
        return ROIAlign(
            output_size=output_size,
            sampling_ratio=samples,
            aligned=roi_aligned,
            inclusive=inclusive_boxes,
            canonical_size=canonical_size,
            implementation=implementation,
            name=name,
        )

    masks = _mask_stages(mask_stages, len(ious))
    mask_heads = [
        MaskHead(
            len(class_names),
            class_agnostic=mask_class_agnostic,
            num_convs=mask_convs,
            channels=mask_channels,
            norm=mask_norm,
            norm_groups=norm_groups,
            recompute=recompute,
            name=f"mask_head{number}",
        )
        for number in masks
    ]
    heads = CascadeHeads(
        stages,
        pooler(roi_size, sampling_ratio, "roi_align"),
        rescale_heads=rescale_heads,
        append_ground_truth=append_ground_truth,
        redundant_iou=redundant_iou,
        clip_boxes=clip_boxes,
        ensemble=ensemble,
        crowd_cover=crowd_cover,
        inclusive=inclusive_boxes,
        box_beta=box_beta,
        mask_heads=mask_heads,
        mask_stages=masks,
        mask_features=pooler(
            mask_roi_size,
            sampling_ratio if mask_sampling_ratio is None else mask_sampling_ratio,
            "mask_roi_align",
        )
        if masks
        else None,
        name="heads",
    )
    return TwoStageDetector(
        backbone=backbone,
        neck=neck,
        region_proposal=region_proposal,
        heads=heads,
        detection_output=DetectionOutput(
            score_threshold,
            nms_iou,
            max_detections,
            inclusive=inclusive_boxes,
            implementation=implementation,
            soft_nms=soft_nms,
            soft_sigma=soft_sigma,
            name="detection_output",
        ),
        image_inputs=PixelNormalization(
            pixel_order, tuple(pixel_mean), tuple(pixel_std), name="image_inputs"
        ),
        class_names=tuple(class_names),
        category_ids=category_ids,
        short_side=short_side,
        max_side=max_side,
        name="detector",
    )


def _mask_stages(numbers: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Ascending numbers from 1; those from the end are resolved."""
    if any(not 1 <= abs(number) <= num_stages for number in numbers):
        raise ValueError(
            f"mask_stages: got {tuple(numbers)}, expected numbers in 1..{num_stages}, negative from the end"
        )
    resolved = {number if number > 0 else num_stages + 1 + number for number in numbers}
    return tuple(sorted(resolved))


def faster_rcnn_fpn(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    ious: Sequence[float] = (0.5,),
    class_agnostic: bool = False,
    **settings: Any,
) -> TwoStageDetector:
    """Faster R-CNN with a ResNet-FPN backbone: the cascade's baseline, a cascade of one class-aware stage.

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        ious: threshold of the only stage.
        class_agnostic: one box per RoI, or one per class.
        **settings: all other arguments of ``cascade_rcnn_fpn``.

    Raises:
        ValueError: more than one threshold.
    """
    if len(ious) != 1:
        raise ValueError(f"faster_rcnn_fpn has one stage; for ious={tuple(ious)} use cascade_rcnn_fpn")
    return cascade_rcnn_fpn(class_names, category_ids, ious=ious, class_agnostic=class_agnostic, **settings)


def mask_rcnn_fpn(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    mask_stages: Sequence[int] = (1,),
    **settings: Any,
) -> TwoStageDetector:
    """Mask R-CNN with a ResNet-FPN backbone: ``faster_rcnn_fpn`` with a mask head, the baseline of Table 10.

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        mask_stages: the only stage.
        **settings: all other arguments of ``faster_rcnn_fpn``.
    """
    return faster_rcnn_fpn(class_names, category_ids, mask_stages=mask_stages, **settings)


def cascade_mask_rcnn_fpn(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    mask_stages: Sequence[int] = (-1,),
    **settings: Any,
) -> TwoStageDetector:
    """Cascade Mask R-CNN with a ResNet-FPN backbone (Sec. 5, Tables 9 and 10).

    The default is strategy (c) of Fig. 6, one mask head on the last stage. The paper's text names (b), but
    its numbers, code and configurations are those of (c). ``(1,)`` is (b), all stages are (d).

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        mask_stages: stages with a mask head.
        **settings: all other arguments of ``cascade_rcnn_fpn``.
    """
    return cascade_rcnn_fpn(class_names, category_ids, mask_stages=mask_stages, **settings)


def _variant_signature(variant: Callable, parent: Callable) -> inspect.Signature:
    """The parent's signature with the variant's own defaults.

    It is what settings are checked against; ``**settings`` alone would name none of them.
    """
    signature = inspect.signature(parent, eval_str=True)
    own = inspect.signature(variant, eval_str=True).parameters
    return signature.replace(
        parameters=[own.get(name, value) for name, value in signature.parameters.items()]
    )


_VARIANTS: tuple[tuple[Any, Callable], ...] = (
    (faster_rcnn_fpn, cascade_rcnn_fpn),
    (mask_rcnn_fpn, faster_rcnn_fpn),
    (cascade_mask_rcnn_fpn, cascade_rcnn_fpn),
)
for _variant, _parent in _VARIANTS:
    _variant.__signature__ = _variant_signature(_variant, _parent)
