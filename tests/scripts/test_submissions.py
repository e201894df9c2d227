"""evaluate.py and predict.py write what the servers of benchmarks take, also for images without labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.formats.voc import read_results


@pytest.fixture
def unlabelled(drawn, tmp_path) -> Path:
    """The drawn scenes to measure on as COCO's test images: pictures, classes and no objects."""
    content = json.loads((drawn / "instances_val.json").read_text())
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    del content["annotations"]
    (folder / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(content))
    shutil.copytree(drawn / "images", folder / "test2017")
    return folder


@pytest.fixture
def lenient():
    """A detector that has learnt nothing has no score to speak of."""
    return "--set=model.output.score_threshold=0.001"


def results(folder: Path) -> list[dict]:
    return json.loads((folder / "detections_test-dev2017_mine_results.json").read_text())


def test_a_test_set_is_not_measured_but_submitted(call, workdir, unlabelled, lenient, tmp_path):
    flags = (f"--workdir={workdir}", f"--dataset_dir={unlabelled}", "--split=test-dev")
    said = call("evaluate", *flags)
    assert "has no labels, expected some to measure by; --submission DIR writes what is" in said.complaint
    written = (f"--submission={tmp_path / 'sent'}", "--submission_name=mine")
    said = call("evaluate", *flags, *written, lenient)
    assert said.status == 0, said.err
    content = results(tmp_path / "sent")
    assert f"The submission with {len(content):,} detections in 4 images is {tmp_path}/sent/" in said.out
    assert "COCO test-dev2017 has 20,288 images, and 4 are here" in said.err
    assert not (workdir / "evaluation").exists()
    # predict.py's own file keeps to its threshold, the submission has everything.
    written = (f"--submission={tmp_path / 'predicted'}", "--submission_name=mine", "--nopictures")
    said = call("predict", *flags, *written, lenient, f"--output={tmp_path / 'seen'}")
    assert said.status == 0, said.err
    predicted = results(tmp_path / "predicted")
    assert len(predicted) == len(content) > 0
    for one, other in zip(predicted, content, strict=True):
        assert one["image_id"] == other["image_id"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.05)
    seen = json.loads((tmp_path / "seen" / "detections.json").read_text())["annotations"]
    assert len(seen) == sum(one["score"] > 0.5 for one in predicted)


def test_a_split_with_labels_is_measured_and_submitted(call, workdir, voc, lenient, tmp_path):
    flags = (f"--workdir={workdir}", f"--dataset_dir={voc}", f"--submission={tmp_path / 'sent'}", lenient)
    said = call("evaluate", *flags)
    assert said.status == 0, said.err
    assert said.out.startswith("PASCAL VOC 2010")
    folder = tmp_path / "sent" / "results" / "voc" / "Main"
    split, found = read_results(folder)
    assert split == "val"
    assert len(found.scores) > 0
    numbers = json.loads((workdir / "evaluation" / "val.json").read_text())["benchmark"]["numbers"]
    file = tmp_path / "measured.json"
    said = call(
        "measure",
        "--protocol=voc2010",
        f"--ground_truth={voc}",
        f"--detections={folder}",
        f"--json={file}",
    )
    assert said.status == 0, said.err
    measured = json.loads(file.read_text())
    assert set(measured) > {"mAP"}
    assert measured == {name: numbers[name] for name in measured}


def test_what_cannot_be_submitted_is_told_before_anything_is_detected(call, workdir, unlabelled, tmp_path):
    flags = (f"--workdir={workdir}", f"--dataset_dir={unlabelled}", "--split=test-dev")
    sent = f"--submission={tmp_path / 'sent'}"
    said = call("evaluate", *flags, sent, "--submission_name=a/b")
    assert "name: got 'a/b', expected letters, digits" in said.complaint
    (tmp_path / "taken").write_text("")
    said = call("evaluate", *flags, f"--submission={tmp_path / 'taken'}")
    assert "submission folder" in said.complaint
    pictures = str(unlabelled / "test2017")
    said = call("predict", f"--workdir={workdir}", f"--output={tmp_path / 'seen'}", sent, pictures)
    assert "got inputs and --submission, expected the images of --dataset_dir alone" in said.complaint


def test_proposals_of_a_test_set_are_written_and_not_measured(call, workdir, unlabelled, tmp_path):
    flags = (f"--workdir={workdir}", f"--dataset_dir={unlabelled}", "--split=test-dev")
    said = call("propose", *flags, f"--output={tmp_path / 'proposals.npz'}")
    assert said.status == 0, said.err
    assert "has no labels, the recall cannot be measured" in said.err
    assert (tmp_path / "proposals.npz").is_file()
    assert not (tmp_path / "proposals.json").exists()
