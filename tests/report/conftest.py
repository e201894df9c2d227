"""Pages do not touch Keras, whose state takes longer to reset than these tests take."""

import pytest


@pytest.fixture(autouse=True)
def _same_start():
    return
