"""Which stages there are to detect with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cascade_tf.analysis.crossed import detect_on_boxes
from tests.heads.examples import build_heads


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"head": 4}, r"head: got 4, expected a stage of the detector, 1\.\.3"),
        ({"head": 1, "stage": 0}, r"stage: got 0, expected a stage of the detector, 1\.\.3"),
    ],
)
def test_stages_that_there_are(how, message):
    with pytest.raises(ValueError, match=message):
        detect_on_boxes(SimpleNamespace(heads=build_heads()), [], **how)


def test_both_detectors_see_images_in_one_size():
    one, other = (
        SimpleNamespace(heads=build_heads(), short_side=side, max_side=128, resize="shorter_side")
        for side in (96, 64)
    )
    with pytest.raises(ValueError, match="short_side of the detector of the boxes: got 64, expected that of"):
        detect_on_boxes(one, [], head=1, source=other)
