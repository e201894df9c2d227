"""Detections in the forms of other tools, against the numbers of two made-up records."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cascade_tf.prediction.inference import ImageDetections

BOXES = np.array([[1.0, 2.0, 4.0, 6.0], [0.0, 0.0, 2.0, 2.0]], np.float32)
MASKS = np.stack([np.ones((4, 4)), np.tile([1.0, 1.0, 0.0, 0.0], (4, 1))]).astype(np.float32)
RECORD = ImageDetections(
    boxes=BOXES,
    scores=np.array([0.75, 0.5], np.float32),
    classes=np.array([3, 1], np.int32),
    category_ids=np.array([90, 7], np.int64),
    names=("disc", "cell"),
    image_id=12,
    size=(8, 10),
    path="photos/a.jpg",
)
NOTHING = ImageDetections(
    boxes=np.zeros((0, 4), np.float32),
    scores=np.zeros(0, np.float32),
    classes=np.zeros(0, np.int32),
    category_ids=np.zeros(0, np.int64),
    names=(),
    image_id=0,
    size=(8, 10),
)


def test_the_table_has_a_row_per_detection():
    assert RECORD.to_table() == {
        "image_id": [12, 12],
        "path": ["photos/a.jpg", "photos/a.jpg"],
        "name": ["disc", "cell"],
        "category_id": [90, 7],
        "class": [3, 1],
        "score": [0.75, 0.5],
        "x1": [1.0, 0.0],
        "y1": [2.0, 0.0],
        "x2": [4.0, 2.0],
        "y2": [6.0, 2.0],
    }
    assert json.loads(json.dumps(RECORD.to_table())) == RECORD.to_table()
    assert NOTHING.to_table() == {name: [] for name in RECORD.to_table()}


def test_coco_records():
    first, second = RECORD.to_coco()
    assert first == {"image_id": 12, "category_id": 90, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.75}
    assert second["bbox"] == [0.0, 0.0, 2.0, 2.0]
    assert NOTHING.to_coco() == []
    [masked, _] = RECORD._replace(masks=MASKS).to_coco()
    assert masked["segmentation"]["size"] == [8, 10]


@dataclass
class StandIn:
    """The fields of ``supervision.Detections``, checked as that class checks them."""

    xyxy: np.ndarray
    mask: np.ndarray | None = None
    confidence: np.ndarray | None = None
    class_id: np.ndarray | None = None
    tracker_id: np.ndarray | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        count = len(self.xyxy)
        assert self.xyxy.shape == (count, 4)
        for value in (self.confidence, self.class_id, *self.data.values()):
            assert isinstance(value, np.ndarray)
            assert value.shape == (count,)
        assert self.mask is None or (self.mask.dtype == bool and self.mask.shape[:1] == (count,))


@pytest.fixture
def supervision(monkeypatch):
    module = types.ModuleType("supervision")
    module.Detections = StandIn
    monkeypatch.setitem(sys.modules, "supervision", module)


def test_supervision(supervision):
    made = RECORD.to_supervision()
    np.testing.assert_array_equal(made.xyxy, BOXES)
    np.testing.assert_array_equal(made.confidence, np.array([0.75, 0.5], np.float32))
    # Positions in the detector's class names, from 0.
    np.testing.assert_array_equal(made.class_id, [2, 0])
    assert made.class_id.dtype.kind == "i"
    assert made.data["class_name"].tolist() == ["disc", "cell"]
    assert made.data["category_id"].tolist() == [90, 7]
    assert made.mask is None
    assert len(NOTHING.to_supervision().xyxy) == 0


@pytest.mark.parametrize("encoded", [False, True])
def test_supervision_with_masks(supervision, encoded):
    record = RECORD._replace(masks=MASKS)
    mask = (record.encode() if encoded else record).to_supervision().mask
    expected = np.zeros((2, 8, 10), bool)
    expected[0, 2:6, 1:4] = True
    expected[1, 0:2, 0:1] = True
    np.testing.assert_array_equal(mask, expected)


def test_without_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"^to_supervision: got no package supervision; pip "):
        RECORD.to_supervision()
