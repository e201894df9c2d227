"""CityPersons' JSON files: read, written, and what is said of broken ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.formats.citypersons import read_detections, read_ground_truth, write_detections


def annotation(image_id, **changes):
    return {
        "id": 1,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [1, 2, 30, 60],
        "height": 60,
        "vis_ratio": 0.5,
        "ignore": 0,
        **changes,
    }


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "file.json"
        path.write_text(json.dumps(content))
        return path

    return write


def ground_truth(*annotations):
    categories = [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "rider"}]
    return {"images": [{"id": 1}, {"id": 2}], "annotations": list(annotations), "categories": categories}


def test_ground_truth(save):
    content = ground_truth(
        annotation(2), annotation(2.0, ignore=1, height=61, vis_ratio=1.0), annotation(2, category_id=2)
    )
    truth = read_ground_truth(save(content))
    assert list(truth) == [1, 2]
    assert truth[1].boxes.shape == (0, 4)
    assert truth[2].boxes.tolist() == [[1, 2, 30, 60]] * 2
    assert truth[2].heights.tolist() == [60, 61]
    assert truth[2].visibility.tolist() == [0.5, 1.0]
    assert truth[2].ignored.tolist() == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 3}, "image_id is 3, expected an image of the ground truth"),
        ({"image_id": "1"}, "image_id is '1', expected an image of the ground truth"),
        ({"bbox": [1, 2, 3]}, r"bbox is \[1, 2, 3\], expected four finite numbers"),
        ({"bbox": [1, 2, 3, "4"]}, r"bbox is \[1, 2, 3, '4'\], expected four finite numbers"),
        ({"vis_ratio": None}, "vis_ratio is None, expected a finite number"),
        ({"height": float("nan")}, "height is nan, expected a finite number"),
        ({"height": 10**400}, "height is 1000.*, expected a finite number"),
        ({"ignore": "x"}, "ignore is 'x', expected 0 or 1"),
        ({"category_id": None}, "category_id is None, expected a category of the file"),
    ],
)
def test_broken_ground_truth_is_told(save, changes, message):
    path = save(ground_truth(annotation(1), annotation(**{"image_id": 1, **changes})))
    with pytest.raises(ValueError, match=rf"file\.json: annotation 1: {message}"):
        read_ground_truth(path)


def test_ground_truth_without_ids_is_told(save):
    content = ground_truth()
    content["images"].append({"im_name": "x.png"})
    with pytest.raises(ValueError, match="image 2: id is missing, expected a whole number"):
        read_ground_truth(save(content))


def test_written_detections_are_read_again(tmp_path):
    boxes = np.array([[1.5, 2, 30, 60.123456789], [0, 0, 1, 1]])
    scores = np.array([0.1, 0.9])
    path = write_detections(tmp_path / "out" / "dt.json", [(7, boxes, scores)])
    assert json.loads(path.read_text())[0] == {
        "image_id": 7, "category_id": 1, "bbox": boxes[0].tolist(), "score": 0.1,
    }  # fmt: skip
    (_, none), (again, again_scores) = read_detections(path, [3, 7])
    assert len(none) == 0
    np.testing.assert_array_equal(again, boxes)
    np.testing.assert_array_equal(again_scores, scores)


def test_detections_of_other_categories_are_left_out(save):
    record = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}
    ((boxes, _),) = read_detections(save([record, {**record, "category_id": 1}]), [1])
    assert len(boxes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "holds a dict, expected a JSON list of detections"),
        ([3], "detection 0: is a int, expected a record"),
        ([{"image_id": 9}], "detection 0: image_id is 9, expected an image of the ground truth"),
        (
            [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
            "detection 0: score is missing, expected a finite number",
        ),
        (
            [{"image_id": 1, "category_id": "1", "bbox": [1, 2, 3, 4], "score": 1}],
            "detection 0: category_id is '1', expected a finite number",
        ),
    ],
)
def test_broken_detections_are_told(save, content, message):
    with pytest.raises(ValueError, match=rf"file\.json: {message}"):
        read_detections(save(content), [1])


def test_what_is_no_file_of_detections_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="x: no such file of detections"):
        read_detections(tmp_path / "x", [1])
    with pytest.raises(ValueError, match="is a folder, expected a JSON list"):
        read_detections(tmp_path, [1])
    (tmp_path / "x").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"is not JSON \(.*\), expected a JSON list"):
        read_detections(tmp_path / "x", [1])
