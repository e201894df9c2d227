"""CityPersons' .mat files of annotations, and the ground truth that they are."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.formats.citypersons import read_ground_truth
from cascade_tf.formats.citypersons_annotations import read_annotations
from tests.metrics.oracles import oracle

# Label, x, y, width, height, number, and what is visible.
ROWS = [[1, 10, 20, 40, 100, 24000, 10, 20, 20, 100], [5, 5, 6, 70, 80, 0, 5, 6, 70, 80]]


@pytest.fixture
def save(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat

    def write(images, name="anno_val_aligned"):
        cells = np.empty((1, len(images)), object)
        for i, (image, rows) in enumerate(images.items()):
            cells[0, i] = {"cityname": image.split("_")[0], "im_name": image, "bbs": rows}
        path = tmp_path / "anno_val.mat"
        savemat(path, {name: cells})
        return path

    return write


def test_annotations(save):
    path = save({"bonn_1.png": np.uint16(ROWS), "ulm_2.png": np.zeros((0, 0))})
    first, second = read_annotations(path)
    assert (first.city, first.name, second.city) == ("bonn", "bonn_1.png", "ulm")
    assert first.labels.tolist() == [1, 5]
    assert first.boxes.tolist() == [[10, 20, 40, 100], [5, 6, 70, 80]]
    assert first.visible.tolist() == [[10, 20, 20, 100], [5, 6, 70, 80]]
    assert second.boxes.shape == second.visible.shape == (0, 4)


def test_ground_truth(save):
    path = save({"bonn_1.png": np.uint16(ROWS), "ulm_2.png": np.zeros((0, 0))})
    truth = read_ground_truth(path)
    assert list(truth) == [1, 2]
    assert truth[1].heights.tolist() == [100, 80]
    assert truth[1].visibility.tolist() == [0.5, 1.0]
    assert truth[1].ignored.tolist() == [False, True]
    assert len(truth[2].boxes) == 0


def test_the_two_official_files_are_the_same_ground_truth():
    pytest.importorskip("scipy")
    folder = oracle("citypersons")
    listed, annotated = read_ground_truth(folder / "val_gt.json"), read_ground_truth(folder / "anno_val.mat")
    assert list(listed) == list(annotated)
    assert len(listed) == 500
    for image_id, expected in listed.items():
        for column, other in zip(expected, annotated[image_id], strict=True):
            # The shares have twelve digits in the list.
            np.testing.assert_allclose(other, column, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("rows", "name", "message"),
    [
        (
            np.uint16(ROWS)[:, :9],
            "anno_val_aligned",
            r"image 0 \(bonn_1\.png\): the table has the shape \(2, 9\), ",
        ),
        (
            np.array([[6, *ROWS[0][1:]]]),
            "anno_val_aligned",
            r"image 0 \(bonn_1\.png\), object 0: class_label is 6\.0, expected a whole number from 0 to 5",
        ),
        (np.uint16(ROWS), "gt_list", "has no variable 'anno_..._aligned'"),
    ],
)
def test_other_files_are_told(save, rows, name, message):
    with pytest.raises(ValueError, match=rf"anno_val\.mat: .*{message}"):
        read_annotations(save({"bonn_1.png": rows}, name))
