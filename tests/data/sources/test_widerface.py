"""WIDER FACE's folders as a data set: faces, events, both kinds of files, and what is broken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.formats.widerface_annotations import MARKS, read_annotations
from tests.data.sources.samples import sample

TEXT = """\
0--Parade/0_Parade_1.jpg
3
10 5 20 15 1 0 0 0 2 0 
2 3 8 9 2 0 1 1 0 1 
4 4 0 7 0 0 0 0 0 0 
0--Parade/0_Parade_2.jpg
0
0 0 0 0 0 0 0 0 0 0 
10--People/10_People_1.jpg
1
1 2 30 30 0 1 0 0 0 0 
"""  # noqa: W291


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wider_face_split").mkdir()
    for split in ("train", "val"):
        (tmp_path / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt").write_text(TEXT)
        draw(tmp_path / f"WIDER_{split}")
    (tmp_path / "wider_face_split" / "wider_face_test_filelist.txt").write_text("0--Parade/0_Parade_2.jpg\n")
    draw(tmp_path / "WIDER_test")
    return tmp_path


def draw(folder):
    for name in ("0--Parade/0_Parade_1", "0--Parade/0_Parade_2", "10--People/10_People_1"):
        path = folder / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(path)


def test_faces(folder):
    dataset = read_dataset_dir(folder, "train")
    assert dataset.class_names == ("face",)
    first, empty, last = dataset.examples
    np.testing.assert_array_equal(first.boxes, [[10, 5, 30, 20], [2, 3, 10, 12]])
    assert first.ignored.tolist() == [False, True]
    assert len(empty.boxes) == 0
    np.testing.assert_array_equal(last.boxes, [[1, 2, 31, 32]])
    # A face without width is told and left out.
    (line,) = dataset.dropped
    assert line.startswith("0--Parade/0_Parade_1.jpg, face 2 of image 1: box ")
    assert line.endswith("[4.0, 4.0, 0.0, 7.0] is empty")


def test_ground_truth_keeps_events_and_marks(folder):
    truth = read_dataset_dir(folder, "val").ground_truth()
    assert [image["event"] for image in truth["images"]] == ["0--Parade", "0--Parade", "10--People"]
    face, invalid, other = truth["annotations"]
    assert [face[mark] for mark in MARKS] == [1, 0, 0, 0, 2, 0]
    assert [invalid[mark] for mark in MARKS] == [2, 0, 1, 1, 0, 1]
    assert [one["ignore"] for one in (face, invalid, other)] == [0, 1, 0]


def test_nothing_is_learnt_from_invalid_faces(folder):
    ((_, targets),) = train_batches(
        read_dataset_dir(folder, "train"),
        batch_size=3,
        short_sides=(40,),
        max_side=60,
        flip=False,
        aspect_grouping=False,
        num_steps=1,
    )
    assert int(targets.valid.numpy().sum()) == 2
    assert int(ignored_objects(targets).numpy().sum()) == 1
    assert not targets.crowd.numpy().any()


def test_a_split_without_labels(folder):
    test = read_dataset_dir(folder, "test")
    assert not test.labelled
    assert [example.path for example in test.examples] == [
        str(folder / "WIDER_test/images/0--Parade/0_Parade_2.jpg")
    ]
    with pytest.raises(FileNotFoundError, match=r"no split 'minival', expected one of test, train, val"):
        read_dataset_dir(folder, "minival")


def test_both_kinds_of_files_hold_the_same(folder):
    savemat = pytest.importorskip("scipy.io").savemat
    text = folder / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    images = read_annotations(text)
    file = text.with_name("wider_face_train.mat")
    savemat(file, as_mat(images))
    for one, other in zip(read_annotations(file), images, strict=True):
        assert (one.event, one.name) == (other.event, other.name)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        for mark in MARKS:
            np.testing.assert_array_equal(one.marks[mark], other.marks[mark])
    text.unlink()
    assert read_dataset_dir(folder, "train").notes[0] == (
        "reading WIDER FACE's wider_face_split/wider_face_train.mat"
    )


def as_mat(images):
    """WIDER FACE's cells: events, in them images, in them faces."""
    events = list(dict.fromkeys(image.event for image in images))
    of_event = [[image for image in images if image.event == event] for event in events]

    def cells(rows):
        column = np.empty((len(rows), 1), object)
        for i, row in enumerate(rows):
            column[i, 0] = row
        return column

    content = {
        "event_list": cells(events),
        "file_list": cells([cells([image.name for image in some]) for some in of_event]),
        "face_bbx_list": cells([cells([image.boxes for image in some]) for some in of_event]),
    }
    for mark in MARKS:
        content[f"{mark}_label_list"] = cells(
            [cells([image.marks[mark][:, None] for image in some]) for some in of_event]
        )
    return content


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("3\n10 5", "three\n10 5", r"line 2: the number of faces is 'three', expected a whole number"),
        ("10 5 20 15", "10 5 20", r"line 3: expected 10 columns, got 9; they are x, y, width, "),
        ("10 5 20 15", "10 5 20 wide", r"line 3: .*'wide'"),
        (
            "10--People/10_People_1.jpg",
            "4 4 4",
            r"line 9: the image is '4 4 4', expected its event/name\.jpg",
        ),
        ("\n1\n1 2", "\n2\n1 2", r"line 12: expected 10 columns, got 0; "),
    ],
)
def test_a_broken_file_names_the_line(folder, before, after, message):
    file = folder / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    file.write_text(TEXT.replace(before, after))
    with pytest.raises(ValueError, match=rf"wider_face_train_bbx_gt\.txt, {message}"):
        read_dataset_dir(folder, "train")


def test_a_missing_picture_is_named(folder):
    (folder / "WIDER_val/images/0--Parade/0_Parade_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"0--Parade/0_Parade_1\.jpg: file_name: no such image file"):
        read_dataset_dir(folder, "val")


def test_real_images():
    folder = sample("widerface_sample")
    train, val = (read_dataset_dir(folder, split) for split in ("train", "val"))
    assert (len(train.examples), len(val.examples)) == (8, 12)
    assert val.num_objects > 100
    odd = read_annotations(folder / "odd_records_train.txt")
    empty = next(image for image in odd if image.name == "0_Parade_Parade_0_452")
    assert len(empty.boxes) == 0


def test_made_up_images():
    dataset = read_dataset_dir(sample("layout_samples") / "widerface_dataset", "train")
    assert [len(example.boxes) for example in dataset.examples] == [1, 2]
