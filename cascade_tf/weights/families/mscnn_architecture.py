"""Which of the MS-CNN authors' networks a file holds, read off the names and shapes of its blobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.models import (
    cascade_mscnn_citypersons,
    cascade_mscnn_kitti,
    cascade_mscnn_widerface,
    mscnn_citypersons,
    mscnn_kitti,
    mscnn_widerface,
)
from cascade_tf.parts import Part

_VGG_GROUPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
_TEMPLATE = re.compile(r"LFCN_(\d)_(\d+)x(\d+)/0")
_RECIPES = {
    1: (mscnn_kitti, mscnn_citypersons, mscnn_widerface),
    3: (cascade_mscnn_kitti, cascade_mscnn_citypersons, cascade_mscnn_widerface),
}


def template_layers(blobs: Mapping[str, np.ndarray]) -> list[list[str]]:
    """For each branch the names of the convolutions of its templates, from small to large.

    Args:
        blobs: arrays by ``LAYER/INDEX``.
    """
    found: dict[int, list[tuple[int, int, str]]] = {}
    for name in blobs:
        match = _TEMPLATE.fullmatch(name)
        if match:
            branch, width, height = map(int, match.groups())
            found.setdefault(branch, []).append((width, height, name.removesuffix("/0")))
    return [[name for *_, name in sorted(found[branch])] for branch in sorted(found)]


def hidden_layer(branch: int, blobs: Mapping[str, np.ndarray]) -> str | None:
    """The convolution before the templates of a branch, from 1; None where there is none."""
    names = (f"rpn_{branch}_conv", f"loss{branch}_conv1")
    return next((name for name in names if f"{name}/0" in blobs), None)


def stages_of(blobs: Mapping[str, np.ndarray]) -> int:
    """T, the number of heads."""
    return 1 + sum(f"cls_pred_{suffix}/0" in blobs for suffix in ("2nd", "3rd", "4th"))


def recipe_of_blobs(blobs: Mapping[str, np.ndarray]) -> Part:
    """The network that blobs of these names and shapes belong to, baseline or cascade.

    Args:
        blobs: arrays by ``LAYER/INDEX``.

    Raises:
        ValueError: none of them.
    """
    stages, kernels = stages_of(blobs), _kernels(blobs)
    if stages not in _RECIPES:
        raise ValueError(f"got {stages} heads, expected 1, a baseline, or 3, a cascade")
    for recipe in _RECIPES[stages]:
        if recipe.value("proposals.kernels") == kernels:
            return recipe
    raise ValueError(
        f"got proposal branches with kernels {kernels}, expected those for KITTI, CityPersons or WIDER FACE"
    )


def _kernels(blobs: Mapping[str, np.ndarray]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each branch the (height, width) of the kernel of each template."""
    return tuple(
        tuple(tuple(blobs[f"{name}/0"].shape[2:]) for name in names) for names in template_layers(blobs)
    )


def architecture(blobs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Settings of the recipe that the shapes tell.

    Args:
        blobs: arrays by ``LAYER/INDEX``.

    Raises:
        ValueError: the shapes are of a network that cannot be built here.
    """
    recipe = recipe_of_blobs(blobs)
    layers = [hidden_layer(branch, blobs) for branch in range(1, len(template_layers(blobs)) + 1)]
    channels = len(blobs["roi_c1/0"])
    size = recipe.value("heads.pooling.output_size")
    height, width = size if isinstance(size, tuple) else (size, size)
    border = 2 if recipe.value("heads.head.padding") == "valid" else 0
    wanted, inputs = channels * (height - border) * (width - border), blobs["fc6/0"].shape[-1]
    if inputs != wanted:
        raise ValueError(f"got fc6/0 with {inputs} inputs, expected {wanted}")
    # Its weights are a fixed interpolation; nets without it pool from conv4_3 as it is.
    smaller = recipe.value("neck.enlarged") and "conv4_3_2x/0" not in blobs
    as_it_is = {"neck.enlarged": False, "heads.pooling.level": "P3", "heads.pooling.stride": 8}
    return {
        **(as_it_is if smaller else {}),
        "backbone.channels": tuple(len(blobs[f"{name}/0"]) for name in _VGG_GROUPS),
        "neck.channels": len(blobs["conv6_1/0"]) if "conv6_1/0" in blobs else None,
        "proposals.hidden": tuple(None if layer is None else len(blobs[f"{layer}/0"]) for layer in layers),
        "heads.head.channels": channels,
        "heads.head.units": len(blobs["fc6/0"]),
        "heads.head.class_agnostic": _is_class_agnostic(blobs, recipe),
        "heads.head.background_offsets": True,
    }


def _is_class_agnostic(blobs: Mapping[str, np.ndarray], recipe: Part) -> bool:
    rows, classes = len(blobs["bbox_pred/0"]), len(blobs["cls_pred/0"])
    # With one class it is eight outputs either way.
    if rows == 8 and classes == 2:
        return recipe.value("heads.head.class_agnostic")
    if rows not in (8, 4 * classes):
        raise ValueError(f"got {rows} offsets of a box, expected 8, or {4 * classes} of {classes} classes")
    return rows == 8


def conventions(recipe: Part) -> dict[str, Any]:
    """What no blob tells: the networks' arithmetic of pixels, and a template with two sizes.

    Args:
        recipe: of ``recipe_of_blobs``.
    """
    templates = recipe.value("proposals.templates")
    # Assigned and decoded with 196 pixels; only the layer of its loss has 192.
    sizes = {(192.0, 192.0): (196.0, 196.0)}
    return {
        "round_sides": True,
        "inputs.order": "BGR",
        "inputs.mean": (104.0, 117.0, 123.0),
        "inputs.std": (1.0, 1.0, 1.0),
        "proposals.templates": tuple(tuple(sizes.get(one, one) for one in level) for level in templates),
        "proposals.inclusive": True,
        "proposals.shift_into_image": True,
        "heads.inclusive": True,
        "heads.pooling.inclusive": True,
        "heads.crowd_cover": None,
        "heads.round_statistics": True,
    }


def templates_of(metadata: Mapping[str, Any], recipe: Part) -> tuple[Any, ...] | None:
    """The templates of each branch, (width, height), where the file says them; None where it does not.

    Args:
        metadata: of the checkpoint.
        recipe: of ``recipe_of_blobs``, with as many templates.

    Raises:
        ValueError: there are others than the branches have, or one is empty.
    """
    layers = metadata.get("templates")
    if not isinstance(layers, Mapping) or not layers:
        return None
    layer, found = next(iter(layers.items()))
    counts = [len(level) for level in recipe.value("proposals.templates")]
    if len(found) != sum(counts) or not all(side > 0 for sides in found for side in sides):
        raise ValueError(
            f"got the templates {found} of the layer {layer!r}, expected {sum(counts)} of pixels"
        )
    sizes = iter(tuple(map(float, sides)) for sides in found)
    return tuple(tuple(next(sizes) for _ in range(count)) for count in counts)


def kernel_elements(settings: Mapping[str, Any], recipe: Part, num_classes: int) -> int:
    """Elements of the kernels of the backbone, the neck and the heads.

    Args:
        settings: of ``architecture``.
        recipe: of ``recipe_of_blobs``.
        num_classes: K.
    """
    found, inputs = 0, 3
    channels = settings["backbone.channels"]
    for count, convolutions in zip(channels, (2, 2, 3, 3, 3), strict=True):
        found += 9 * count * (inputs + (convolutions - 1) * count)
        inputs = count
    found += 9 * channels[-1] * (settings["neck.channels"] or 0)
    found += sum(9 * channels[-1] * count for count in settings["proposals.hidden"] if count)
    hidden, units = settings["heads.head.channels"], settings["heads.head.units"]
    head = 9 * 2 * channels[-2] * hidden + 25 * hidden * units + units * (num_classes + 1 + 8)
    return found + len(recipe.value("heads.ious")) * head
