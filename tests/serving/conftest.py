"""What the tests of exports share."""

import pytest

from tests.serving.cpp_loader import compile_loader


@pytest.fixture(scope="session")
def cpp_loader(tmp_path_factory):
    """The program that loads a SavedModel as the model server does, compiled once."""
    return compile_loader(tmp_path_factory.mktemp("cpp"))
