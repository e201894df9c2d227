"""The configuration that Detectron stores beside its blobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile


def configured(checkpoint: CheckpointFile, section: str, key: str) -> str | None:
    """A value in lower case, or None where the file does not say it.

    The configuration is YAML that names Python classes of Detectron, and is not parsed as such: a section is
    what is indented below its name.

    Args:
        checkpoint: whose metadata may hold the text under ``"cfg"``.
        section: such as ``"MRCNN"``.
        key: such as ``"AT_STAGE"``.
    """
    lines = iter(_text(checkpoint).splitlines())
    for line in lines:
        if line.lstrip().startswith(f"{section}:"):
            return _value(lines, _indent(line), key)
    return None


def check_box_weights(checkpoint: CheckpointFile) -> None:
    """Refuses models whose box offsets have another scale.

    Raises:
        ValueError: the configuration is from before ``MODEL.BBOX_REG_WEIGHTS``.
    """
    text = _text(checkpoint)
    if "MODEL:" in text and "BBOX_REG_WEIGHTS" not in text:
        raise ValueError(
            "got a configuration without MODEL.BBOX_REG_WEIGHTS, of a model "
            "whose box offsets have another scale; expected one of a later version of Detectron"
        )


def _text(checkpoint: CheckpointFile) -> str:
    text = checkpoint.metadata.get("cfg", "")
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _value(lines: Iterator[str], indent: int, key: str) -> str | None:
    for line in lines:
        if _indent(line) <= indent:
            return None
        name, _, value = line.strip().partition(":")
        if name == key:
            return value.strip().lower()
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
