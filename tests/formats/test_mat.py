"""MATLAB files: what is read, and what is said where that is not possible."""

from __future__ import annotations

import struct
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


@pytest.mark.parametrize("cut", [0, 3, 100, 127, 130, 140, 1000, -8, -1])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_that_are_cut_off_are_told(tmp_path, savemat, cut, compressed):
    path = tmp_path / "some.mat"
    content = {"a": np.random.default_rng(1).normal(size=300), "b": np.arange(300.0)}
    savemat(path, content, do_compression=compressed)
    assert set(read_mat(path, ("a",))) == {"a"}
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    message = rf"some\.mat: is cut off: it has {path.stat().st_size:,} bytes, expected [\d,]+ or more"
    with pytest.raises(ValueError, match=message):
        read_mat(path, ("a",))


def test_big_endian_files_are_whole(tmp_path, savemat):
    # A variable of one number by the format's own description, as SPARC wrote it.
    number = struct.pack(">IId", 9, 8, 1.5)
    flags, shape, name = (
        struct.pack(">IIII", 6, 8, 6, 0),
        struct.pack(">IIii", 5, 8, 1, 1),
        b"\0\1\0\1a\0\0\0",
    )
    body = flags + shape + name + number
    path = tmp_path / "big.mat"
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI"
    path.write_bytes(header + struct.pack(">II", 14, len(body)) + body)
    assert read_mat(path, ("a",))["a"] == 1.5


@pytest.mark.parametrize("content", [b"no table", b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(16)])
def test_broken_files_are_told(tmp_path, savemat, content):
    path = tmp_path / "some.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.mat: is no \.mat file that can be read"):
        read_mat(path, ("a",))


def test_without_scipy_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        RuntimeError, match=r"x\.mat: SciPy reads \.mat files and is not installed; pip install"
    ):
        read_mat(tmp_path / "x.mat", ("a",))
