"""What measure.py says where files do not fit together, in one line each: what is left out, and how much."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.proposal_files import write_proposals
from tests.scripts.test_measure_broken_files import (
    FOUND,
    OBJECT,
    SPACE,
    changed,
    city_truth,
    coco_truth,
    save,
)

CAR = f"Car 0 0 -10 0 0 80 50 {SPACE}"
XML = (
    "<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    "</bndbox></object></annotation>"
)


@pytest.fixture
def warned(call, tmp_path):
    """Measures the files of a case and returns the warnings about them, without the path of the folder."""

    def run(protocol, truth="truth.json", found="found.json"):
        said = call(
            "measure",
            f"--protocol={protocol}",
            f"--ground_truth={tmp_path / truth}",
            f"--detections={tmp_path / found}",
        )
        assert said.status == 0, said.err
        lines = said.err.replace(f"{tmp_path}/", "").splitlines()
        return [line.partition("] ")[2] or line for line in lines]

    return run


def test_frames_without_results(warned, tmp_path):
    for frame in "012":
        save(tmp_path / "label_2" / f"00000{frame}.txt", f"{CAR}\n")
    save(tmp_path / "data" / "000000.txt", f"{CAR} 0.9\n")
    (line,) = warned("kitti", "label_2", "data")
    assert line.endswith("data: frames without a result are not measured: 2 of 3")
    for frame in "12":
        save(tmp_path / "data" / f"00000{frame}.txt", "")
    assert warned("kitti", "label_2", "data") == []


def test_detections_of_other_types_alone(warned, tmp_path):
    save(tmp_path / "label_2" / "000000.txt", f"{CAR}\n")
    save(tmp_path / "data" / "000000.txt", f"{CAR} 0.9\n".replace("Car", "vehicle"))
    (line,) = warned("kitti", "label_2", "data")
    assert line.endswith(
        "data: no detection is of a class that is measured (car, pedestrian, cyclist): they are of 'vehicle'"
    )
    save(tmp_path / "data" / "000000.txt", f"{CAR} 0.9\n{CAR} 0.9\n".replace("Car", "vehicle", 1))
    assert warned("kitti", "label_2", "data") == []


@pytest.mark.parametrize("protocol", ["voc2007", "voc2010", "coco"])
def test_classes_that_results_or_objects_lack(warned, tmp_path, protocol):
    kit = tmp_path / "VOC2007"
    save(kit / "ImageSets" / "Main" / "test.txt", "1\n")
    save(kit / "Annotations" / "1.xml", XML)
    save(tmp_path / "found" / "comp4_det_test_tvmonitr.txt", "1 0.9 1 1 5 5\n")
    save(tmp_path / "found" / "comp4_det_test_cat.txt", "")
    foreign, lost = warned(protocol, "", "found")
    assert foreign.endswith(
        "found: detections of classes without an object in the ground truth are not measured: 'tvmonitr'"
    )
    assert lost.endswith("found: objects of classes without a file of results count as missed: 'dog'")
    (tmp_path / "found" / "comp4_det_test_tvmonitr.txt").unlink()
    save(tmp_path / "found" / "comp4_det_test_dog.txt", "")
    assert warned(protocol, "", "found") == []


def test_pedestrians_of_other_categories(warned, tmp_path):
    save(tmp_path / "truth.json", city_truth())
    save(tmp_path / "found.json", [{**FOUND, "category_id": category} for category in (0, 1, 2)])
    (line,) = warned("citypersons")
    assert line.endswith("found.json: detections with another category_id than 1 are not measured: 2 of 3")
    save(tmp_path / "found.json", [])
    (line,) = warned("citypersons")
    assert line.endswith("found.json: holds no detection at all; every pedestrian counts as missed")


def test_images_without_proposals(warned, tmp_path):
    truth = coco_truth()
    truth["images"].append({"id": 2, "width": 100, "height": 100})
    save(tmp_path / "truth.json", truth)
    one = ProposalSet(
        image_ids=np.array([1]), offsets=np.array([0, 1]), boxes=np.float32([[0, 0, 9, 9]]),
        scores=np.ones(1), sizes=np.array([[100, 100]]),
        file_names=("1.png",),
    )  # fmt: skip
    write_proposals(tmp_path / "found.npz", one)
    save(tmp_path / "found.json", [changed(FOUND, "category_id", ...)])
    for found in ("found.npz", "found.json"):
        (line,) = warned("recall", found=found)
        assert line.endswith(f"{found}: objects of images without proposals count as missed: 1 of 2 images")


@pytest.mark.parametrize("protocol", ["coco", "recall"])
def test_annotations_of_the_same_id(call, tmp_path, protocol):
    truth = save(tmp_path / "truth.json", coco_truth(OBJECT))
    found = save(tmp_path / "found.json", [FOUND])
    paths = f"--ground_truth={truth}", f"--detections={found}"
    complaint = call("measure", f"--protocol={protocol}", *paths).complaint
    message = "truth.json: annotation 1 (id 1): id is 1, expected one that no record before it has"
    assert message in complaint
    content = json.loads(truth.read_text())
    for record in content["annotations"]:
        del record["id"]
    save(truth, content)
    assert call("measure", f"--protocol={protocol}", *paths).status == 0
