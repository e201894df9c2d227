"""Which implementation of an op runs: the C++ library or the pure-TensorFlow twin."""

from __future__ import annotations

IMPLEMENTATIONS = ("auto", "custom", "tensorflow")


def check_implementation(implementation: str) -> None:
    """Raises ValueError unless ``implementation`` is one of ``IMPLEMENTATIONS``."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation must be one of {IMPLEMENTATIONS}, got {implementation!r}")
