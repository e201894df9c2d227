"""KITTI's files: read, written, and refused with the line that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.formats.kitti import KittiDetections, read_frames, read_labels, read_results, write_results

LABELS = """\
Car 0.88 3 -0.69 0.00 192.37 402.31 374.00 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29
DontCare -1 -1 -10 800.38 163.67 825.45 184.07 -1 -1 -1 -1000 -1000 -1000 -10
"""
RESULT = "Car -1 -1 -10 1.5 2 30.25 40 -1 -1 -1 -1000 -1000 -1000 -10 0.75\n"


def test_labels(tmp_path):
    path = tmp_path / "000001.txt"
    path.write_text(LABELS.rstrip("\n"))
    labels = read_labels(path)
    assert labels.types.tolist() == ["Car", "DontCare"]
    assert labels.boxes.tolist() == [[0, 192.37, 402.31, 374], [800.38, 163.67, 825.45, 184.07]]
    assert labels.truncated.tolist() == [0.88, -1]
    assert labels.occluded.tolist() == [3, -1]


def test_results_written_and_read(tmp_path):
    generator = np.random.default_rng(2)
    boxes = generator.uniform(0, 600, (5, 4)).astype(np.float32)
    found = KittiDetections(np.array(["Car", "Cyclist"] * 2 + ["Car"]), boxes, generator.normal(size=5))
    nothing = KittiDetections(np.zeros(0, str), np.zeros((0, 4)), np.zeros(0))
    folder = write_results(tmp_path / "new" / "data", {"000003": found, "000007": nothing})
    assert sorted(path.name for path in folder.iterdir()) == ["000003.txt", "000007.txt"]
    read = read_results(folder / "000003.txt")
    assert read.types.tolist() == found.types.tolist()
    np.testing.assert_array_equal(read.boxes, boxes)
    np.testing.assert_array_equal(read.scores, found.scores)
    assert (folder / "000007.txt").read_bytes() == b""
    assert [len(column) for column in read_results(folder / "000007.txt")] == [0, 0, 0]
    assert len((folder / "000003.txt").read_text().splitlines()[0].split()) == 16


@pytest.mark.parametrize(("labels", "results"), [("", ""), ("label_2", "data"), ("training/label_2", "")])
def test_frames_are_those_with_results(tmp_path, labels, results):
    for name in ("000000", "000001", "000002"):
        file = tmp_path / "truth" / labels / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LABELS)
    (tmp_path / "found" / results).mkdir(parents=True)
    (tmp_path / "found" / results / "000002.txt").write_text(RESULT)
    (tmp_path / "found" / results / "000000.txt").write_text("")
    if results == "data":
        # What the official program writes beside the folder.
        (tmp_path / "found" / "stats_car_detection.txt").write_text("1.000000 \n")
    frames = read_frames(tmp_path / "truth", tmp_path / "found")
    assert list(frames) == ["000000", "000002"]
    objects, detections = frames["000002"]
    assert len(objects.types) == 2
    assert detections.boxes.tolist() == [[1.5, 2, 30.25, 40]]
    assert detections.scores.tolist() == [0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RESULT + RESULT.replace(" 0.75", ""), r"000002\.txt, line 2: expected 16 columns, got 15"),
        (
            "\n" + RESULT.replace("30.25", "wide"),
            r"000002\.txt, line 2: x2 is 'wide', expected a finite number",
        ),
        (RESULT.replace("0.75", "nan"), r"000002\.txt, line 1: score is 'nan', expected a finite number"),
    ],
)
def test_broken_lines(tmp_path, text, message):
    path = tmp_path / "000002.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (1, "5.0", r"000002\.txt, line 1: truncated is .*5.*, expected a share, or -1"),
        (2, "9", r"000002\.txt, line 1: occluded is .*9.*, expected one of -1, 0, 1, 2, 3"),
        (2, "0.5", r"000002\.txt, line 1: occluded is .*0.5.*, expected one of -1"),
    ],
)
def test_degrees_that_there_are_not(tmp_path, column, value, message):
    words = LABELS.splitlines()[0].split()
    words[column] = value
    path = tmp_path / "000002.txt"
    path.write_text(" ".join(words))
    with pytest.raises(ValueError, match=message):
        read_labels(path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no frame's \.txt file in .*label_2"):
        read_frames(tmp_path, tmp_path)
    for folder in ("label_2", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "label_2" / "000001.txt").write_text(LABELS)
    (tmp_path / "data" / "000002.txt").write_text(RESULT)
    with pytest.raises(
        FileNotFoundError, match=r"data.000002\.txt: frame without labels, there is no .*label_2.000002\.txt"
    ):
        read_frames(tmp_path, tmp_path / "data")
