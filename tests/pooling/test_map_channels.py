"""Pooling from several maps has the channels of those that it reads, whatever else comes."""

from __future__ import annotations

import pytest

from cascade_tf.pooling import GridROIAlign, ROIAlign

SHAPES = {"C2": (1, 64, 64, 3), "P2": (1, 64, 64, 8), "P3": (1, 32, 32, 8), "P4": (1, 16, 16, 5)}


def test_the_channels_are_those_of_the_levels():
    layer = GridROIAlign(levels=("P2", "P3"), strides=(4, 8))
    assert layer.pooled_shape(SHAPES) == (None, None, 7, 7, 8)
    assert GridROIAlign(strides=(4,)).pooled_shape(SHAPES) == (None, None, 7, 7, 3)
    assert ROIAlign(strides=(4,)).pooled_shape(SHAPES) == (None, None, 7, 7, 3)
    # In the order of their names, in which they are pooled, and not in that of the mapping.
    assert ROIAlign(strides=(4,)).pooled_shape(dict(reversed(SHAPES.items()))) == (None, None, 7, 7, 3)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            GridROIAlign(levels=("P3", "P4"), strides=(8, 16)),
            r"GridROIAlign: got maps of different channels \(P3: 8, P4: 5\)",
        ),
        (ROIAlign(strides=(4, 8)), r"ROIAlign: got maps of different channels \(C2: 3, P2: 8\)"),
        (GridROIAlign(levels=("P7",), strides=(128,)), "got no maps P7, expected some of C2, P2, P3, P4"),
    ],
)
def test_maps_that_do_not_fit_are_named(layer, message):
    with pytest.raises(ValueError, match=message):
        layer.pooled_shape(SHAPES)
