"""Every recipe has all properties of the catalogue, or a reason why another one's are its own."""

from __future__ import annotations

import pytest

from cascade_tf import models
from cascade_tf.parts import Part
from tests.conformance.catalogue import DETECTORS

# The recipes of the same parts, but for the number of stages and what the tables set for a baseline.
BASELINES = {
    "faster_rcnn_alexnet": "cascade_rcnn_alexnet",
    "faster_rcnn_fpn_plus": "cascade_rcnn_fpn_plus",
    "faster_rcnn_vgg16": "cascade_rcnn_vgg16",
    "mask_rcnn_fpn": "cascade_mask_rcnn_fpn",
    "mscnn_citypersons": "cascade_mscnn_kitti",
    "mscnn_kitti": "cascade_mscnn_kitti",
    "mscnn_widerface": "cascade_mscnn_kitti",
    "rfcn": "cascade_rfcn",
}
# Of the same parts as another's cascade, but for the sizes of boxes and what these are pooled by.
OTHER_SIZES = {"cascade_mscnn_citypersons", "cascade_mscnn_widerface"}
# Their batches hold proposals, which the catalogue's have not: tests/models/test_proposals.py has them.
ON_GIVEN_PROPOSALS = {"fast_cascade_rcnn_fpn", "fast_rcnn_fpn"}


def test_every_recipe_is_in_the_catalogue_or_like_one_that_is():
    recipes = {name for name in models.__all__ if isinstance(getattr(models, name), Part)}
    assert recipes == DETECTORS.keys() | BASELINES.keys() | OTHER_SIZES | ON_GIVEN_PROPOSALS
    assert set(BASELINES.values()) <= DETECTORS.keys()


@pytest.mark.parametrize(("baseline", "cascade"), BASELINES.items())
def test_a_baseline_has_the_parts_of_its_cascade(baseline, cascade):
    of_baseline, of_cascade = (
        {path: value.constructor for path, value in getattr(models, name).walk() if isinstance(value, Part)}
        for name in (baseline, cascade)
    )
    assert of_baseline == of_cascade
    assert len(getattr(models, baseline).value("heads.ious")) == 1


@pytest.mark.parametrize("recipe", sorted(ON_GIVEN_PROPOSALS))
def test_the_others_take_proposals(recipe):
    assert getattr(models, recipe).value("proposals").constructor.takes_given
