"""Recipes: Cascade R-CNN and Faster R-CNN on a ResNet feature pyramid."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from cascade_tf.backbones import ResNet
from cascade_tf.layers import (
    FPN,
    BoxHead,
    CascadeHeads,
    DetectionOutput,
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


def cascade_rcnn_fpn(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    depth: int = 50,
    width: float = 1.0,
    stem_channels: int | None = None,
    norm: str = "frozen",
    stride_in_1x1: bool = True,
    freeze_at: int = 2,
    pixel_order: str = "BGR",
    pixel_mean: Sequence[float] = (103.53, 116.28, 123.675),
    pixel_std: Sequence[float] = (1.0, 1.0, 1.0),
    fpn_channels: int = 256,
    anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
    pre_nms_train: int = 2000,
    pre_nms_test: int = 1000,
    post_nms_train: int = 1000,
    post_nms_test: int = 1000,
    anchors_per_image: int = 256,
    ious: Sequence[float] = (0.5, 0.6, 0.7),
    update_statistics: bool = True,
    stage_weighting: str = "decay",
    rescale_heads: bool = True,
    rois_per_image: int = 512,
    foreground_fraction: float = 0.25,
    append_ground_truth: str = "all",
    clip_boxes: bool = False,
    class_agnostic: bool = True,
    head_units: int = 1024,
    head_convs: int = 0,
    head_norm: str = "none",
    sampling_ratio: int = 2,
    canonical_size: float = 224.0,
    ensemble: str = "last_boxes",
    score_threshold: float = 0.05,
    nms_iou: float = 0.5,
    max_detections: int = 100,
    short_side: int = 800,
    max_side: int = 1333,
    implementation: str = "auto",
) -> TwoStageDetector:
    """Cascade R-CNN with a ResNet-FPN backbone (Tables 5 and 7), weights initialised at random.

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        depth: see ``ResNet``, with ``width``, ``stem_channels``, ``norm``, ``stride_in_1x1`` and
            ``freeze_at``.
        width: factor of the backbone's channel counts.
        stem_channels: of the first convolution; None is ``64 * width``.
        norm: normalisation of the backbone; with ``"group"`` the pyramid has it too.
        stride_in_1x1: where the backbone's strides sit.
        freeze_at: frozen parts of the backbone.
        pixel_order: see ``PixelNormalization``, with ``pixel_mean`` and ``pixel_std``.
        pixel_mean: per channel, in that order.
        pixel_std: per channel, in that order.
        fpn_channels: width of the pyramid.
        anchor_sizes: pixels, one per level P2 to P6.
        aspect_ratios: height / width of the anchors.
        pre_nms_train: see ``RegionProposal``, with the other limits.
        pre_nms_test: the same at test.
        post_nms_train: proposals per image in training.
        post_nms_test: proposals per image at test.
        anchors_per_image: anchors in the loss.
        ious: thresholds of the stages; their number is T.
        update_statistics: stage t divides the standard deviations of the offsets by t (Sec. 4.1); False keeps
            the first stage's (Table 3).
        stage_weighting: see ``stage_weights``.
        rescale_heads: see ``CascadeHeads``, with ``append_ground_truth``, ``clip_boxes`` and ``ensemble``.
        rois_per_image: RoIs per image in the first stage.
        foreground_fraction: share of foreground among them, at most.
        append_ground_truth: which stages get the objects' own boxes.
        clip_boxes: between the stages.
        class_agnostic: one box per RoI, or one per class.
        head_units: see ``BoxHead``.
        head_convs: 4 for the heads of the GroupNorm models (then with one fully connected layer), else 0.
        head_norm: normalisation of these convolutions.
        sampling_ratio: see ``ROIAlign``, with ``canonical_size``.
        canonical_size: side of the box that is pooled from P4; lower it with the images' size.
        ensemble: class probabilities at test.
        score_threshold: see ``DetectionOutput``, with ``nms_iou`` and ``max_detections``.
        nms_iou: of the final suppression.
        max_detections: per image.
        short_side: length of the shorter side of images at test.
        max_side: largest length of the longer side at test.
        implementation: of the ops, ``"auto"``, ``"custom"`` or ``"tensorflow"``.

    Returns:
        A built detector.
    """
    # Made first, and in Keras's global policy, so that a mixed policy reaches every convolution.
    backbone = ResNet(
        depth, norm, stride_in_1x1, width, stem_channels=stem_channels, freeze_at=freeze_at, name="backbone"
    )
    neck = FPN(fpn_channels, norm="group" if norm == "group" else "none", name="fpn")
    region_proposal = RegionProposal(
        anchor_sizes=tuple(anchor_sizes),
        aspect_ratios=tuple(aspect_ratios),
        pre_nms_train=pre_nms_train,
        pre_nms_test=pre_nms_test,
        post_nms_train=post_nms_train,
        post_nms_test=post_nms_test,
        samples_per_image=anchors_per_image,
        implementation=implementation,
        name="rpn",
    )
    weights = stage_weights(len(ious), stage_weighting)
    stages = []
    for number, (iou, weight) in enumerate(zip(ious, weights, strict=True), start=1):
        head = BoxHead(
            len(class_names),
            class_agnostic=class_agnostic,
            num_convs=head_convs,
            num_fcs=1 if head_convs else 2,
            units=head_units,
            norm=head_norm,
            name=f"box_head{number}",
        )
        stages.append(
            Stage(
                head,
                iou=iou,
                std=tuple(value / number if update_statistics else value for value in FIRST_STD),
                weight=weight,
                num_samples=rois_per_image if number == 1 else None,
                foreground_fraction=foreground_fraction,
                name=f"stage{number}",
            )
        )
    heads = CascadeHeads(
        stages,
        ROIAlign(
            sampling_ratio=sampling_ratio,
            canonical_size=canonical_size,
            implementation=implementation,
            name="roi_align",
        ),
        rescale_heads=rescale_heads,
        append_ground_truth=append_ground_truth,
        clip_boxes=clip_boxes,
        ensemble=ensemble,
        name="heads",
    )
    return TwoStageDetector(
        backbone=backbone,
        neck=neck,
        region_proposal=region_proposal,
        heads=heads,
        detection_output=DetectionOutput(
            score_threshold, nms_iou, max_detections, implementation=implementation, name="detection_output"
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


def _baseline_signature() -> inspect.Signature:
    """The cascade's signature with the baseline's two defaults."""
    cascade = inspect.signature(cascade_rcnn_fpn)
    own = inspect.signature(faster_rcnn_fpn).parameters
    return cascade.replace(parameters=[own.get(name, value) for name, value in cascade.parameters.items()])


# The signature is what settings are checked against; ``**settings`` alone would name none of them.
faster_rcnn_fpn.__signature__ = _baseline_signature()  # type: ignore[attr-defined]
