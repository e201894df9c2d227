"""Files of proposals: the package's own, Detectron's, detectron2's, and broken ones."""

from __future__ import annotations

import json
import os
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.proposal_files import read_proposals, write_proposals

BOXES = [
    np.float32([[0, 0, 9, 9], [5, 6, 20, 30.5]]),
    np.zeros((0, 4), np.float32),
    np.float32([[1, 2, 3, 4]]),
]
SCORES = [np.float32([0.9, 0.5]), np.zeros(0, np.float32), np.float32([0.1])]
IDS = [42, 7, 139]


def proposal_set(**changes):
    whole = ProposalSet(
        image_ids=np.int64(IDS),
        offsets=np.int64([0, 2, 2, 3]),
        boxes=np.concatenate(BOXES),
        scores=np.concatenate(SCORES),
        sizes=np.int32([[40, 50], [60, 70], [80, 90]]),
        file_names=("a.jpg", "sub/é.png", "c.jpg"),
    )
    return replace(whole, **changes)


def detectron(**changes):
    return {"boxes": BOXES, "scores": SCORES, "ids": IDS, "cfg": "MODEL:\n", **changes}


def detectron2(**changes):
    return {"boxes": BOXES, "objectness_logits": SCORES, "ids": IDS, "bbox_mode": 0, **changes}


@pytest.fixture
def written(tmp_path):
    """Writes a pickle, of the protocol of Python 2 unless told otherwise, and gives its path."""

    def write(content, protocol=2):
        path = tmp_path / "proposals.pkl"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        return path

    return write


@pytest.fixture
def archive(tmp_path):
    """Writes an archive of which a test changes some arrays; None leaves one out."""

    def write(**changes):
        path = write_proposals(tmp_path / "proposals.npz", proposal_set())
        with np.load(path) as arrays:
            content = {**arrays, **changes}
        np.savez(path, **{name: value for name, value in content.items() if value is not None})
        return path

    return write


def assert_same(found, boxes, scores=SCORES, ids=IDS):
    assert found.image_ids.tolist() == ids
    for record in range(len(ids)):
        some, values = found.of_record(record)
        np.testing.assert_array_equal(some, boxes[record])
        np.testing.assert_array_equal(values, scores[record])
    assert found.boxes.dtype == found.scores.dtype == np.float32


def test_an_archive_gives_back_what_was_written(tmp_path):
    path = write_proposals(tmp_path / "new" / "proposals.npz", proposal_set())
    found = read_proposals(path)
    assert_same(found, BOXES)
    np.testing.assert_array_equal(found.sizes, proposal_set().sizes)
    assert found.file_names == proposal_set().file_names
    assert found.source == f"proposals {path}"
    assert os.listdir(path.parent) == ["proposals.npz"]


def test_no_images_at_all(tmp_path):
    nothing = ProposalSet(
        np.zeros(0, np.int64),
        np.zeros(1, np.int64),
        np.zeros((0, 4)),
        np.zeros(0),
        np.zeros((0, 2), np.int32),
    )
    assert len(read_proposals(write_proposals(tmp_path / "none.npz", nothing)).image_ids) == 0


@pytest.mark.parametrize("changes", [{}, {"ids": None, "indexes": np.int64(IDS)}, {"ids": tuple(IDS)}])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_detectron_counts_pixels(written, changes, protocol):
    content = {name: value for name, value in detectron(**changes).items() if value is not None}
    found = read_proposals(written(content, protocol))
    assert_same(found, [boxes + np.float32([0, 0, 1, 1]) for boxes in BOXES])
    assert found.sizes is None


def test_detectron2_is_continuous(written):
    assert_same(read_proposals(written(detectron2())), BOXES)
    assert_same(read_proposals(written(detectron2(ids=[str(i) for i in IDS]))), BOXES)


def test_detectron2_with_widths_and_heights(written):
    boxes = [np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1) for b in BOXES]
    assert_same(read_proposals(written(detectron2(boxes=boxes, bbox_mode=1))), BOXES)


def test_other_numbers_and_empty_lists(written):
    boxes = [BOXES[0].astype(np.float64), [], BOXES[2].astype(np.int64)]
    assert_same(read_proposals(written(detectron2(boxes=boxes))), BOXES)


WRONG_PICKLES = {
    "no_scores": (
        {"ids": IDS, "boxes": BOXES},
        "has no list 'objectness_logits' or 'scores', expected one; it",
    ),
    "weights": ({"model": {"w": BOXES[0]}}, "has no list 'ids' or 'indexes', expected one; it has 'model'"),
    "list": ([1, 2], "holds a list, expected a mapping"),
    "lengths": (detectron(ids=[1, 2]), "has 2 ids, 3 boxes and 3 scores"),
    "counts": (
        detectron(scores=[SCORES[0], SCORES[2], SCORES[2]]),
        "record 1 (image id 7): got 0 boxes and 1 scores, expected as many",
    ),
    "columns": (
        detectron(boxes=[np.zeros((2, 5), np.float32), *BOXES[1:]]),
        "record 0 (image id 42): boxes: got float32 of shape (2, 5), expected numbers of shape (n, 4)",
    ),
    "text": (detectron(boxes=["abc", *BOXES[1:]]), "record 0 (image id 42): boxes: got 'abc', expected"),
    "id": (detectron(ids=[42, "x7", 3]), "record 1: got the image id 'x7', expected an integer"),
    "truth": (detectron(ids=[42, True, 3]), "record 1: got the image id True, expected an integer"),
    "huge_id": (detectron(ids=[42, 1 << 70, 3]), "record 1: got the image id"),
    "twice": (detectron(ids=[42, 7, 42]), "the image id 42 comes twice, expected once"),
    "nan": (
        detectron(boxes=[BOXES[0], BOXES[1], np.float32([[1, np.nan, 3, 4]])]),
        "record 2 (image id 139): box 0: got [1.0, nan,",
    ),
    "too_large": (
        detectron(boxes=[np.float64([[0, 0, 1, 1], [0, 0, 1e300, 1]]), *BOXES[1:]]),
        "record 0 (image id 42): box 1: got [0.0, 0.0, inf, 2",
    ),
    "mode": (detectron2(bbox_mode=4), "bbox_mode: got 4, expected 0 (corners) or 1"),
}


@pytest.mark.parametrize("name", WRONG_PICKLES)
def test_wrong_pickles_are_told_in_one_line(written, name):
    content, expected = WRONG_PICKLES[name]
    path = written(content)
    with pytest.raises(ValueError, match=re.escape(f"proposals {path}: {expected}")) as error:
        read_proposals(path)
    assert "\n" not in str(error.value)


WRONG_ARCHIVES = {
    "missing": ({"scores": None}, "has no array 'scores', expected version, image_ids,"),
    "kind": (
        {"boxes": np.zeros((3, 4), np.int32)},
        "boxes: got int32 of shape (3, 4), expected floats with 2 axes",
    ),
    "axes": (
        {"scores": np.zeros((3, 1))},
        "scores: got float64 of shape (3, 1), expected floats with one axis",
    ),
    "columns": ({"boxes": np.zeros((3, 5))}, "boxes: got the shape (3, 5), expected (3, 4)"),
    "scores": ({"scores": np.zeros(2)}, "scores: got the shape (2,), expected (3,)"),
    "offsets": ({"offsets": np.int64([0, 2, 3])}, "offsets: got the shape (3,), expected (4,)"),
    "end": (
        {"offsets": np.int64([0, 2, 2, 9])},
        "offsets: got [0, 2, 2, 9], expected numbers that rise from 0 to 3",
    ),
    "falls": ({"offsets": np.int64([0, 3, 2, 3])}, "offsets: got [0, 3, 2, 3], expected numbers that rise"),
    "negative": (
        {"offsets": np.int64([0, -1, 2, 3])},
        "offsets: got [0, -1, 2, 3], expected numbers that rise",
    ),
    "rises_round": (
        {
            "offsets": np.int64([0, 2**63 - 1, -(2**63), -1, 3]),
            "image_ids": np.int64([1, 2, 3, 4]),
            "sizes": np.full((4, 2), 8),
            "file_names": np.array(list("abcd")),
        },
        "offsets: got [0, 9223372036854775807, -9223372036854775808, -1,",
    ),
    "huge_offset": (
        {"offsets": np.uint64([0, 2**63, 2, 3])},
        "offsets: got 9223372036854775808, expected integers in -9223372036854775808..9223372036854775807",
    ),
    "huge_id": (
        {"image_ids": np.uint64([42, 7, 2**64 - 1])},
        "image_ids: got 18446744073709551615, expected integers in -9223372036854775808..9223372036854775807",
    ),
    "huge_size": (
        {"sizes": np.int64([[40, 50], [60, 2**32 + 70], [80, 90]])},
        "sizes: got 4294967366, expected integers in 1..2147483647",
    ),
    "negative_size": (
        {"sizes": np.int32([[40, 50], [60, 70], [-80, 90]])},
        "sizes: got -80, expected integers in 1..2147483647",
    ),
    "no_size": (
        {"sizes": np.uint8([[40, 50], [0, 70], [80, 90]])},
        "sizes: got 0, expected integers in 1..2147483647",
    ),
    "names": ({"file_names": np.array(["a"])}, "file_names: got 1, expected 3"),
    "version": (
        {"version": np.int64(2)},
        "version: got 2, expected 1: a newer version of the package wrote it",
    ),
    "nan": (
        {"scores": np.float32([0, 1, np.nan])},
        "record 2 (image id 139): box 0: got [1.0, 2.0, 3.0, 4.0] with",
    ),
    "objects": ({"file_names": np.array([None] * 3)}, "array 'file_names.npy': holds"),
}


@pytest.mark.parametrize("name", WRONG_ARCHIVES)
def test_wrong_archives_are_told_in_one_line(archive, name):
    changes, expected = WRONG_ARCHIVES[name]
    path = archive(**changes)
    with pytest.raises(ValueError, match=re.escape(f"proposals {path}: {expected}")) as error:
        read_proposals(path)
    assert "\n" not in str(error.value)


class Hostile:
    """Its pickle calls a function."""

    def __reduce__(self):
        return os.mkdir, ("made_by_a_pickle",)


def test_no_code_of_a_pickle_runs(written, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = written(detectron(ids=[Hostile(), 7, 139]))
    with pytest.raises(ValueError, match=r"the pickle wants to call \w+\.mkdir"):
        read_proposals(path)
    assert not (tmp_path / "made_by_a_pickle").exists()


@pytest.mark.parametrize("whole", [pickle.dumps(detectron(), 2), None])
def test_truncated_files_are_refused(tmp_path, whole):
    path = tmp_path / "proposals"
    if whole is None:
        whole = write_proposals(tmp_path / "x.npz", proposal_set()).read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(f"proposals {path}: ")):
            read_proposals(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (json.dumps({"ids": []}).encode(), "is JSON, expected an archive of propose.py"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\x93NUMPY\x01\x00", "is a single NumPy array"),
    ],
)
def test_other_files_are_told(tmp_path, content, expected):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        read_proposals(tmp_path / "x")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_proposals(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="got a folder, expected a file"):
        read_proposals(tmp_path)


def test_writing_needs_the_suffix_and_what_is_to_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"got the suffix '.pkl', expected .npz"):
        write_proposals(tmp_path / "x.pkl", proposal_set())
    with pytest.raises(ValueError, match="got no sizes or names of the images"):
        write_proposals(tmp_path / "x.npz", proposal_set(sizes=None))
    assert list(tmp_path.iterdir()) == []
