"""The folder of the clone."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Holds ``cascade_tf/`` and ``scripts/``."""
