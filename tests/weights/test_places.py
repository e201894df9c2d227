from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade_tf.backbones import VGG16, AlexNet, ResNet
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.parts import of_kind, part
from cascade_tf.weights.places import backbone_places, places
from cascade_tf.weights.recipe_arguments import recipe_of

SMALL = {
    "backbone.depth": 14,
    "backbone.width": 0.0625,
    "neck.channels": 8,
    "heads.head.units": 8,
    "backbone.freeze_at": 0,
}
VARIANTS = {
    "faster": {"heads.ious": (0.5,), "heads.head.class_agnostic": False},
    "cascade": {},
    "masks": {"heads.masks.stages": (1, 2, 3), "heads.masks.head.channels": 8},
    "group": {
        "backbone.norm": "group",
        "neck.norm": "group",
        "*.norm_groups": 2,
        "heads.head.num_convs": 2,
        "heads.head.conv_channels": 6,
        "heads.head.norm": "group",
        "heads.masks.stages": (1,),
        "heads.masks.head.channels": 8,
        "heads.masks.head.norm": "group",
    },
    "deformable": {
        "backbone.cardinality": 4,
        "backbone.width_per_group": 16,
        "backbone.deformable_stages": (3, 5),
    },
    "no fully connected layers": {"heads.head.num_fcs": 0},
}


def build(num_classes=3, **settings):
    return recipe_of(SMALL | settings)([f"class {n}" for n in range(num_classes)])


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_variable_has_one_place(settings):
    detector = build(**settings)
    found = places(detector)
    assert len(found) == len(detector.variables)
    assert {id(place.variable) for place in found.values()} == {id(value) for value in detector.variables}
    assert all(name == place.name for name, place in found.items())


def test_names_say_what_a_variable_is():
    detector = build(**VARIANTS["group"] | VARIANTS["deformable"] | {"heads.masks.stages": (1, 3)})
    found = places(detector)
    layer = detector.backbone.get_layer
    head, masks = detector.heads.stages[1].head, detector.heads.masks.heads
    expected = {
        "backbone.stem.conv1.kernel": layer("stem_conv1").kernel,
        "backbone.stem.conv1.norm.beta": layer("stem_conv1_norm").beta,
        "backbone.res2.0.shortcut.norm.gamma": layer("res2_0_shortcut_norm").gamma,
        "backbone.res3.0.conv2.kernel": layer("res3_0_conv2").kernel,
        "backbone.res3.0.conv2.offset.kernel": layer("res3_0_conv2").offset.kernel,
        "backbone.res5.0.conv2.offset.bias": layer("res5_0_conv2").offset.bias,
        "fpn.lateral3.kernel": detector.neck.laterals[1].kernel,
        "fpn.output5.norm.gamma": detector.neck.norms[3][1].gamma,
        "rpn.hidden.bias": detector.proposals.hidden.bias,
        "rpn.objectness.kernel": detector.proposals.objectness.kernel,
        "rpn.offsets.kernel": detector.proposals.offsets.kernel,
        "head2.conv2.kernel": head.convs[1].kernel,
        "head2.conv1.norm.gamma": head.norms[0].gamma,
        "head2.fc1.kernel": head.dense[0].kernel,
        "head2.classifier.bias": head.classifier.bias,
        "head2.regressor.kernel": head.regressor.kernel,
        "mask1.conv4.norm.beta": masks[0].norms[3].beta,
        "mask3.deconv.kernel": masks[1].deconv.kernel,
        "mask3.predictor.bias": masks[1].predictor.bias,
    }
    for name, variable in expected.items():
        assert found[name].variable is variable, name


def test_kinds():
    found = places(build(**{"heads.masks.stages": (1,), "heads.masks.head.channels": 8}))
    kinds = {
        "backbone.res4.0.conv1.kernel": "conv",
        "backbone.res4.0.conv1.norm.moving_mean": "vector",
        "rpn.objectness.bias": "vector",
        "head1.fc1.kernel": "first_dense",
        "head1.fc2.kernel": "dense",
        "head3.classifier.kernel": "dense",
        "mask1.deconv.kernel": "deconv",
        "mask1.predictor.kernel": "conv",
    }
    assert {name: found[name].kind for name in kinds} == kinds
    # Without fully connected layers the classifier is the layer behind the pooling.
    assert places(build(**{"heads.head.num_fcs": 0}))["head1.classifier.kernel"].kind == "first_dense"


@pytest.mark.parametrize("agnostic", [True, False])
def test_what_depends_on_the_classes_is_what_changes_its_shape_with_their_number(agnostic):
    settings = {
        "heads.head.class_agnostic": agnostic,
        "heads.masks.stages": (1,),
        "heads.masks.head.channels": 8,
        "heads.masks.head.class_agnostic": agnostic,
    }
    few, many = (places(build(number, **settings)) for number in (3, 5))
    changed = {name for name, place in few.items() if place.shape != many[name].shape}
    assert {name for name, place in few.items() if place.class_dependent} == changed
    assert len(changed) == (6 if agnostic else 14)


def test_backbones():
    resnet = ResNet(26, width=0.0625)
    assert len(backbone_places(resnet)) == len(resnet.variables)
    assert backbone_places(resnet)["backbone.res5.1.conv3.kernel"].variable is (
        resnet.get_layer("res5_1_conv3").kernel
    )
    vgg = VGG16(width=0.0625)
    found = backbone_places(vgg)
    assert len(found) == len(vgg.variables) == 26
    assert found["backbone.conv5_3.bias"].variable is vgg.get_layer("conv5_3").bias
    alexnet = AlexNet((2, 4, 4, 4, 4))
    found = backbone_places(alexnet)
    assert len(found) == len(alexnet.variables) == 10
    assert found["backbone.conv2.kernel"].variable is alexnet.get_layer("conv2").kernel
    assert found["backbone.conv2.kernel"].shape == (5, 5, 1, 4)


@of_kind("backbone")
def own_backbone(name="backbone"):
    """A network of the user's: a layer with a name of its own, some without, and a model inside the model."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", name="stem")(images)
    inner = keras.Input((None, None, 4))
    block = keras.Model(inner, keras.layers.Conv2D(4, 1, name="stem")(inner), name="block")
    x = keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    c3 = block(keras.layers.BatchNormalization()(x))
    c4 = keras.layers.MaxPooling2D()(c3)
    return keras.Model(images, {"C3": c3, "C4": c4, "C5": keras.layers.MaxPooling2D()(c4)}, name=name)


@of_kind("backbone")
def mobile_net(name="backbone"):
    network = keras.applications.MobileNetV2((None, None, 3), alpha=0.35, include_top=False, weights=None)
    ends = {"C3": "block_6_expand_relu", "C4": "block_13_expand_relu", "C5": "out_relu"}
    outputs = {level: network.get_layer(layer).output for level, layer in ends.items()}
    return keras.Model(network.inputs, outputs, name=name)


def on(backbone, class_names):
    """A detector on a backbone that names no layers."""
    recipe = cascade_rcnn_fpn.replace(
        {
            "backbone": part(backbone),
            "neck.channels": 8,
            "heads.head.units": 8,
            "proposals.strides": (8, 16, 32, 64),
            "proposals.anchor_sizes": (16, 32, 64, 128),
            "heads.pooling.strides": (8, 16, 32),
        }
    )
    return recipe(class_names)


@pytest.mark.parametrize("backbone", [own_backbone, mobile_net])
def test_a_backbone_without_names_has_those_of_keras(backbone):
    old, new = on(backbone, ("a", "b")), on(backbone, ("a", "b", "c"))
    found = places(old)
    assert {id(place.variable) for place in found.values()} == {id(value) for value in old.variables}
    assert list(found) == list(places(new))
    expected = {
        own_backbone: (
            "stem.kernel",
            "depthwise_conv2d1.kernel",
            "batch_normalization2.gamma",
            "stem.kernel#2",
        ),
        mobile_net: ("Conv1.kernel", "bn_Conv1.moving_mean", "block_13_depthwise.kernel"),
    }
    assert {f"backbone.{name}" for name in expected[backbone]} <= found.keys()


def test_a_backbone_without_names_is_refused_by_imports():
    with pytest.raises(TypeError, match="the part Functional, whose weights have no names"):
        backbone_places(own_backbone())


def test_shapes_are_those_of_the_values():
    for place in places(build()).values():
        assert place.shape == np.asarray(place.variable).shape
