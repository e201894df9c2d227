"""What the text in a checkpoint of MMDetection says of its training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cascade_tf.weights.families.conventions import checked_channels

_NUMBERS = r"\s*=\s*[\[(]([-+0-9.,eE\s]*)[\])]"
_MEAN = re.compile(r"\bmean" + _NUMBERS)
_STD = re.compile(r"\bstd" + _NUMBERS)
_IS_RGB = re.compile(r"\b(?:bgr_)?to_rgb\s*=\s*(True|False)")
_STYLE = re.compile(r"\bstyle\s*=\s*['\"](pytorch|caffe)['\"]")
_STANDARDIZED = re.compile(r"['\"]ConvWS['\"]")


def classes_of(metadata: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the classes: ``CLASSES`` (2.x) or ``dataset_meta`` (3.x) below ``meta``; None without.

    Args:
        metadata: of the checkpoint.
    """
    meta = _mapping(metadata.get("meta"))
    data_set = _mapping(meta.get("dataset_meta"))
    for names in (meta.get("CLASSES"), data_set.get("classes"), data_set.get("CLASSES")):
        if isinstance(names, str):
            return (names,)
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def style_of(metadata: Mapping[str, Any]) -> str | None:
    """``"pytorch"`` or ``"caffe"``, the backbone's style in the configuration; None without one.

    Args:
        metadata: of the checkpoint.
    """
    match = _STYLE.search(_configuration(metadata))
    return match[1] if match else None


def pixels_of(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The recipe's ``pixel_order``, ``pixel_mean`` and ``pixel_std`` in the configuration; None without them.

    Args:
        metadata: of the checkpoint.

    Raises:
        ValueError: the configuration standardises the weights of convolutions, which no layer here does.
    """
    text = _configuration(metadata)
    if _STANDARDIZED.search(text):
        raise ValueError("got a network with weight standardisation (ConvWS), expected plain convolutions")
    mean, std, order = _MEAN.search(text), _STD.search(text), _IS_RGB.search(text)
    if not (mean and std and order):
        return None
    return {
        "inputs.order": "RGB" if order[1] == "True" else "BGR",
        "inputs.mean": _channels(mean[1], "mean"),
        "inputs.std": _channels(std[1], "std"),
    }


def _configuration(metadata: Mapping[str, Any]) -> str:
    meta = _mapping(metadata.get("meta"))
    texts = [meta.get("config"), meta.get("cfg")]
    return next((text for text in texts if isinstance(text, str)), "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _channels(text: str, name: str) -> tuple[float, ...]:
    return checked_channels(name, [float(part) for part in text.split(",") if part.strip()])
