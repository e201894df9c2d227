"""A checkpoint of detectron2 under its name in the catalogue, served by this machine."""

from __future__ import annotations

import dataclasses
import hashlib
from types import MappingProxyType

import pytest

from cascade_tf.weights.zoo import catalog
from cascade_tf.weights.zoo.catalog_entry import DigestPrefix
from tests.golden import detectron2 as golden
from tests.weights.file_server import serving
from tests.weights.torch_writer import pickle_bytes

NAME = "detectron2/cascade_mask_rcnn_R_50_FPN_3x"


@pytest.fixture(scope="session")
def recorded():
    return golden.load("cascade_rcnn_r50_fpn")


@pytest.fixture(scope="session")
def recorded_checkpoint(recorded):
    """The recorded weights as detectron2 writes them."""
    weights = {
        key.removeprefix("weight/"): value for key, value in recorded.items() if key.startswith("weight/")
    }
    return pickle_bytes({"model": weights, "__author__": "Detectron2 Model Zoo"})


@pytest.fixture
def served(monkeypatch, recorded_checkpoint, tmp_path):
    """The catalogue's entry, on a server of this machine and with the cache in a folder of the test."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("CASCADE_TF_CACHE", str(tmp_path / "cache"))
    with serving(recorded_checkpoint) as server:
        digits = hashlib.md5(recorded_checkpoint).hexdigest()[:6]
        entry = dataclasses.replace(
            catalog.find(NAME), url=server.url, digest_prefix=DigestPrefix("md5", digits)
        )
        monkeypatch.setattr(catalog, "CATALOG", MappingProxyType(dict(catalog.CATALOG) | {NAME: entry}))
        yield server
