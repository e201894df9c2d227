"""Pre-trained ResNet backbones from NumPy archives in Caffe's naming."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.backbones import ResNet

# Caffe numbers stages and blocks from 0 and calls the convolutions branch2a to branch2c.
_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "proj_shortcut"}


def load_resnet_npz(backbone: ResNet, path: str | Path) -> int:
    """Loads an ImageNet backbone into a ResNet with frozen or synchronised batch normalisation.

    The archive holds, for every convolution, ``NAME/kernel`` (HWIO) and optionally ``NAME/bias``, and for its
    batch normalisation ``NAME/bn_mean``, ``bn_var``, ``bn_gamma``, ``bn_beta``. A convolution's bias is
    folded into the mean, because the network's own convolutions have none.

    Args:
        backbone: of the archive's depth and width, with stride in the first 1x1 convolution where Caffe has
            it.
        path: the ``.npz`` file.

    Returns:
        Number of arrays that were loaded.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no archive, or names or shapes differ; the message lists them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"backbone weights: no such file: {path}")
    try:
        # NumPy leaves the file open when it fails on a path.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"backbone weights: {path} is not a readable .npz archive ({error})") from None
    wanted = _wanted(backbone)
    values = _values(wanted, arrays)
    problems = [f"{name} is missing" for name in wanted if name not in values]
    used = {source for name in wanted for source in _sources(name) if source in arrays}
    problems += [f"{name} is not used" for name in sorted(set(arrays) - used)]
    problems += [
        f"{name} has shape {values[name].shape}, expected {tuple(variable.shape)}"
        for name, variable in wanted.items()
        if name in values and values[name].shape != tuple(variable.shape)
    ]
    if problems:
        shown = "; ".join(problems[:6]) + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
        raise ValueError(
            f"backbone weights: {path} does not fit a ResNet-{backbone.depth} "
            f"of width {backbone.width}: {shown}"
        )
    for name, variable in wanted.items():
        variable.assign(values[name])
    return len(used)


def _wanted(backbone: ResNet) -> dict[str, Any]:
    """The backbone's variables by the archive's names."""
    wanted = {}
    names = [layer.name for layer in backbone.layers if hasattr(layer, "kernel")]
    for name in names:
        source = _caffe_name(name)
        wanted[f"{source}/kernel"] = backbone.get_layer(name).kernel
        norm = backbone.get_layer(f"{name}_norm")
        if not hasattr(norm, "moving_mean"):
            raise ValueError(
                f"backbone weights: a backbone with norm={backbone.norm!r} has no batch statistics"
            )
        wanted[f"{source}/bn_mean"] = norm.moving_mean
        wanted[f"{source}/bn_var"] = norm.moving_variance
        wanted[f"{source}/bn_gamma"] = norm.gamma
        wanted[f"{source}/bn_beta"] = norm.beta
    return wanted


def _caffe_name(name: str) -> str:
    if name == "stem_conv1":
        return "conv_1"
    stage, block, part = name.split("_")
    return f"conv_stage{int(stage[3:]) - 2}_block{block}_{_BRANCHES[part]}"


def _sources(name: str) -> tuple[str, ...]:
    return (name, name.replace("/bn_mean", "/bias")) if name.endswith("/bn_mean") else (name,)


def _values(wanted: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values = {name: np.asarray(arrays[name], np.float32) for name in wanted if name in arrays}
    for name in values:
        if name.endswith("/bn_mean"):
            bias = arrays.get(name.replace("/bn_mean", "/bias"))
            if bias is not None and bias.shape == values[name].shape:
                values[name] = values[name] - bias
    return values
