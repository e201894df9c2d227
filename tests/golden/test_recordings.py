"""Another recording is picked up where it is dropped in, and its settings are its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.golden import recordings


def as_bytes(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(recordings.VARIABLE, str(tmp_path))
    return tmp_path


def test_every_kind_has_a_recording():
    assert all(recordings.find(kind) for kind in recordings.KINDS)


def test_every_file_of_a_kind_is_found_once():
    found = [path for kind in recordings.KINDS for path in recordings.find(kind)]
    assert len(found) == len(set(found))
    others = {path.stem for path in recordings.FOLDER.glob("*.npz")} - {path.stem for path in found}
    # Read by tests/ops, each by its name.
    assert others == {"nms", "paste_masks", "resize"}


def test_recordings_of_another_folder_come_besides(folder):
    cases = [{"name": "odd", "strides": [8, 16]}, {"name": "even", "strides": [2]}]
    arrays = {"odd/cell_p3": np.zeros((1, 4)), "cases_json": as_bytes(cases)}
    np.savez(folder / "mine.npz", **arrays)
    np.savez(folder / "foreign.npz", something=np.zeros(3))
    inside = recordings.FOLDER / "anchors.npz"
    assert recordings.find("anchors") == [inside, folder / "mine.npz"]
    assert folder / "mine.npz" not in recordings.find("matcher")
    values = [one.values for one in recordings.case_parameters("anchors")]
    assert [(folder / "mine.npz", case) for case in cases] == values[-2:]
    assert values[0][0] == inside


def test_a_file_that_is_no_archive_is_no_recording_but_an_error(folder):
    (folder / "broken.npz").write_bytes(b"PK")
    with pytest.raises(Exception, match="not a zip file"):
        recordings.find("anchors")
