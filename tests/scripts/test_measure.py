"""measure.py measures detections from files: numbers, the file that it writes, and errors in one line."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.formats.widerface import write_detections
from cascade_tf.proposal_files import write_proposals
from tests.formats.widerface_files import write_ground_truth

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PERSON = {"category_id": 1, "bbox": [0, 0, 40, 100]}


@pytest.fixture
def write(tmp_path):
    def save(name, content):
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return save


@pytest.fixture
def coco(write):
    """Two images with a large object each."""
    objects = [
        {"id": i, "image_id": i, "area": 10000.0, "bbox": [0, 0, 100, 100], "category_id": 5} for i in (1, 2)
    ]
    return write(
        "truth.json",
        {"images": [{"id": 1}, {"id": 2}], "annotations": objects, "categories": [{"id": 5, "name": "cat"}]},
    )


@pytest.fixture
def city(write):
    """A pedestrian that is found with an IoU of 0.6 and one that is not found, in two images."""
    people = [{**PERSON, "id": i, "image_id": i, "height": 100, "vis_ratio": 1.0} for i in (1, 2)]
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": people,
        "categories": [{"id": 1, "name": "pedestrian"}],
    }
    detections = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 24, 100], "score": 0.5}]
    return f"--ground_truth={write('gt.json', truth)}", f"--detections={write('dt.json', detections)}"


def test_citypersons(call, city, tmp_path):
    output = tmp_path / "out" / "numbers.json"
    said = call("measure", "--protocol=citypersons", *city, f"--json={output}")
    assert said.status == 0, said.err
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[:2] == [["MR/reasonable", "50.00"], ["MR/reasonable_small", "-"]]
    numbers = json.loads(output.read_text())
    assert numbers["MR/reasonable"] == pytest.approx(50.0)
    assert numbers["MR/heavy"] is None
    assert [name for name, _ in rows] == list(numbers)


def test_another_overlap(call, city):
    said = call("measure", "--protocol=citypersons", *city, "--iou=0.75")
    assert said.out.splitlines()[0].split() == ["MR/reasonable", "100.00"]


def test_widerface(call, tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    events = {
        "0--Parade": {"a": ([[0, 0, 9, 9], [50, 50, 9, 9]], {"easy": [1], "medium": [1, 2], "hard": [1, 2]})}
    }
    write_ground_truth(tmp_path, events, savemat)
    boxes = np.array([[0, 0, 9, 9]], np.float64)
    write_detections(tmp_path / "found", [("0--Parade", "a", boxes, np.ones(1))])
    arguments = f"--ground_truth={tmp_path}", f"--detections={tmp_path / 'found'}"
    said = call("measure", "--protocol=widerface", *arguments)
    assert said.status == 0, said.err
    assert [line.split() for line in said.out.splitlines()] == [
        ["AP/easy", "100.00"], ["AP/medium", "50.00"], ["AP/hard", "50.00"],
    ]  # fmt: skip


@pytest.fixture
def voc(tmp_path):
    """A dog that is found after a false one, and a difficult one."""
    kit, results = tmp_path / "VOC2007", tmp_path / "results"
    for folder in (kit / "ImageSets" / "Main", kit / "Annotations", results):
        folder.mkdir(parents=True)
    (kit / "ImageSets" / "Main" / "test.txt").write_text("000001\n")
    box = "<bndbox><xmin>{0}</xmin><ymin>1</ymin><xmax>{1}</xmax><ymax>50</ymax></bndbox>"
    objects = "".join(
        f"<object><name>dog</name><difficult>{difficult}</difficult>{box.format(left, left + 49)}</object>"
        for left, difficult in ((1, 0), (101, 1))
    )
    (kit / "Annotations" / "000001.xml").write_text(f"<annotation>{objects}</annotation>")
    lines = ["000001 0.9 201 1 250 50", "000001 0.8 101 1 150 50", "000001 0.7 1 1 40 50"]
    (results / "comp4_det_test_dog.txt").write_text("\n".join(lines))
    return f"--ground_truth={tmp_path}", f"--detections={results}"


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        (["--protocol=voc2007"], "mAP", 50.0),
        (["--protocol=voc2010"], "AP/dog", 50.0),
        (["--protocol=voc2010", "--iou=0.8"], "AP/dog", 0.0),
        # Seven of ten thresholds; the second detection is an error if its object counts, and finds it.
        (["--protocol=coco"], "AP", 35.0),
        (["--protocol=coco", "--nohonour_ignore"], "AP50", 100 * 2 / 3),
    ],
)
def test_voc(call, voc, tmp_path, arguments, name, expected):
    said = call("measure", *voc, *arguments, f"--json={tmp_path / 'numbers.json'}")
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "numbers.json").read_text())[name] == pytest.approx(expected)


@pytest.mark.parametrize(("rule", "expected"), [("2016", 50 / 11), ("2017", 100 / 11)])
def test_kitti(call, tmp_path, rule, expected):
    pose, space = "-1 -1 -10", "-1 -1 -1 -1000 -1000 -1000 -10"
    (tmp_path / "label_2").mkdir()
    (tmp_path / "label_2" / "000000.txt").write_text(f"Car 0 0 -10 0 0 80 50 {space}\n")
    (tmp_path / "data").mkdir()
    low = f"Car {pose} 200 0 280 30 {space} 0.9\n"
    (tmp_path / "data" / "000000.txt").write_text(f"{low}Car {pose} 0 0 80 50 {space} 0.5\n")
    output = tmp_path / "numbers.json"
    paths = f"--ground_truth={tmp_path}", f"--detections={tmp_path}", f"--json={output}"
    said = call("measure", "--protocol=kitti", *paths, f"--kitti_rule={rule}")
    assert said.status == 0, said.err
    numbers = json.loads(output.read_text())
    assert numbers["car/AP11/easy"] == pytest.approx(expected)
    assert numbers["cyclist/AP40/hard"] is None


def test_coco_boxes_and_masks(call, coco, write, tmp_path):
    record = {"image_id": 1, "category_id": 5, "bbox": [0, 0, 100, 100], "score": 0.5}
    mask = {"size": [100, 100], "counts": [0, 10000]}
    content = json.loads(coco.read_text())
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        image |= {"height": 100, "width": 100}
        annotation["segmentation"] = mask
    truth, output = write("masks.json", content), tmp_path / "numbers.json"
    half = 100 * 51 / 101
    without_box = {key: record[key] for key in record if key != "bbox"}
    for found, names in (
        (record, ("AP", "APl", "AP/cat")),
        (record | {"segmentation": mask}, ("AP", "mask_AP")),
        (without_box | {"segmentation": mask}, ("mask_AP",)),
    ):
        detections = write("found.json", [found])
        paths = f"--ground_truth={truth}", f"--detections={detections}", f"--json={output}"
        said = call("measure", "--protocol=coco", *paths)
        assert said.status == 0, said.err
        numbers = json.loads(output.read_text())
        assert {name: numbers[name] for name in names} == pytest.approx(dict.fromkeys(names, half))
        assert ("AP" in numbers, "mask_AP" in numbers) == ("AP" in names, "mask_AP" in names)


def test_recall_of_a_list_and_of_an_archive(call, coco, write, tmp_path):
    # Of a class that the data set does not have.
    record = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 100, 80], "score": 0.5}
    listed = write("proposals.json", [record])
    archive = tmp_path / "proposals.npz"
    write_proposals(
        archive,
        ProposalSet(
            image_ids=np.array([1, 2]),
            offsets=np.array([0, 1, 1]),
            boxes=np.array([[0, 0, 100, 80]], np.float32),
            scores=np.ones(1, np.float32),
            sizes=np.full((2, 2), 200, np.int32),
            file_names=("1.png", "2.png"),
        ),
    )
    for detections in (listed, archive):
        output = tmp_path / "numbers.json"
        said = call(
            "measure",
            "--protocol=recall",
            f"--ground_truth={coco}",
            f"--detections={detections}",
            f"--json={output}",
        )
        assert said.status == 0, said.err
        numbers = json.loads(output.read_text())
        # Seven of ten thresholds for one of two objects; the other image has no proposals.
        assert numbers["AR100"] == pytest.approx(35.0)
        assert numbers["ARl1000"] == pytest.approx(35.0)
        assert numbers["ARs100"] is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (["--protocol=voc"], "flag --protocol=voc: value should be one of"),
        ([], "flag --protocol is missing, expected: <coco|voc2007|"),
        (["--protocol=citypersons", "--detections="], "flag --detections is missing"),
        (["--protocol=citypersons", "--detections=x.json"], "x.json: no such file of detections"),
        (["--protocol=citypersons", "--iou=2"], "flag --iou=2"),
        (["--protocol=recall", "--iou=0.5"], "--iou with --protocol recall: expected one of voc2007, "),
        (
            ["--protocol=recall", "--kitti_rule=2016"],
            "--kitti_rule with --protocol recall: expected one of kitti",
        ),
        (["--protocol=kitti", "--kitti_rule=2015"], "flag --kitti_rule=2015: value should be one of"),
        (["--protocol=recall", "--ground_truth=x.json"], "x.json: no such annotation file"),
    ],
)
def test_errors_are_one_line(call, city, changes, line):
    assert line in call("measure", *city, *changes).complaint


def test_a_broken_record_is_named(call, coco, write):
    path = write("proposals.json", [{"image_id": 3, "bbox": [0, 0, 1, 1], "score": 1}])
    complaint = call(
        "measure", "--protocol=recall", f"--ground_truth={coco}", f"--detections={path}"
    ).complaint
    assert "proposals.json: detection 0: image_id is 3, expected an image of the annotation file" in complaint


def test_citypersons_needs_no_tensorflow(city):
    """In a process of its own: this one has TensorFlow loaded."""
    arguments = ["measure.py", "--protocol=citypersons", *city]
    code = f"import sys, measure; measure.main({arguments!r}); assert 'tensorflow' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "MR/reasonable" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(city):
    command = [sys.executable, str(SCRIPTS / "measure.py"), "--protocol=citypersons", *city]
    line = f"{shlex.join(command)} | true; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert said.stdout in ("141\n", "0\n")
    assert "rror" not in said.stderr
