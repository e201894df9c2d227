from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from cascade_tf.weights import importing
from cascade_tf.weights.families.detectron2 import DETECTRON2
from cascade_tf.weights.families.mmdetection import MMDETECTION
from cascade_tf.weights.importing import describe_checkpoint
from cascade_tf.weights.network_size import LEAST_SHARE, check_size, kernel_elements
from cascade_tf.weights.places import places
from cascade_tf.weights.recipe_arguments import recipe_of
from tests.weights import synthetic

SMALL = replace(synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), **synthetic.SMALL)
# Kernels of a few channels, left out of the sum.
SMALL_KERNELS = re.compile(r"rpn\.(objectness|offsets)\.kernel|.*\.offset\.kernel|.*\.(bias|norm\.\w+)")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"groups": 2, "inner": 8, "deformable": (3, 4)},
        {"convs": 3, "fcs": 1},
        {"mask_convs": 0, "stages": 1, "agnostic": False},
        {"mask_heads": 0},
        {"mask_agnostic": True, "blocks": synthetic.R50_BLOCKS},
    ],
)
def test_the_sum_is_that_of_the_built_detector(changes):
    given = synthetic.checkpoint(synthetic.blank(synthetic.detectron2_shapes(replace(SMALL, **changes))))
    settings = DETECTRON2.settings(given)
    detector = recipe_of(settings)(["a", "b"])
    kernels = (place for name, place in places(detector).items() if not SMALL_KERNELS.fullmatch(name))
    assert kernel_elements(settings, 2) == sum(math.prod(place.shape) for place in kernels)


@pytest.mark.parametrize("classes", [1, 80, 1230])
@pytest.mark.parametrize("agnostic", [True, False])
def test_whole_checkpoints_hold_what_they_need(classes, agnostic):
    architecture = replace(synthetic.CASCADE_THREE_MASKS, classes=classes, agnostic=agnostic)
    given = synthetic.checkpoint(synthetic.blank(synthetic.mmdetection_shapes(architecture)))
    settings = MMDETECTION.settings(given)
    check_size(given, settings, classes)
    held = sum(array.size for array in given.arrays.values())
    assert LEAST_SHARE < 0.99 < kernel_elements(settings, classes) / held <= 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {
            "backbone.bottom_up.res2.0.conv3.weight": (10**6, 1, 1, 1),
            "backbone.bottom_up.res2.0.conv2.weight": (4, 4, 1, 1),
        },
        {"backbone.bottom_up.res2.0.conv2.weight": (10**5, 0, 3, 3)},
        {"backbone.bottom_up.stem.conv1.weight": (10**8, 0, 7, 7)},
        {"backbone.fpn_lateral2.weight": (10**5, 0, 1, 1)},
        {f"roi_heads.box_predictor.{stage}.cls_score.weight": (10**9, 0) for stage in range(3)},
        {"roi_heads.box_head.0.fc1.weight": (0, 16 * 10**12)},
        {"roi_heads.box_head.0.fc1.weight": (10**9, 0)},
        {"roi_heads.mask_head.deconv.weight": (0, 10**6, 2, 2)},
        {f"roi_heads.box_head.0.conv{number}.weight": (16, 0, 3, 3) for number in range(1, 300)},
    ],
    ids=["outputs", "inner", "stem", "pyramid", "classes", "pooled", "units", "masks", "convolutions"],
)
def test_a_small_file_cannot_ask_for_a_large_network(changes, monkeypatch):
    shapes = synthetic.detectron2_shapes(SMALL) | changes
    given = synthetic.checkpoint({name: np.empty(shape, np.float32) for name, shape in shapes.items()})
    monkeypatch.setattr(importing, "read_checkpoint", lambda path: given)
    with pytest.raises(ValueError, match=r"model\.pth \(detectron2\): got ") as error:
        describe_checkpoint("model.pth")
    held = sum(array.size for array in given.arrays.values())
    found = re.search(r"got (\d+) numbers in all tensors, expected about (\d+)", str(error.value))
    # Some shapes make no sense by themselves.
    assert found is None or (int(found[1]) == held and int(found[2]) > 2 * held)
