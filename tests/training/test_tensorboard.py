"""Event files as TensorBoard would read them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.training.run_log import RunLog
from cascade_tf.training.tensorboard import EventWriter
from cascade_tf.training.window import Summary


def read_events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    return [(event.step, value) for event in events for value in event.summary.value]


def test_scalars_come_back(tmp_path):
    writer = EventWriter(tmp_path)
    for step, value in ((1, 0.5), (7, -2.25)):
        writer.scalar("losses/total", value, step)
    writer.close()
    found = read_events(tmp_path)
    assert [(step, v.tag, float(tf.make_ndarray(v.tensor))) for step, v in found] == [
        (1, "losses/total", 0.5),
        (7, "losses/total", -2.25),
    ]
    assert {v.metadata.plugin_data.plugin_name for _, v in found} == {"scalars"}


def test_images_come_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, [5, 9, 3]).astype(np.uint8)
    writer = EventWriter(tmp_path)
    writer.image("samples/0", image, 3)
    writer.close()
    ((step, value),) = read_events(tmp_path)
    width, height, content = tf.make_ndarray(value.tensor)
    assert (step, value.tag, int(width), int(height)) == (3, "samples/0", 9, 5)
    assert value.metadata.plugin_data.plugin_name == "images"
    np.testing.assert_array_equal(tf.io.decode_png(content), image)


def test_a_picture_of_floats_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image 'x': got float64 \(4, 4, 3\), expected uint8"):
        EventWriter(tmp_path).image("x", np.zeros([4, 4, 3]), 0)


def test_a_run_writes_its_curves(tmp_path):
    summary = Summary({"total": 2.0, "rpn_box": 1.0}, {"stage1_iou_after": float("nan")}, 0.02, 3.0, 0)
    with RunLog(tmp_path) as log:
        log.training(20, summary, 12.5)
        log.evaluation(20, {"AP": 0.4})
        log.pictures(20, {"0": np.zeros([4, 6, 3], np.uint8)})
    found = {v.tag: v for _, v in read_events(tmp_path / "events")}
    numbers = {
        tag: float(tf.make_ndarray(v.tensor)) for tag, v in found.items() if not tag.startswith("samples")
    }
    assert numbers == {
        "losses/total": 2.0,
        "losses/rpn_box": 1.0,
        "training/learning_rate": pytest.approx(0.02),
        "training/gradient_norm": 3.0,
        "training/images_per_second": 12.5,
        "evaluation/AP": pytest.approx(0.4),
    }
    assert "samples/0" in found
