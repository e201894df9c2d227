"""The benchmarks in small."""

from __future__ import annotations

import pytest

from tests.protocols import layouts


@pytest.fixture
def savemat():
    return pytest.importorskip("scipy.io").savemat


@pytest.fixture
def voc(tmp_path):
    return layouts.write_voc(tmp_path / "VOCdevkit")


@pytest.fixture
def kitti(tmp_path):
    return layouts.write_kitti(tmp_path / "kitti")


@pytest.fixture
def citypersons(tmp_path, savemat):
    return layouts.write_citypersons(tmp_path / "citypersons", savemat)


@pytest.fixture
def widerface(tmp_path, savemat):
    return layouts.write_widerface(tmp_path / "widerface", savemat)
