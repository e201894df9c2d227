"""WIDER FACE's files: read, written, and what is said of broken ones."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.formats.widerface import read_detections, read_ground_truth, write_detections
from cascade_tf.metrics import evaluate_widerface
from tests.formats.widerface_files import write_ground_truth

EVENTS = {
    "0--Parade": {
        "0_Parade_1": ([[10, 20, 5, 6], [1, 2, 3, 0]], {"easy": [2], "medium": [1, 2], "hard": [1, 2]}),
        "0_Parade_2": ([[0, 0, 4, 4]], {"easy": [], "medium": [], "hard": [1]}),
    },
    "10--People": {"10_People_1": ([[7, 8, 9, 10]], {"easy": [1], "medium": [1], "hard": [1]})},
}


@pytest.fixture
def savemat():
    return pytest.importorskip("scipy.io").savemat


def test_ground_truth(tmp_path, savemat):
    write_ground_truth(tmp_path, EVENTS, savemat)
    truth = read_ground_truth(tmp_path)
    assert list(truth) == [
        ("0--Parade", "0_Parade_1"), ("0--Parade", "0_Parade_2"), ("10--People", "10_People_1"),
    ]  # fmt: skip
    first = truth["0--Parade", "0_Parade_1"]
    np.testing.assert_array_equal(first.boxes, [[10, 20, 15, 26], [1, 2, 4, 2]])
    assert {setting: marked.tolist() for setting, marked in first.counted.items()} == {
        "easy": [False, True], "medium": [True, True], "hard": [True, True],
    }  # fmt: skip
    assert truth["0--Parade", "0_Parade_2"].counted["easy"].tolist() == [False]


def test_ground_truth_of_other_images_or_faces_is_refused(tmp_path, savemat):
    def save(name, **numbers):
        event = {name: ([[0, 0, 1, 1]], {"easy": [1], "medium": [1], "hard": [1], **numbers})}
        write_ground_truth(tmp_path, {"0--Parade": event}, savemat)

    save("image", hard=[2])
    with pytest.raises(
        ValueError,
        match=r"wider_hard_val\.mat: 0--Parade/image: gt_list is 2\.0, expected numbers of its 1 faces",
    ):
        read_ground_truth(tmp_path)
    save("image", hard=[0])
    with pytest.raises(
        ValueError,
        match=r"wider_hard_val\.mat: 0--Parade/image: gt_list is 0\.0, expected numbers of its 1 faces",
    ):
        read_ground_truth(tmp_path)
    savemat(tmp_path / "wider_hard_val.mat", {"gt_list": 3})
    with pytest.raises(ValueError, match=r"not built as WIDER FACE's \.mat files"):
        read_ground_truth(tmp_path)
    (tmp_path / "wider_easy_val.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"wider_easy_val\.mat: no such \.mat file"):
        read_ground_truth(tmp_path)


def read(folder, *names):
    return list(read_detections(folder, [("0--Parade", name) for name in names]))


def test_detections_as_detectors_write_them(tmp_path):
    event = tmp_path / "0--Parade"
    event.mkdir()
    (event / "a.txt").write_text("a\n2\n10 20 5 6 0.9 \n1.5 2 3 0 1e-05\n")
    (event / "b.txt").write_text("0--Parade/b.jpg\r\n1\r\n-1 -2 3 4 0.5")
    (event / "c.txt").write_text("c\n0\n")
    (event / "d.txt").write_text("d\n0")
    (boxes, scores), second, third, fourth = read(tmp_path, *"abcd")
    np.testing.assert_array_equal(boxes, [[10, 20, 15, 26], [1.5, 2, 4.5, 2]])
    np.testing.assert_array_equal(scores, [0.9, 1e-5])
    np.testing.assert_array_equal(second[0], [[-1, -2, 2, 2]])
    for boxes, scores in (third, fourth):
        assert boxes.shape == (0, 4)
        assert scores.shape == (0,)


def test_written_detections_are_read_again(tmp_path):
    generator = np.random.default_rng(2)
    boxes = generator.uniform(0, 100, (5, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    scores = generator.permutation(5).astype(np.float32) / np.float32(3)
    nothing = np.zeros((0, 4)), np.zeros(0)
    write_detections(tmp_path, [("0--Parade", "a", boxes, scores), ("0--Parade", "b", *nothing)])
    assert (tmp_path / "0--Parade" / "b.txt").read_text() == "b\n0\n"
    (again, again_scores), (empty, _) = read(tmp_path, "a", "b")
    order = np.argsort(-scores)
    np.testing.assert_array_equal(again, boxes[order])
    np.testing.assert_array_equal(again_scores, scores[order])
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 2: the number of detections is '', expected a whole number"),
        ("a\nmany\n", "line 2: the number of detections is 'many', expected a whole number"),
        ("a\n-1\n", "line 2: the number of detections is '-1', expected a whole number"),
        ("a\n1\n1 2 3 4 x\n", "line 3: score is 'x', expected a finite number"),
        ("a\n1\n1 2 3 4\n", "line 3: expected 5 columns, got 4; they are x, y, width, height, score"),
        ("a\n2\n1 2 3 4 5\n", "line 2: the number of detections is 2, expected that of the lines below, 1"),
        ("a\n2\n1 2 3 4 1\n\n1 nan 3 4 1\n", "line 5: y is 'nan', expected a finite number"),
    ],
)
def test_broken_detections_are_told(tmp_path, text, message):
    (tmp_path / "0--Parade").mkdir()
    (tmp_path / "0--Parade" / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.txt, {message}"):
        read(tmp_path, "a")


def test_missing_detections_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing: no such folder of detections"):
        read(tmp_path / "nothing", "a")
    (tmp_path / "0--Parade").mkdir()
    with pytest.raises(FileNotFoundError, match=r"a\.txt: no such file; an image without detections has one"):
        read(tmp_path, "a")


def test_the_order_of_a_file_is_not_measured(tmp_path, savemat):
    write_ground_truth(tmp_path, {"0--Parade": {"a": EVENTS["0--Parade"]["0_Parade_1"]}}, savemat)
    truth = list(read_ground_truth(tmp_path).values())
    lines = ["10 20 5 6 0.9", "50 50 5 6 0.5", "11 20 5 6 0.4"]
    (tmp_path / "0--Parade").mkdir()
    numbers = []
    for some in (lines, lines[::-1]):
        (tmp_path / "0--Parade" / "a.txt").write_text("\n".join(["a", "3", *some]))
        numbers.append(evaluate_widerface(truth, read(tmp_path, "a")))
    assert numbers[0] == numbers[1]
    assert numbers[0]["AP/hard"] == pytest.approx(50.0)


@pytest.mark.parametrize("place", ["ground_truth", "eval_tools/ground_truth"])
def test_ground_truth_below_a_folder(tmp_path, savemat, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    write_ground_truth(folder, EVENTS, savemat)
    assert list(read_ground_truth(tmp_path)) == list(read_ground_truth(folder))


@pytest.mark.parametrize(("given", "meant"), [("", "txt"), ("txt/0--Parade", "txt"), ("other", None)])
def test_a_folder_near_that_of_the_events(tmp_path, given, meant):
    for folder in ("other", "txt/0--Parade"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "txt" / "0--Parade" / "a.txt").write_text("a\n0\n")
    remedy = f"did you mean {tmp_path / meant}?" if meant else "expected such as '0--Parade'"
    with pytest.raises(FileNotFoundError) as caught:
        read(tmp_path / given, "a")
    assert str(caught.value) == f"no event folder in {tmp_path / given}; {remedy}"
    assert len(read(tmp_path / "txt", "a")) == 1
