"""What measure.py says of broken files: for every protocol the file, the record and the field."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.formats.widerface_files import write_ground_truth

SPACE = "-1 -1 -1 -1000 -1000 -1000 -10"
OBJECT = {"id": 1, "image_id": 1, "category_id": 5, "bbox": [0, 0, 100, 100]}
PERSON = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 100], "height": 100, "vis_ratio": 1.0}
FOUND = {"image_id": 1, "category_id": 5, "bbox": [0, 0, 100, 100], "score": 0.5}

# Of a record: the field, what stands there, and what is said of it behind the place.
BROKEN_DETECTIONS = [
    ("image_id", 7, "image_id is 7, expected an image of"),
    ("image_id", {}, "image_id is {}, expected an image of"),
    ("image_id", True, "image_id is True, expected an image of"),
    ("bbox", [0, 0, "x", 5], "bbox is [0, 0, 'x', 5], expected four finite numbers"),
    ("bbox", [0, 0, math.nan, 5], "bbox is [0, 0, nan, 5], expected four finite numbers"),
    ("bbox", [1, 2, 3], "bbox is [1, 2, 3], expected four finite numbers"),
    ("bbox", None, "bbox is None, expected four finite numbers"),
    ("score", "high", "score is 'high', expected a finite number"),
    ("score", math.inf, "score is inf, expected a finite number"),
    ("score", [1], "score is [1], expected a finite number"),
    ("score", ..., "score is missing, expected a finite number"),
]


def changed(record, field, value):
    """A record with another value of a field; an ellipsis leaves it out."""
    return {name: one for name, one in {**record, field: value}.items() if one is not ...}


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def complain(call, tmp_path):
    """Measures the files of a case and returns what is said of them, without the path of the folder."""

    def run(protocol, truth="truth.json", found="found.json"):
        said = call(
            "measure",
            f"--protocol={protocol}",
            f"--ground_truth={tmp_path / truth}",
            f"--detections={tmp_path / found}",
        )
        return said.complaint.replace(f"{tmp_path}/", "")

    return run


def coco_truth(*objects):
    images = [{"id": 1, "width": 100, "height": 100}]
    return {
        "images": images,
        "annotations": [OBJECT, *objects],
        "categories": [{"id": 5, "name": "cat"}],
    }


def city_truth(*people):
    categories = [{"id": 1, "name": "pedestrian"}]
    return {"images": [{"id": 1}], "annotations": [PERSON, *people], "categories": categories}


@pytest.mark.parametrize("protocol", ["coco", "recall", "citypersons"])
@pytest.mark.parametrize(("field", "value", "message"), BROKEN_DETECTIONS)
def test_detections_as_json(complain, tmp_path, protocol, field, value, message):
    city = protocol == "citypersons"
    save(tmp_path / "truth.json", city_truth() if city else coco_truth())
    good = {**FOUND, "category_id": 1} if city else FOUND
    save(tmp_path / "found.json", [good, changed(good, field, value)])
    assert f"error: found.json: detection 1: {message}" in complain(protocol)


@pytest.mark.parametrize(
    ("protocol", "value", "message"),
    [
        ("coco", 7, "category_id is 7, expected one of the annotation file's 5"),
        ("coco", [], "category_id is [], expected one of"),
        ("citypersons", None, "category_id is None, expected a finite number"),
    ],
)
def test_categories_of_detections(complain, tmp_path, protocol, value, message):
    save(tmp_path / "truth.json", city_truth() if protocol == "citypersons" else coco_truth())
    save(tmp_path / "found.json", [{**FOUND, "category_id": value}])
    assert f"error: found.json: detection 0: {message}" in complain(protocol)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_id", 7, "image_id is 7, expected an image of"),
        ("image_id", [], "image_id is [], expected an image of"),
        ("category_id", {}, "category_id is {}, expected "),
        ("bbox", [0, 0, None, 5], "bbox is [0, 0, None, 5], expected four finite numbers"),
        ("bbox", [0, 0, 10**400, 5], "bbox is [0, 0, 1000"),
    ],
)
@pytest.mark.parametrize("protocol", ["coco", "recall", "citypersons"])
def test_annotations_as_json(complain, tmp_path, protocol, field, value, message):
    city = protocol == "citypersons"
    record = changed({**(PERSON if city else OBJECT), "id": 2}, field, value)
    save(tmp_path / "truth.json", city_truth(record) if city else coco_truth(record))
    save(tmp_path / "found.json", [])
    place = "annotation 1" if city else "annotation 1 (id 2)"
    assert f"error: truth.json: {place}: {message}" in complain(protocol)


@pytest.mark.parametrize(
    ("field", "record", "message"),
    [
        ("images", {"id": "b"}, "image ids are 1, 'b', expected all numbers or all texts"),
        ("images", {"id": 1}, "image 1 (id 1): id is 1, expected one that no record before it has"),
        ("images", {"id": 2, "height": []}, "image 1 (id 2): height is [], expected a whole number"),
        ("images", 3, "image 1: is 3, expected a record"),
        ("annotations", None, "annotation 1: is None, expected a record"),
        ("categories", {"id": 6, "name": [1]}, "category 1 (id 6): name is [1], expected a text"),
        ("categories", {"name": "dog"}, "category 1: id is missing, expected a whole number"),
    ],
)
@pytest.mark.parametrize("protocol", ["coco", "recall"])
def test_records_of_coco(complain, tmp_path, protocol, field, record, message):
    truth = coco_truth()
    truth[field].append(record)
    save(tmp_path / "truth.json", truth)
    save(tmp_path / "found.json", [])
    assert f"error: truth.json: {message}" in complain(protocol)


def test_proposals_of_an_unknown_image(complain, tmp_path):
    arrays = {
        "version": 1, "image_ids": [9], "file_names": ["9.png"], "sizes": [[100, 100]], "offsets": [0, 1],
        "boxes": np.float32([[0, 0, 9, 9]]), "scores": np.ones(1, np.float32),
    }  # fmt: skip
    np.savez(tmp_path / "found.npz", **arrays)
    save(tmp_path / "truth.json", coco_truth())
    message = "error: found.npz: proposals: image_id is 9, expected an image of truth.json"
    assert message in complain("recall", found="found.npz")


@pytest.mark.parametrize(
    ("column", "word", "message"),
    [
        (5, "left", "y1 is 'left', expected a finite number"),
        (-1, "nan", "score is 'nan', expected a finite number"),
        (-1, "", "expected 16 columns, got 15; they are type, truncated, occluded, alpha, x1, "),
    ],
)
def test_kitti(complain, tmp_path, column, word, message):
    good = f"Car -1 -1 -10 0 0 80 50 {SPACE} 0.9".split()
    broken = [*good]
    broken[column] = word
    save(tmp_path / "label_2" / "000000.txt", f"Car 0 0 -10 0 0 80 50 {SPACE}\n")
    save(tmp_path / "data" / "000000.txt", f"{' '.join(good)}\n{' '.join(broken)}\n")
    assert f"error: data/000000.txt, line 2: {message}" in complain("kitti", "", "")


@pytest.mark.parametrize("protocol", ["voc2007", "voc2010", "coco"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000009 0.5 1 1 5 5", "image is '000009', expected one of the split"),
        ("000001 0.5 1 low 5 5", "ymin is 'low', expected a finite number"),
        ("000001 inf 1 1 5 5", "score is 'inf', expected a finite number"),
        ("000001 0.5 1 1 5", "expected 6 columns, got 5; they are image, score, xmin, ymin, xmax, ymax"),
    ],
)
def test_voc(complain, tmp_path, protocol, line, message):
    kit = tmp_path / "VOC2007"
    save(kit / "ImageSets" / "Main" / "test.txt", "000001\n")
    save(kit / "Annotations" / "000001.xml", "<annotation></annotation>")
    save(tmp_path / "found" / "comp4_det_test_dog.txt", f"000001 0.9 1 1 5 5\n{line}\n")
    assert f"error: found/comp4_det_test_dog.txt, line 2: {message}" in complain(protocol, "", "found")


def test_voc_objects(complain, tmp_path):
    kit = tmp_path / "VOC2007"
    save(kit / "ImageSets" / "Main" / "test.txt", "000001\n")
    broken = "<object><name>dog</name><bndbox><xmin>x</xmin></bndbox></object>"
    save(kit / "Annotations" / "000001.xml", f"<annotation>{broken}</annotation>")
    save(tmp_path / "found" / "comp4_det_test_dog.txt", "")
    message = "Annotations/000001.xml, object 0: bndbox/xmin is 'x', expected a finite number"
    for protocol in ("voc2007", "coco"):
        assert message in complain(protocol, "", "found")


@pytest.fixture
def faces(tmp_path):
    """Writes two faces of an image, those of the settings, and the lines of its detections."""
    savemat = pytest.importorskip("scipy.io").savemat

    def write(lines="a\n1\n0 0 9 9 0.9\n", hard=(1, 2), boxes=None):
        image = ([[0, 0, 9, 9], [50, 50, 9, 9]], {"easy": [1], "medium": [1, 2], "hard": list(hard)})
        write_ground_truth(tmp_path, {"0--Parade": {"a": image}}, savemat)
        if boxes is not None:
            cells = [np.empty((1, 1), object) for _ in range(6)]
            for cell, one in zip(cells, ["0--Parade", cells[2], "a", cells[4], boxes, None], strict=True):
                cell[0, 0] = one
            content = {"event_list": cells[0], "file_list": cells[1], "face_bbx_list": cells[3]}
            savemat(tmp_path / "wider_face_val.mat", content)
        save(tmp_path / "found" / "0--Parade" / "a.txt", lines)

    return write


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\nmany\n", "line 2: the number of detections is 'many', expected a whole number"),
        ("a\n2\n0 0 9 9 1\n", "line 2: the number of detections is 2, expected that of the lines below, 1"),
        ("a\n1\n0 0 9 tall 1\n", "line 3: height is 'tall', expected a finite number"),
        ("a\n1\n0 0 9 9\n", "line 3: expected 5 columns, got 4; they are x, y, width, height, score"),
    ],
)
def test_widerface(complain, faces, lines, message):
    faces(lines)
    assert f"error: found/0--Parade/a.txt, {message}" in complain("widerface", "", "found")


def test_faces(complain, faces):
    faces(hard=(3,))
    message = "wider_hard_val.mat: 0--Parade/a: gt_list is 3.0, expected numbers of its 2 faces"
    assert message in complain("widerface", "", "found")
    faces(boxes=np.array([[0, 0, 9, 9], [0, np.nan, 9, 9]]))
    message = "wider_face_val.mat: 0--Parade/a, object 1: y is nan, expected a finite number"
    assert message in complain("widerface", "", "found")
    faces(boxes=np.zeros((2, 5)))
    message = "wider_face_val.mat: 0--Parade/a: the table has the shape (2, 5), expected numbers in 4 columns"
    assert message in complain("widerface", "", "found")
