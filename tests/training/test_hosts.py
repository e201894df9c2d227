"""Several processes train as one device does with all their images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.training.run_log import read_metrics
from tests.training import tiny_run

# Gradients are added up in another order, over ten steps. Where that moves a box across the border of a
# mask's pixel, the pixel's target changes: for a step more than rounding, and less than any image.
TOLERANCE = 1e-5
OF_GRADIENTS = 1e-4
OF_LOSSES = 1e-4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of which every third has no objects."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=10, num_val=3, image_size=(64, 96), seed=1)
    path = folder / "instances_train.json"
    content = json.loads(path.read_text())
    empty = {image["id"] for image in content["images"][::3]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in empty]
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory, data):
    """The run of one device."""
    trainer = tiny_run.make_trainer(tmp_path_factory.mktemp("alone"), data)
    assert trainer.run().finished
    return trainer


def run_hosts(number, workdir, data):
    spec = json.dumps({"workdir": str(workdir), "data": str(data)})
    hosts = tiny_run.start_hosts(number, [tiny_run.__file__, spec])
    outputs = [host.communicate(timeout=400)[0] for host in hosts]
    for host, output in zip(hosts, outputs, strict=True):
        assert host.returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.long)])
def test_hosts_end_with_the_weights_of_one_device(number, data, alone, tmp_path):
    run_hosts(number, tmp_path, data)
    # Reading the checkpoint needs no steps.
    joint = tiny_run.make_trainer(tmp_path, data)
    assert joint.step == tiny_run.STEPS
    expected, found = tiny_run.state_of(alone), tiny_run.state_of(joint)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = OF_GRADIENTS if name.startswith("velocity/") else TOLERANCE
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    # One log, written once.
    for a, b in zip(read_metrics(alone.workdir), read_metrics(tmp_path), strict=True):
        assert b["step"] == a["step"]
        assert b.get("losses", {}) == pytest.approx(a.get("losses", {}), rel=OF_LOSSES)

    # Each host detected in a part, and has what both have found.
    mine, other = ((tmp_path / f"detections{index}.json").read_text() for index in (0, 1))
    assert mine == other
    wanted = json.loads((alone.workdir / "detections0.json").read_text())
    for a, b in zip(wanted, json.loads(mine), strict=True):
        assert (b["image_id"], b["category_id"]) == (a["image_id"], a["category_id"])
        assert b["score"] == pytest.approx(a["score"], rel=OF_LOSSES)
        assert b["bbox"] == pytest.approx(a["bbox"], rel=OF_LOSSES, abs=0.01)


def test_some_images_have_no_objects(data):
    counts = [len(e.boxes) for e in read_dataset_dir(data, "train", segmentations=True).examples]
    assert 0 in counts
    assert max(counts) > 0
