"""Parts: constructors with settings that are called later."""

from __future__ import annotations

import re

import pytest

from cascade_tf.backbones import VGG16, ResNet
from cascade_tf.heads import BoxHead, CascadeHeads, MaskHead, cascade, mask_heads
from cascade_tf.models import cascade_mask_rcnn_fpn, cascade_rcnn_fpn, faster_rcnn_fpn, two_stage
from cascade_tf.necks import FPN
from cascade_tf.parts import Part, choose, constructor_name, constructors, expand, find_part, part


def test_a_part_is_called_with_what_its_owner_knows():
    head = part(BoxHead, units=8)(3, name="mine")
    assert isinstance(head, BoxHead)
    assert (head.num_classes, head.units, head.name) == (3, 8, "mine")


def test_dotted_settings_of_a_call_reach_the_parts_inside():
    heads = part(cascade, ious=(0.5,))(2, **{"head.units": 8, "pooling.output_size": 5})
    assert isinstance(heads, CascadeHeads)
    assert [stage.head.units for stage in heads.stages] == [8]
    assert heads.pooling.output_size == 5


def test_replacing_leaves_the_part_as_it_was():
    before = part(cascade)
    after = before.replace({"head.units": 8, "ious": (0.5, 0.7)})
    assert before == part(cascade)
    assert after == part(cascade, head=part(BoxHead, units=8), ious=(0.5, 0.7))
    assert before != after


def test_parts_are_equal_where_they_make_the_same():
    assert part(BoxHead) == part(BoxHead, units=1024)
    assert part(BoxHead) != part(BoxHead, units=8)
    assert part(BoxHead) != part(MaskHead)
    assert len({part(BoxHead), part(BoxHead, units=1024)}) == 1


def test_settings_are_arguments_with_defaults_but_for_what_the_owner_decides():
    assert "num_classes" not in part(BoxHead).settings
    assert "category_ids" not in part(two_stage).settings
    assert "name" not in part(ResNet).settings
    assert part(BoxHead, units=8).settings["units"] == 8
    assert part(BoxHead).settings["units"] == 1024


def test_values_by_dotted_names():
    assert cascade_mask_rcnn_fpn.value("heads.masks.pooling.output_size") == 14
    assert cascade_rcnn_fpn.value("heads.masks") is None
    assert cascade_rcnn_fpn.value("heads.masks.pooling.output_size") is None


def test_every_name_has_a_value():
    names = cascade_mask_rcnn_fpn.names()
    assert len(names) == len(set(names))
    assert {"backbone", "backbone.depth", "heads.masks.head.channels", "short_side"} <= set(names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("backbone.dept", "unknown setting 'backbone.dept'; did you mean 'backbone.depth'?"),
        ("depth", "unknown setting 'depth'; did you mean 'backbone.depth'?"),
        ("heads.head.unit", "unknown setting 'heads.head.unit'; did you mean 'heads.head.units'?"),
        ("heads.masks.stages", "setting 'heads.masks.stages': there is no heads.masks, choose a part for it"),
        ("short_side.x", "unknown setting 'short_side.x'"),
        ("*.unit", "unknown setting '*.unit'"),
    ],
)
def test_unknown_settings_say_what_was_meant(name, message):
    with pytest.raises(TypeError) as error:
        cascade_rcnn_fpn.replace({name: 3})
    assert message in str(error.value)
    with pytest.raises(TypeError):
        cascade_rcnn_fpn(("a",), **{name: 3})


def test_a_star_matches_any_number_of_parts():
    names = ["a", "b.a", "b.c.a", "b.aa"]
    assert expand("*.a", names) == ["a", "b.a", "b.c.a"]
    assert expand("b.*.a", names) == ["b.a", "b.c.a"]
    assert expand("b.a", names) == ["b.a"]
    assert expand("*.x", names) == ["*.x"]
    changed = cascade_mask_rcnn_fpn.replace({"heads.*.canonical_size": 112.0})
    sizes = {name: value for name, value in changed.walk() if name.endswith("canonical_size")}
    assert sizes == {"heads.pooling.canonical_size": 112.0, "heads.masks.pooling.canonical_size": 112.0}


def test_names_of_parts_lead_back_to_them():
    for constructor in constructors().values():
        assert find_part(constructor_name(Part(constructor))).constructor is constructor


@pytest.mark.parametrize(
    "name", ["os:system", "cascade_tf.parts:part", "cascade_tf.layers:Layer", "cascade_tf:x", "", ":"]
)
def test_nothing_else_is_found(name):
    with pytest.raises(ValueError, match="expected a public part of cascade_tf"):
        find_part(name)


def test_a_part_stands_in_for_another_of_its_kind():
    assert choose("vgg16", "backbone") == part(VGG16)
    assert choose("VGG_16", None) == part(VGG16)
    assert choose("mask_heads", None) == part(mask_heads)
    with pytest.raises(
        ValueError, match="got 'fpn', expected a part of the kind 'backbone': AlexNet, ResNet, VGG16"
    ):
        choose("fpn", "backbone")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "backbone",
            part(FPN),
            "'backbone': got 'FPN' of the kind 'neck', expected a part of the kind 'backb",
        ),
        ("heads.head", part(MaskHead), "'heads.head': got 'MaskHead' of the kind"),
        ("heads.masks", part(BoxHead), "'heads.masks': got 'BoxHead' of the kind"),
    ],
)
def test_a_part_of_another_kind_is_refused(name, value, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        cascade_rcnn_fpn.replace({name: value})
    assert "\n" not in str(error.value)


def test_a_part_without_a_kind_is_taken_for_any():
    def mine():
        """Somebody's own function."""

    own = cascade_rcnn_fpn.replace({"backbone": part(mine)})
    assert own.value("backbone") == part(mine)
    assert own.replace({"backbone": part(ResNet), "neck": None}).value("neck") is None


def test_every_constructor_has_a_kind_and_a_name_of_its_own():
    found = constructors()
    assert {"ResNet", "FPN", "RegionProposal", "ROIAlign", "BoxHead", "MaskHead", "cascade"} <= set(found)
    assert all(constructor.kind for constructor in found.values())
    assert set(constructors("backbone")) == {"AlexNet", "ResNet", "VGG16"}


def test_recipes_differ_in_their_heads_only():
    for recipe in (faster_rcnn_fpn, cascade_mask_rcnn_fpn):
        assert recipe.replace({"heads": cascade_rcnn_fpn.value("heads")}) == cascade_rcnn_fpn
    assert faster_rcnn_fpn.value("heads.ious") == (0.5,)
    assert not faster_rcnn_fpn.value("heads.head.class_agnostic")
