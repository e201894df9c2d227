"""Nets that were recorded from the authors' Caffe code: their files' shapes and values."""

import json
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.weights.files.checkpoint_file import read_checkpoint
from tests.golden.caffe_nets import FOLDER

PIXEL_MEAN = np.array([104, 117, 123], np.float32)[:, None, None]
WITH_WEIGHTS = ("Convolution", "Deconvolution", "InnerProduct", "Scale")
# Other orders of addition; the recordings' README found 5e-6 in another implementation.
RELATIVE = 1e-4


def nets():
    found = sorted(path.parent for path in FOLDER.glob("*/net.caffemodel"))
    return [pytest.param(path, id=path.name) for path in found]


@cache
def read(folder):
    return read_checkpoint(folder / "net.caffemodel")


def tables(folder):
    """The layers of each of a net's phases, by name."""
    record = json.loads((folder / "layers.json").read_text())
    return {phase: table for phase, table in record.items() if isinstance(table, list)}


def both_sizes(settings, name, default):
    """A setting of height and width: given once, twice, or one by one."""
    short = name.removesuffix("_size")
    if f"{short}_h" in settings:
        return int(settings[f"{short}_h"]), int(settings[f"{short}_w"])
    given = settings.get(name, default)
    given = given if isinstance(given, list) else [given]
    return int(given[0]), int(given[-1])


def weight_settings(layer):
    names = ("convolution_param", "inner_product_param", "scale_param")
    return next((layer["params"][name] for name in names if name in layer["params"]), {})


def outputs(layer):
    """Channels that a layer's settings say it puts out, or None."""
    given = weight_settings(layer).get("num_output")
    return None if given is None else int(given)


def weight_shape(layer, channels):
    """From a layer's settings: the shape of its weights, None where unknown, and whether it has a bias."""
    settings, num_outputs = weight_settings(layer), outputs(layer)
    if layer["type"] == "Scale":
        return (channels,), settings.get("bias_term", "false") == "true"
    has_bias = settings.get("bias_term", "true") == "true"
    if layer["type"] == "InnerProduct":
        return (num_outputs, None), has_bias
    group, kernel = int(settings.get("group", 1)), both_sizes(settings, "kernel_size", None)
    if layer["type"] == "Deconvolution":
        return (channels, num_outputs // group, *kernel), has_bias
    return (num_outputs, channels and channels // group, *kernel), has_bias


def channels_of_blobs(layers):
    """The channels that come into each layer, as far as the layers in front tell them."""
    channels, incoming = {"data": 3}, {}
    for layer in layers:
        given = [channels.get(name) for name in layer["bottoms"]]
        incoming[layer["name"]] = given[0] if given else None
        for top in layer["tops"]:
            if outputs(layer):
                channels[top] = outputs(layer)
            elif layer["type"] in ("ReLU", "Scale", "Pooling", "LRN", "Eltwise", "ROIPooling", "ROIAlign"):
                channels[top] = given[0]
            elif layer["type"] == "Concat" and None not in given:
                channels[top] = sum(given)
            elif top != "data":
                channels.pop(top, None)
    return incoming


@pytest.mark.parametrize("folder", nets())
def test_a_nets_layers_and_the_shapes_of_their_weights(folder):
    checkpoint = read(folder)
    types, left = checkpoint.metadata["layers"], dict(checkpoint.arrays)
    phases = tables(folder)
    assert {layer["name"]: layer["type"] for layer in phases["test"]}.items() <= types.items()
    num_checked = 0
    for layers in phases.values():
        incoming = channels_of_blobs(layers)
        for layer in layers:
            name = layer["name"]
            if layer["type"] not in WITH_WEIGHTS:
                continue
            assert types[name] == layer["type"]
            expected, has_bias = weight_shape(layer, incoming[name])
            weight, bias = checkpoint.arrays[f"{name}/0"], checkpoint.arrays.get(f"{name}/1")
            assert weight.dtype == np.float32
            assert len(weight.shape) == len(expected), name
            assert all(want in (None, size) for size, want in zip(weight.shape, expected, strict=True)), name
            assert (bias is not None) == has_bias, name
            if has_bias:
                # Scales put out as many channels as come in.
                assert bias.shape == (outputs(layer) or weight.shape[0],), name
            num_checked += None not in expected
            left.pop(f"{name}/0", None)
            left.pop(f"{name}/1", None)
    assert not left
    assert num_checked > 5


def convolved(given, settings, weight, bias=None):
    """[N, C, h, w] through a convolution."""
    (top, left), strides = both_sizes(settings, "pad", 0), both_sizes(settings, "stride", 1)
    dilations = both_sizes(settings, "dilation", 1)
    padded = np.pad(np.moveaxis(given, 1, -1), ((0, 0), (top, top), (left, left), (0, 0)))
    group = int(settings.get("group", 1))
    parts = [
        tf.nn.conv2d(inputs, np.transpose(filters, (2, 3, 1, 0)), strides, "VALID", dilations=dilations)
        for inputs, filters in zip(np.split(padded, group, -1), np.split(weight, group), strict=True)
    ]
    found = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    return found if bias is None else found + bias[:, None, None]


def pooled(given, settings):
    """The largest of each window; Caffe's last windows may stick out."""
    size, stride = int(settings["kernel_size"]), int(settings["stride"])
    more = [-(length - size) % stride for length in given.shape[2:]]
    padded = np.pad(given, ((0, 0), (0, 0), (0, more[0]), (0, more[1])), constant_values=-np.inf)
    return np.moveaxis(tf.nn.max_pool2d(np.moveaxis(padded, 1, -1), size, stride, "VALID").numpy(), -1, 1)


def normalized(given, settings):
    """Local response normalisation over channels."""
    size = int(settings["local_size"])
    alpha, beta = float(settings["alpha"]) / size, float(settings["beta"])
    found = tf.nn.local_response_normalization(np.moveaxis(given, 1, -1), size // 2, 1.0, alpha, beta)
    return np.moveaxis(found.numpy(), -1, 1)


def computed(layer, given, weights):
    """What a layer puts out; None for those that are no matter of weights and maps."""
    kind, params = layer["type"], layer["params"]
    if kind == "Convolution":
        return convolved(*given, params["convolution_param"], *weights)
    if kind == "InnerProduct":
        found = given[0].reshape(len(given[0]), -1) @ weights[0].T
        return found if len(weights) == 1 else found + weights[1]
    if kind == "Scale":
        return given[0] * weights[0][:, None, None] + weights[1][:, None, None]
    if kind == "ReLU":
        return np.maximum(given[0], 0)
    if kind == "Pooling" and params["pooling_param"]["pool"] == "MAX":
        return pooled(*given, params["pooling_param"])
    if kind == "LRN":
        return normalized(*given, params["lrn_param"])
    if kind == "Eltwise" and not params:
        return sum(given)
    return None


@pytest.mark.parametrize("folder", nets())
def test_weights_give_the_recorded_maps(folder):
    """From the pixels on, layer by layer; what is recorded replaces what was calculated."""
    arrays = read(folder).arrays
    layers = tables(folder)["test"]
    with np.load(folder / "test.npz") as recorded:
        record = {name.removeprefix("out/"): recorded[name] for name in recorded if name.startswith("out/")}
        maps = {"data": recorded["in/data_u8"] - PIXEL_MEAN}
    last = {top: number for number, layer in enumerate(layers) for top in layer["tops"]}
    behind: dict[str, set] = {"data": set()}
    compared = set()
    for number, layer in enumerate(layers):
        top = layer["tops"][0]
        if top == "data":
            continue
        names = layer["bottoms"]
        weights = [arrays[f"{layer['name']}/{i}"] for i in (0, 1) if f"{layer['name']}/{i}" in arrays]
        known = bool(names) and all(name in maps for name in names)
        found = computed(layer, [maps[name] for name in names], weights) if known else None
        used = set().union(*(behind[name] for name in names)) if known else set()
        used |= {layer["name"]} if weights else set()
        for blob in layer["tops"]:
            maps.pop(blob, None)
            if blob in record and last[blob] == number:
                maps[blob], behind[blob] = record[blob], set()
        if found is not None and top not in maps:
            maps[top], behind[top] = found, used
        elif found is not None and used:
            error = np.abs(found - record[top]).max() / np.abs(record[top]).max()
            assert error < RELATIVE, (layer["name"], error)
            compared |= used
    stem = min(name for name in arrays if name.startswith("conv1")).rsplit("/", 1)[0]
    assert stem in compared
    assert len(compared) > 5
