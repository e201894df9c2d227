"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cascade_tf

MODULES = [
    "cascade_tf",
    *(module.name for module in pkgutil.walk_packages(cascade_tf.__path__, "cascade_tf.")),
]
OPTIONAL = {"cascade_tf.bulk.pipeline": "apache_beam"}


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason="an optional package that is not installed")
    module = importlib.import_module(name)
    assert module.__doc__, "a module says what it is for"
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
