"""MATLAB files: what is read, and what is said where that is not possible."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cascade_tf.formats.mat import read_mat


@pytest.fixture
def savemat():
    return pytest.importorskip("scipy.io").savemat


def test_some_variables_or_all(tmp_path, savemat):
    path = tmp_path / "some.mat"
    savemat(path, {"a": np.arange(3), "b": "text", "c": 1.5})
    some = read_mat(path, ("b", "a"))
    assert set(some) == {"a", "b"}
    assert some["b"][0] == "text"
    np.testing.assert_array_equal(some["a"], [[0, 1, 2]])
    assert set(read_mat(path)) == {"a", "b", "c"}


def test_what_is_missing_is_named(tmp_path, savemat):
    path = tmp_path / "some.mat"
    savemat(path, {"a": 1})
    with pytest.raises(ValueError, match=r"some\.mat: has no variable 'b', expected a, b"):
        read_mat(path, ("a", "b"))
    with pytest.raises(FileNotFoundError, match=r"other\.mat: no such \.mat file"):
        read_mat(tmp_path / "other.mat", ("a",))


@pytest.mark.parametrize("cut", [0, 3, 140, -8])
def test_broken_files_are_told(tmp_path, savemat, cut):
    path = tmp_path / "some.mat"
    savemat(path, {"a": np.arange(300.0)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"some\.mat: is no \.mat file that can be read"):
        read_mat(path, ("a",))


def test_without_scipy_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        RuntimeError, match=r"x\.mat: SciPy reads \.mat files and is not installed; pip install"
    ):
        read_mat(tmp_path / "x.mat", ("a",))
