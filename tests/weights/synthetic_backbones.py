"""Backbones in the formats of torchvision, Keras Applications and Caffe's archives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import keras
import numpy as np

from tests.weights.reference_network import batch_norm, convolve, resnet
from tests.weights.synthetic_caffe2 import Model

VGG16_FEATURES = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256),
                  14: (256, 256), 17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512),
                  26: (512, 512), 28: (512, 512)}  # fmt: skip
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def torchvision_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the floating-point tensors of a torchvision ResNet, its classifier included."""
    shapes: dict[str, tuple[int, ...]] = {}

    def add(conv, norm, *shape):
        shapes[f"{conv}.weight"] = shape
        shapes.update({f"{norm}.{vector}": shape[:1] for vector in STATISTICS})

    add("conv1", "bn1", model.stem, 3, 7, 7)
    width = model.stem
    for stage, count in enumerate(model.blocks, start=1):
        inner, outer = model.inner * 2 ** (stage - 1), model.outer * 2 ** (stage - 1)
        for block in range(count):
            prefix = f"layer{stage}.{block}."
            add(f"{prefix}conv1", f"{prefix}bn1", inner, width, 1, 1)
            add(f"{prefix}conv2", f"{prefix}bn2", inner, inner // model.groups, 3, 3)
            add(f"{prefix}conv3", f"{prefix}bn3", outer, inner, 1, 1)
            if block == 0:
                add(f"{prefix}downsample.0", f"{prefix}downsample.1", outer, width, 1, 1)
            width = outer
    shapes |= {"fc.weight": (1000, width), "fc.bias": (1000,)}
    return shapes


def torchvision_vgg16_shapes(width: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's VGG16; a width below 1 divides all channels but the colours.

    Its classifier of 10 classes has 4096 units, which the width divides too.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (outputs, inputs) in VGG16_FEATURES.items():
        inputs = inputs if inputs == 3 else int(inputs * width)
        shapes[f"features.{number}.weight"] = (int(outputs * width), inputs, 3, 3)
        shapes[f"features.{number}.bias"] = (int(outputs * width),)
    units, channels = int(4096 * width), int(512 * width)
    for number, (outputs, inputs) in {0: (units, 49 * channels), 3: (units, units), 6: (10, units)}.items():
        shapes |= {f"classifier.{number}.weight": (outputs, inputs), f"classifier.{number}.bias": (outputs,)}
    return shapes


def keras_vgg16(tensors, names: str = "old") -> dict[str, np.ndarray]:
    """torchvision's VGG16 as the arrays of Keras Applications.

    Args:
        tensors: torchvision's.
        names: ``"old"`` as in the published file, or ``"numbered"`` as in a ``.weights.h5``.
    """
    layers = {"conv2d": [], "dense": []}
    for number in VGG16_FEATURES:
        layers["conv2d"].append((np.transpose(tensors[f"features.{number}.weight"], (2, 3, 1, 0)),
                                 tensors[f"features.{number}.bias"]))  # fmt: skip
    for number in (0, 3, 6):
        kernel, bias = tensors[f"classifier.{number}.weight"], tensors[f"classifier.{number}.bias"]
        if number == 0:
            kernel = np.transpose(kernel.reshape(len(kernel), -1, 7, 7), (0, 2, 3, 1)).reshape(kernel.shape)
        layers["dense"].append((kernel.T, bias))
    convs = [f"block{group}_conv{i}" for group, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
    old = {"conv2d": convs, "dense": ["fc1", "fc2", "predictions"]}
    arrays = {}
    for kind, values in layers.items():
        for number, (kernel, bias) in enumerate(values):
            layer = f"layers/{kind}{f'_{number}' if number else ''}/vars/"
            keys = [f"{old[kind][number]}/{old[kind][number]}_{letter}_1:0" for letter in "Wb"]
            if names == "numbered":
                keys = [f"{layer}0", f"{layer}1"]
            arrays |= dict(zip(keys, (kernel, bias), strict=True))
    return arrays


def write_h5(path: Path, arrays) -> Path:
    """Writes arrays by the names of their data sets."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def distinct(shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Random values of a size that keeps activations near 1."""
    rng = np.random.default_rng(seed)

    def values(name, shape):
        if len(shape) == 1:
            positive = name.endswith(("running_var", "bn_var", "gamma"))
            return rng.uniform(0.5, 1.5, shape) if positive else rng.normal(0, 0.3, shape)
        return rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)

    return {name: values(name, shape).astype(np.float32) for name, shape in shapes.items()}


def torchvision_features(tensors, model: Model, images) -> list:
    """C2 to C5 as torchvision's ResNet computes them."""

    def layer(stage, block, part, x, stride):
        prefix = "" if stage == 1 else f"layer{stage - 1}.{block}."
        conv = "downsample.0" if part == "shortcut" else part
        norm = "downsample.1" if part == "shortcut" else part.replace("conv", "bn")
        x = convolve(x, np.transpose(tensors[f"{prefix}{conv}.weight"], (2, 3, 1, 0)), stride)
        return batch_norm(x, *(tensors[f"{prefix}{norm}.{vector}"] for vector in STATISTICS))

    return resnet(images, model.blocks, layer, stride_in_1x1=False)


def randomize(network: keras.Model, seed: int = 0) -> None:
    """Gives every variable of a Keras network a random value, statistics and biases included."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        shape = variable.shape
        if len(shape) == 1:
            positive = variable.name in ("gamma", "moving_variance")
            variable.assign(rng.uniform(0.5, 1.5, shape) if positive else rng.normal(0, 0.3, shape))
        else:
            variable.assign(rng.normal(0, 1.4 / np.sqrt(np.prod(shape[:-1])), shape))


def write_legacy_h5(path: Path, network: keras.Model, names: str = "new") -> Path:
    """Writes weights as the files that Keras Applications downloads: a group per layer, variables by name.

    With ``names="old"`` variables are called ``block1_conv1_W_1:0``, as in VGG16's file.
    """
    short = {"kernel": "W", "bias": "b"}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            for variable in layer.variables:
                if names == "old":
                    group[f"{layer.name}_{short[variable.name]}_1:0"] = variable.numpy()
                else:
                    group[f"{layer.name}/{variable.name}:0"] = variable.numpy()
    return path


def keras_features(network: keras.Model, layers: Iterable[str], images) -> list:
    """Outputs of named layers."""
    outputs = [network.get_layer(name).output for name in layers]
    return keras.Model(network.input, outputs)(images)
