"""Parts that read maps know their strides; a detector compares what they assume with what there is."""

from __future__ import annotations

import keras
import pytest

from cascade_tf import models
from cascade_tf.backbones import VGG16
from cascade_tf.heads import BoxHead, mask_heads
from cascade_tf.necks import FPN, FPNPlus
from cascade_tf.parts import part
from cascade_tf.pooling import ROIPool
from tests.models.examples import image_batch

SMALL = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "neck.channels": 8,
    "heads.head.units": 8,
    "heads.head.channels": 8,
    "proposals.channels": 8,
}


def small(recipe, **settings):
    known = recipe.names()
    return recipe.replace({name: value for name, value in SMALL.items() if name in known} | settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mask_rcnn_fpn", {}),
        ("rpn_fpn", {}),
        ("fast_rcnn_fpn", {}),
        (
            "faster_rcnn_fpn",
            {
                "backbone.dilate_res5": True,
                "proposals.strides": (4, 8, 16, 16, 32),
                "heads.pooling.strides": (4, 8, 16, 16),
            },
        ),
        ("faster_rcnn_fpn_plus", {}),
        ("faster_rcnn_vgg16", {}),
        ("faster_rcnn_alexnet", {"backbone.channels": (8, 8, 8, 8, 8)}),
        ("rfcn", {}),
    ],
)
def test_recipes_agree_with_their_maps(name, settings):
    recipe = small(getattr(models, name), **settings)
    detector = recipe(("object",))
    batch = image_batch()
    strides = detector.backbone.strides
    if detector.neck is not None:
        strides = detector.neck.output_strides(strides)
    sizes = {name: tuple(one.shape[1:3]) for name, one in detector.features(batch).items()}
    height, width = batch.images.shape[1:3]
    assert sizes == {name: (-(-height // stride), -(-width // stride)) for name, stride in strides.items()}
    read = [*detector.proposals.map_strides(list(sizes)), *detector.heads.map_strides(list(sizes))]
    # Each stage and mask head says it; proposals that are given and heads that are not there say nothing.
    assert len(read) == {"mask_rcnn_fpn": 3, "rpn_fpn": 1, "fast_rcnn_fpn": 1}.get(name, 2)


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        (
            models.faster_rcnn_fpn,
            {"backbone": part(VGG16, width=0.0625)},
            r"proposals\.strides: got 4,8,16,32,64, expected 2,4,8,16,32, pixels per cell of the maps "
            r"P2, P3, P4, P5, P6 from the backbone VGG16",
        ),
        (
            models.faster_rcnn_fpn,
            {"backbone": part(VGG16, width=0.0625), "proposals.strides": (2, 4, 8, 16, 32)},
            r"heads\.pooling\.strides: got 4,8,16,32, expected 2,4,8,16, pixels per cell of the maps P2",
        ),
        (
            models.faster_rcnn_fpn,
            {"heads.masks": part(mask_heads, **{"pooling.strides": (4, 8, 16, 64)})},
            r"heads\.masks\.pooling\.strides: got 4,8,16,64, expected 4,8,16,32, .* from the backbone ResNet",
        ),
        (
            models.faster_rcnn_fpn,
            {"neck.num_extra_levels": 0},
            r"proposals\.strides: got 4,8,16,32,64, expected 4,8,16,32, pixels",
        ),
        (
            models.faster_rcnn_fpn,
            {"backbone.dilate_res5": True},
            r"proposals\.strides: got 4,8,16,32,64, expected 4,8,16,16,32, pixels per cell of the maps P2",
        ),
        (
            models.faster_rcnn_fpn_plus,
            {"backbone.dilate_res5": True},
            "neck: got maps C2, C3, C4, C5 of 4, 8, 16, 16 pixels per cell, expected twice as many",
        ),
        (
            models.faster_rcnn_vgg16,
            {"backbone.levels": ("C4",)},
            r"proposals\.strides: got 16, expected 8, pixels per cell of the maps C4",
        ),
        (
            models.faster_rcnn_fpn_plus,
            {"heads.pooling.strides": (8, 16), "heads.pooling.levels": ("P2", "P3")},
            r"heads\.pooling\.strides: got 8,16, expected 4,8, pixels per cell of the maps P2, P3",
        ),
        (
            models.rfcn,
            {"backbone.dilate_res5": False},
            r"heads\.pooling\.stride: got 16, expected 32, pixels per cell of the maps C5",
        ),
        (
            models.rfcn,
            {"heads.head": part(BoxHead), "heads.pooling": part(ROIPool, level="C4", stride=32)},
            r"heads\.pooling\.stride: got 32, expected 16, pixels per cell of the maps C4",
        ),
    ],
)
def test_other_strides_than_those_of_the_maps(recipe, settings, message):
    with pytest.raises(ValueError, match=message):
        small(recipe, **settings)(("object",))


def test_a_network_that_does_not_say_its_strides():
    detector = small(models.faster_rcnn_fpn)(("object",))
    inside = detector.backbone
    foreign = keras.Model(inside.inputs, inside.output)
    parts = {name: getattr(detector, name) for name in ("neck", "detection_output", "image_inputs")}
    wrong = models.faster_rcnn_fpn.replace({"proposals.strides": (2, 4, 8, 16, 32)}).value("proposals")()
    again = models.TwoStageDetector(
        backbone=foreign, proposals=wrong, heads=detector.heads, class_names=("object",), **parts
    )
    assert again.proposals.built
    with pytest.raises(ValueError, match="strides: got 2,4,8,16,32, expected 4,8,16,32,64"):
        models.TwoStageDetector(
            backbone=inside, proposals=wrong, heads=detector.heads, class_names=("object",), **parts
        )


@pytest.mark.parametrize(
    ("neck", "expected"),
    [
        (FPN(8, num_extra_levels=2, first_level=3), {"P3": 8, "P4": 16, "P5": 32, "P6": 64}),
        (FPNPlus(8), {"P2": 8, "P3": 16}),
    ],
)
def test_strides_of_the_levels_of_a_neck(neck, expected):
    assert neck.output_strides({"C3": 8, "C4": 16}) == expected
