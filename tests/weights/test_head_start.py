"""ImageNet's fully connected layers in the heads of detectors on VGG16."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.models import cascade_rcnn_vgg16, faster_rcnn_vgg16
from cascade_tf.necks import FPN
from cascade_tf.parts import part
from cascade_tf.weights.importing import load_backbone
from tests.weights.synthetic_backbones import (
    distinct,
    keras_vgg16,
    torchvision_vgg16_shapes,
    write_h5,
)
from tests.weights.torch_writer import write_torch_zip

WIDTH = 1 / 32
UNITS, CHANNELS = 128, 16
TENSORS = distinct(torchvision_vgg16_shapes(WIDTH), seed=3)
LOADED = [f"classifier.{number}.{kind}" for number in (0, 3) for kind in ("weight", "bias")]
RGB = {
    "inputs.order": "RGB",
    "inputs.mean": (123.675, 116.28, 103.53),
    "inputs.std": (58.395, 57.12, 57.375),
}
# Float32 sums of 784 products in another order.
ROUNDING = 1e-5


def detector(recipe, **settings):
    small = {"backbone.width": WIDTH, "proposals.channels": 4, "heads.head.units": UNITS}
    return recipe(("cell", "disc"), **(small | settings))


@pytest.fixture(scope="module")
def torchvision_file(tmp_path_factory):
    return write_torch_zip(tmp_path_factory.mktemp("vgg16") / "vgg16.pth", TENSORS)


@pytest.fixture(scope="module")
def shared_detector():
    return detector(faster_rcnn_vgg16, **RGB)


@pytest.fixture(scope="module")
def shared_keras_detector():
    return detector(faster_rcnn_vgg16)


def norms(rows):
    return np.linalg.norm(rows, axis=1)


def kept_units(units):
    """Numbers of the units that stay in both layers."""
    first = np.sort(np.argsort(-norms(TENSORS["classifier.0.weight"]))[:units])
    second = np.sort(np.argsort(-norms(TENSORS["classifier.3.weight"][:, first]))[:units])
    return first, second


def features_of_torchvision(pooled, units=UNITS):
    """What the second layer gives for [R, 7, 7, C] with the units at zero that do not stay."""
    first, second = kept_units(units)
    flat = np.transpose(pooled, (0, 3, 1, 2)).reshape(len(pooled), -1)
    x = np.maximum(flat @ TENSORS["classifier.0.weight"].T + TENSORS["classifier.0.bias"], 0)
    x[:, np.setdiff1d(np.arange(UNITS), first)] = 0
    x = np.maximum(x @ TENSORS["classifier.3.weight"].T + TENSORS["classifier.3.bias"], 0)
    return x[:, second]


def assert_heads_compute_torchvisions(found, units=UNITS):
    pooled = np.random.default_rng(4).normal(size=(6, 7, 7, CHANNELS)).astype(np.float32)
    features = features_of_torchvision(pooled, units)
    assert np.std(features) > 0.1
    for stage in found.heads.stages:
        kernel, bias = stage.head.classifier.get_weights()
        expected = features @ kernel + bias
        logits, _ = stage.head(pooled)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


def test_every_stage_gets_a_copy_of_all_units(torchvision_file):
    found = detector(cascade_rcnn_vgg16, **RGB)
    report = load_backbone(found, torchvision_file)
    assert_heads_compute_torchvisions(found)
    heads = {f"head{stage}.fc{layer}.kernel" for stage in (1, 2, 3) for layer in (1, 2)}
    assert heads < report.loaded.keys()
    assert report.loaded["head2.fc2.bias"] == ("classifier.3.bias",)
    assert report.unused == dict.fromkeys(
        ("classifier.6.weight", "classifier.6.bias"), "ImageNet's classifier"
    )
    assert "4 tensors loaded into several variables each: classifier.0.weight" in report.to_text()
    # Each has its own: training one leaves the others.
    first, second = (found.heads.stages[number].head.dense[0].kernel for number in (0, 1))
    first.assign(first * 0)
    assert np.any(second.numpy())


def test_fewer_units_are_the_strongest(torchvision_file):
    found = detector(cascade_rcnn_vgg16, **RGB, **{"heads.head.units": 64})
    report = load_backbone(found, torchvision_file)
    assert_heads_compute_torchvisions(found, units=64)
    assert set(report.unused) == {"classifier.6.weight", "classifier.6.bias"}
    first, _ = kept_units(64)
    _, bias = found.heads.stages[0].head.dense[0].get_weights()
    np.testing.assert_array_equal(bias, TENSORS["classifier.0.bias"][first])


def test_numbered_layers_of_another_classifier(tmp_path, shared_keras_detector):
    arrays = keras_vgg16(TENSORS, "numbered")
    fewer = {name: array for name, array in arrays.items() if not name.startswith("layers/dense_2/")}
    report = load_backbone(shared_keras_detector, write_h5(tmp_path / "other.h5", fewer))
    assert not any(name.startswith("head") for name in report.loaded)
    assert "its layers are not all there" in report.unused["layers/dense_1/vars/0"]


@pytest.mark.parametrize("names", ["old", "numbered"])
def test_keras_applications(tmp_path, shared_keras_detector, names):
    path = write_h5(tmp_path / "vgg16.h5", keras_vgg16(TENSORS, names))
    found = shared_keras_detector
    for layer in found.heads.stages[0].head.dense:
        layer.set_weights([np.zeros_like(array) for array in layer.get_weights()])
    report = load_backbone(found, path)
    assert report.source == "keras_applications"
    assert_heads_compute_torchvisions(found)
    assert set(report.unused.values()) == {"ImageNet's classifier"}
    assert len(report.unused) == 2


def test_more_units(torchvision_file):
    found = detector(faster_rcnn_vgg16, **RGB, **{"heads.head.units": 130})
    before = found.get_weights()
    message = "the heads have 130 units and the classifier 128, expected no more: heads.head.units=128"
    with pytest.raises(ValueError, match=message):
        load_backbone(found, torchvision_file)
    for old, new in zip(before, found.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    report = load_backbone(found, torchvision_file, allow_partial=True)
    assert "the heads have 130 units" in report.unused["classifier.0.weight"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"heads.pooling.output_size": 5},
            "the heads read 5 x 5 cells of 16 channels, and it 7 x 7 cells of 16 channels",
        ),
        # As many channels as conv5_3.
        (
            {
                "backbone.levels": ("C4", "C5"),
                "proposals.levels": ("C5",),
                "heads.pooling.level": "C4",
                "heads.pooling.stride": 8,
            },
            "the heads read C4, and it C5",
        ),
        (
            {"heads.head.num_convs": 1, "heads.head.num_fcs": 2, "heads.head.conv_channels": CHANNELS},
            "the heads have conv1, fc1, fc2 before their outputs, and it fc1, fc2",
        ),
        (
            {"neck": part(FPN, channels=CHANNELS, first_level=5, num_extra_levels=0)},
            "the heads read the neck's maps, and it the backbone's C5",
        ),
    ],
    ids=["cells", "map", "convolutions", "neck"],
)
def test_detectors_of_other_shapes_get_the_backbone_alone(torchvision_file, settings, reason):
    found = detector(faster_rcnn_vgg16, **RGB, **settings)
    before = found.heads.get_weights()
    report = load_backbone(found, torchvision_file)
    for old, new in zip(before, found.heads.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert report.missing == {}
    assert report.loaded.keys() == {name for name in report.loaded if name.startswith("backbone.")}
    assert {name: report.unused[name] for name in LOADED} == dict.fromkeys(
        LOADED, f"of ImageNet's classifier; {reason}"
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"classifier.0.weight": None}, "its layers are not all there"),
        # Then classifier.3 is that of another data set's classes.
        ({"classifier.6.weight": None}, "its layers are not all there"),
        ({"classifier.0.weight": (UNITS, 512)}, "its layers are not all there, or read no such cells"),
        ({"classifier.3.weight": (UNITS, UNITS - 1)}, "its fc2.kernel has the shape (127, 128)"),
        ({"classifier.0.bias": (UNITS - 1,)}, "its fc1.bias has the shape (127,)"),
    ],
)
def test_other_classifiers(tmp_path, shared_detector, changed, reason):
    tensors = dict(TENSORS)
    for name, shape in changed.items():
        del tensors[name]
        if shape:
            tensors[name] = np.zeros(shape, np.float32)
    report = load_backbone(shared_detector, write_torch_zip(tmp_path / "other.pth", tensors))
    assert not any(name.startswith("head") for name in report.loaded)
    assert reason in report.unused["classifier.3.bias"]
