"""A two-stage detector from its parts (Fig. 3): the defaults are the paper's cascade on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cascade_tf.backbones import ResNet
from cascade_tf.heads import cascade
from cascade_tf.layers import DetectionOutput, PixelNormalization
from cascade_tf.models.detector import EVERYTHING, TwoStageDetector
from cascade_tf.necks import FPN
from cascade_tf.parts import Part, of_kind, part
from cascade_tf.proposals import RegionProposal


@of_kind("detector")
def two_stage(
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    backbone: Part = part(ResNet),
    neck: Annotated[Part | None, "neck"] = part(FPN),
    proposals: Part = part(RegionProposal),
    heads: Part = part(cascade),
    output: Part = part(DetectionOutput),
    inputs: Part = part(PixelNormalization),
    short_side: int = 800,
    max_side: int = 1333,
    resize: str = "shorter_side",
    size_divisor: int = 32,
    round_sides: bool = False,
    round_to: int | None = None,
    separate_images: bool = True,
    learns: str = EVERYTHING,
) -> TwoStageDetector:
    """A detector, weights initialised at random.

    Args:
        class_names: names of the K classes.
        category_ids: the data set's ids of the classes; None numbers them 1..K.
        backbone: normalised images to feature maps.
        neck: a backbone's maps to those that proposals and heads read; None: the same.
        proposals: maps to candidate boxes.
        heads: candidate boxes to classes, better boxes and masks.
        output: these to detections.
        inputs: pixels to what the backbone's weights expect.
        short_side: length of the shorter side of images at test, pixels.
        max_side: largest length of the longer side at test.
        resize: how an image gets its size: "shorter_side" keeps the aspect ratio; "both_sides" makes the
            longer side ``max_side``, too, whatever becomes of the aspect ratio; "none" leaves the size as it
            is, up to ``max_side``. Holds in training, too.
        size_divisor: batches are padded to multiples of it, the coarsest stride of the maps.
        round_sides: at test rounds each side of an image to a multiple of ``round_to``, as the authors' Caffe
            code does, instead of keeping the aspect ratio; where images get a size, it limits each side by
            itself, too.
        round_to: what `round_sides` rounds to multiples of, pixels; None: ``size_divisor``, of which it is a
            divisor.
        separate_images: with GroupNorm, whether an image in a batch gets the answer that it gets alone; False
            lets the padding of the batch into the statistics, as Detectron and detectron2 do. Without
            statistics of maps it changes nothing.
        learns: "everything", or "proposals": the heads neither run nor change in training, as in the first of
            the two steps in which MS-CNN is trained.

    Returns:
        A built detector.
    """
    # Most networks of proposals know no classes.
    known = {"num_classes": len(class_names)} if proposals.asks_for("num_classes") else {}
    return TwoStageDetector(
        # Made first, and in Keras's global policy, so that a mixed policy reaches every convolution.
        backbone=backbone(name="backbone"),
        neck=neck(name="neck") if neck else None,
        proposals=proposals(**known, name="proposals"),
        heads=heads(len(class_names)),
        detection_output=output(name="detection_output"),
        image_inputs=inputs(name="image_inputs"),
        class_names=tuple(class_names),
        category_ids=category_ids,
        short_side=short_side,
        max_side=max_side,
        resize=resize,
        size_divisor=size_divisor,
        round_sides=round_sides,
        round_to=round_to,
        separate_images=separate_images,
        learns=learns,
        name="detector",
    )
