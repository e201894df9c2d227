"""The networks of MS-CNN see images as the authors' do (run_cascademscnn.m of each data set)."""

from __future__ import annotations

import pytest

from cascade_tf.models import cascade_mscnn_citypersons, cascade_mscnn_kitti, cascade_mscnn_widerface
from cascade_tf.ops.resize import network_size


@pytest.mark.parametrize(
    ("recipe", "image", "seen"),
    [
        (cascade_mscnn_kitti, (375, 1242), (576, 1920)),
        (cascade_mscnn_citypersons, (1024, 2048), (1344, 2688)),
        (cascade_mscnn_widerface, (1391, 1020), (1376, 1024)),
    ],
    ids=["kitti", "citypersons", "widerface"],
)
def test_size_of_an_image(recipe, image, seen):
    sides = recipe.value("short_side"), recipe.value("max_side")
    multiple = recipe.value("round_to") if recipe.value("round_sides") else None
    found = network_size(*image, *sides, multiple, resize=recipe.value("resize"))
    assert tuple(int(side) for side in found) == seen
