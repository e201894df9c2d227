"""Maps are [B, h, w, C]; whoever has set Keras to another order is told so."""

from __future__ import annotations

import keras
import pytest

from cascade_tf.layers import DilatedConv2D, GroupedConv2D
from cascade_tf.pooling import ROIAlign
from tests.conformance.catalogue import LAYERS


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


# Keras's own takes the axis as an argument.
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "GroupNormalization"])
def test_keras_set_to_channels_first(name, channels_first):
    with pytest.raises(
        ValueError, match=r"got 'channels_first', expected 'channels_last': maps are \[B, h, w"
    ):
        LAYERS[name].make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ROIAlign(data_format="channels_first"),
        lambda: DilatedConv2D(4, 3, data_format="channels_first").build((None, 4, 8, 8)),
        lambda: GroupedConv2D(4, 3, groups=2, data_format="channels_first").build((None, 4, 8, 8)),
    ],
)
def test_a_layer_asked_for_channels_first(make):
    with pytest.raises(ValueError, match=r"^data_format: got 'channels_first', expected 'channels_last'"):
        make()
