"""Backbones from ImageNet: the imported features are those of the network that the weights come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cascade_tf.backbones import VGG16, AlexNet, ResNet
from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.weights.families import BACKBONE_FAMILIES
from cascade_tf.weights.families.detectron_imagenet import DETECTRON_IMAGENET
from cascade_tf.weights.families.keras_applications import KERAS_APPLICATIONS
from cascade_tf.weights.families.torchvision import TORCHVISION
from cascade_tf.weights.files.checkpoint_file import CheckpointFile
from cascade_tf.weights.importing import load_backbone
from tests.weights import synthetic_caffe2
from tests.weights.reference_network import resnet
from tests.weights.synthetic_backbones import (
    distinct,
    keras_features,
    randomize,
    torchvision_features,
    torchvision_shapes,
    torchvision_vgg16_shapes,
    write_legacy_h5,
)
from tests.weights.synthetic_caffe2 import SMALL, Caffe2Network, Model, backbone_shapes, weightless
from tests.weights.torch_writer import write_pickle, write_torch_zip

# Float32 sums in another order, through up to 150 layers, relative to the largest value; 3e-6 was measured.
ROUNDING = 1e-5

PLAIN = Model(**SMALL)
GROUPED = replace(PLAIN, inner=8, groups=2)
RESNET50_OUTPUTS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
VGG16_OUTPUTS = ("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")


def small_resnet(model=PLAIN, **settings):
    return ResNet(
        14,
        width=model.outer / 256,
        stem_channels=model.stem,
        cardinality=model.groups,
        **settings,
    )


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_equal_maps(features, expected):
    for got, wanted in zip(features.values(), expected, strict=True):
        wanted = np.asarray(wanted)
        assert np.std(wanted) > 0.01
        np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.max(np.abs(wanted)))


def checkpoint(arrays, container="pickle"):
    return CheckpointFile(arrays, {}, container, Path("weights"))


class TestTorchvision:
    @pytest.mark.parametrize("model", [PLAIN, GROUPED], ids=["resnet", "resnext"])
    def test_resnet(self, tmp_path, model):
        tensors = distinct(torchvision_shapes(model))
        counters = {"bn1.num_batches_tracked": np.asarray(7)}
        path = write_torch_zip(tmp_path / "resnet.pth", tensors | counters)
        backbone = small_resnet(model, stride_in_1x1=False)
        report = load_backbone(backbone, path)
        assert report.source == "torchvision"
        assert report.missing == {}
        assert {name: report.unused.get(name) for name in ("fc.weight", "fc.bias")} == dict.fromkeys(
            ("fc.weight", "fc.bias"), "ImageNet's classifier"
        )
        images = random(2, 64, 96, 3)
        assert_equal_maps(backbone(images), torchvision_features(tensors, model, images))

    def test_vgg16(self, tmp_path):
        tensors = distinct(torchvision_vgg16_shapes(1 / 16))
        path = write_torch_zip(tmp_path / "vgg16.pth", tensors)
        backbone = VGG16(width=1 / 16)
        report = load_backbone(backbone, path)
        assert report.missing == {}
        assert set(report.unused) == {name for name in tensors if name.startswith("classifier.")}
        for name, number in {"conv1_1": 0, "conv2_2": 7, "conv3_3": 14, "conv4_1": 17, "conv5_3": 28}.items():
            kernel, bias = backbone.get_layer(name).get_weights()
            np.testing.assert_array_equal(
                kernel[2, 1, 0, 3], tensors[f"features.{number}.weight"][3, 0, 2, 1]
            )
            np.testing.assert_array_equal(bias, tensors[f"features.{number}.bias"])

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (Model(), {"backbone.depth": 50, "backbone.cardinality": 1, "backbone.width_per_group": 64}),
            (Model(depth=152), {"backbone.depth": 152}),
            (
                Model(depth=101, groups=32, inner=256),
                {"backbone.depth": 101, "backbone.cardinality": 32, "backbone.width_per_group": 8},
            ),
            (
                Model(inner=128),
                {"backbone.depth": 50, "backbone.cardinality": 1, "backbone.width_per_group": 128},
            ),
        ],
        ids=["resnet50", "resnet152", "resnext101_32x8d", "wide_resnet50_2"],
    )
    def test_settings_of_released_weights(self, model, expected):
        found = TORCHVISION.settings(checkpoint(weightless(torchvision_shapes(model)), "torch"))
        wanted = expected | {
            "backbone.stride_in_1x1": False,
            "inputs.order": "RGB",
            "inputs.mean": (123.675, 116.28, 103.53),
            "inputs.std": (58.395, 57.12, 57.375),
        }
        assert {name: found[name] for name in wanted} == wanted

    def test_vgg16_with_batch_normalisation(self, tmp_path):
        tensors = distinct(torchvision_vgg16_shapes(1 / 16))
        tensors["features.1.weight"] = np.ones(4, np.float32)
        path = write_torch_zip(tmp_path / "vgg16_bn.pth", tensors)
        with pytest.raises(ValueError, match=r"features \[0, 1, 2,.*without batch normalisation"):
            load_backbone(VGG16(width=1 / 16), path)

    def test_alexnet_is_another_network(self, tmp_path):
        tensors = {f"features.{i}.weight": np.ones((4, 4, 3, 3), np.float32) for i in (0, 3, 6, 8, 10)}
        path = write_torch_zip(tmp_path / "alexnet.pth", tensors)
        with pytest.raises(ValueError, match="torchvision's AlexNet, which has neither the groups nor"):
            load_backbone(AlexNet((2, 4, 4, 4, 4)), path)

    def test_basic_blocks(self, tmp_path):
        tensors = {"layer1.0.conv1.weight": random(8, 8, 3, 3), "conv1.weight": random(8, 3, 7, 7)}
        path = write_torch_zip(tmp_path / "resnet18.pth", tensors)
        with pytest.raises(ValueError, match="got a backbone with"):
            load_backbone(small_resnet(), path)


class TestDetectron:
    @pytest.mark.parametrize(
        "model", [PLAIN, GROUPED, replace(PLAIN, gn=True)], ids=["msra", "resnext", "group_norm"]
    )
    def test_resnet(self, tmp_path, model):
        blobs = synthetic_caffe2.distinct(backbone_shapes(model))
        extra = {
            "fc1000_w": random(10, 128),
            "pred_b": random(10),
            "conv1_b": np.zeros(6, np.float32),
            "res5_0_branch2c_b": np.zeros(128, np.float32),
            "conv1_w_momentum": blobs["conv1_w"],
        }
        path = write_pickle(tmp_path / "R-50.pkl", blobs | extra, protocol=2, python2=True)
        microsoft = model == PLAIN
        backbone = small_resnet(model, stride_in_1x1=microsoft, norm="group" if model.gn else "frozen")
        report = load_backbone(backbone, path)
        assert report.source == "detectron_imagenet"
        assert report.missing == {}
        assert set(report.unused) == set(extra)
        images = random(2, 64, 96, 3)
        expected = Caffe2Network(blobs, model, stride_in_1x1=microsoft)
        maps = resnet(images, model.blocks, expected.backbone_layer, microsoft)
        assert_equal_maps(backbone(images), maps)

    @pytest.mark.parametrize("model", [PLAIN, GROUPED], ids=["msra", "fair"])
    def test_statistics_where_the_file_has_them(self, tmp_path, model):
        blobs = synthetic_caffe2.distinct(backbone_shapes(model))
        rng = np.random.default_rng(5)
        for name in [name for name in blobs if name.endswith("_bn_s")]:
            blobs[f"{name[:-2]}_rm"] = rng.normal(size=blobs[name].shape)
            blobs[f"{name[:-2]}_riv"] = rng.uniform(0.5, 2, blobs[name].shape)
        path = write_pickle(tmp_path / "X-101.pkl", {"blobs": blobs}, protocol=2, python2=True)
        backbone = small_resnet(model, stride_in_1x1=model == PLAIN)
        report = load_backbone(backbone, path)
        assert report.unused == report.missing == {}
        expected = (1.0, 1.0, 1.0) if model == PLAIN else (57.375, 57.12, 58.395)
        assert report.settings["inputs.std"] == expected
        norm = backbone.get_layer("stem_conv1_norm")
        np.testing.assert_allclose(norm.moving_mean, blobs["res_conv1_bn_rm"], rtol=1e-6)
        # The blob's name promises an inverse; it is the variance.
        np.testing.assert_allclose(norm.moving_variance, blobs["res_conv1_bn_riv"], rtol=1e-6)

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (Model(), {"backbone.depth": 50, "backbone.norm": "frozen", "backbone.stride_in_1x1": True}),
            (Model(depth=101), {"backbone.depth": 101, "backbone.stride_in_1x1": True}),
            (
                Model(gn=True),
                {"backbone.depth": 50, "backbone.norm": "group", "backbone.stride_in_1x1": False},
            ),
            (
                Model(depth=101, groups=32, inner=256),
                {
                    "backbone.depth": 101,
                    "backbone.cardinality": 32,
                    "backbone.width_per_group": 8,
                    "backbone.stride_in_1x1": False,
                },
            ),
            (Model(depth=152, groups=32, inner=256), {"backbone.depth": 152, "backbone.cardinality": 32}),
        ],
        ids=["R-50", "R-101", "R-50-GN", "X-101-32x8d", "X-152-32x8d-IN5k"],
    )
    def test_settings_of_released_weights(self, model, expected):
        found = DETECTRON_IMAGENET.settings(checkpoint(weightless(backbone_shapes(model))))
        wanted = expected | {
            "inputs.order": "BGR",
            "inputs.mean": (102.9801, 115.9465, 122.7717),
            "inputs.std": (1.0, 1.0, 1.0),
        }
        assert {name: found[name] for name in wanted} == wanted


@pytest.fixture(scope="module")
def resnet50():
    """Keras's own network with random weights, and what it computes for some images."""
    network = keras.applications.ResNet50(weights=None, classes=3)
    randomize(network)
    images = random(1, 64, 96, 3)
    body = keras.applications.ResNet50(weights=None, include_top=False)
    body.set_weights(network.get_weights()[:-2])
    return network, images, keras_features(body, RESNET50_OUTPUTS, images)


class TestKerasApplications:
    @pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
    def test_resnet50(self, tmp_path, resnet50, ending):
        network, images, expected = resnet50
        path = tmp_path / f"resnet50{ending}"
        if ending == ".h5":
            write_legacy_h5(path, network)
        else:
            network.save_weights(path)
        backbone = ResNet(50)
        report = load_backbone(backbone, path)
        assert report.source == "keras_applications"
        assert report.missing == {}
        assert len(report.unused) == 2
        assert set(report.unused.values()) == {"ImageNet's classifier"}
        assert_equal_maps(backbone(images), expected)
        wanted = {
            "backbone.depth": 50,
            "backbone.width": 1.0,
            "backbone.stem_channels": 64,
            "backbone.stride_in_1x1": True,
            "inputs.order": "BGR",
            "inputs.mean": (103.939, 116.779, 123.68),
            "inputs.std": (1.0, 1.0, 1.0),
        }
        assert {name: report.settings[name] for name in wanted} == wanted

    def test_the_pixels_are_those_of_its_preprocessing(self):
        found = KERAS_APPLICATIONS.settings(checkpoint({"block1_conv1/kernel:0": random(3, 3, 3, 64)}))
        pixels = np.asarray([[[200.0, 50.0, 10.0]]])
        expected = keras.applications.resnet.preprocess_input(pixels.copy())
        assert found["inputs.order"] == "BGR"
        ours = (pixels[..., ::-1] - found["inputs.mean"]) / found["inputs.std"]
        np.testing.assert_allclose(ours, expected, rtol=1e-6)

    @pytest.mark.parametrize("names", ["old", "new", "numbered"])
    def test_vgg16(self, tmp_path, names):
        network = keras.applications.VGG16(weights=None, include_top=False)
        randomize(network)
        path = tmp_path / ("vgg16.weights.h5" if names == "numbered" else "vgg16.h5")
        if names == "numbered":
            network.save_weights(path)
        else:
            write_legacy_h5(path, network, names)
        backbone = VGG16()
        report = load_backbone(backbone, path)
        assert report.missing == report.unused == {}
        images = random(1, 32, 48, 3)
        assert_equal_maps(backbone(images), keras_features(network, VGG16_OUTPUTS, images))

    @pytest.mark.slow
    @pytest.mark.parametrize("depth", [101, 152])
    def test_deeper_networks_by_number(self, tmp_path, depth):
        network = getattr(keras.applications, f"ResNet{depth}")(weights=None, include_top=False)
        randomize(network)
        path = tmp_path / "deep.weights.h5"
        network.save_weights(path)
        backbone = ResNet(depth)
        load_backbone(backbone, path)
        images = random(1, 32, 32, 3)
        outputs = [f"conv{stage}_block{count}_out" for stage, count in enumerate(BLOCKS[depth], start=2)]
        assert_equal_maps(backbone(images), keras_features(network, outputs, images))

    def test_another_epsilon_and_a_bias_by_hand(self, tmp_path, resnet50):
        network, _, _ = resnet50
        path = write_legacy_h5(tmp_path / "resnet50.h5", network)
        variance = np.linspace(1e-8, 1e-6, 64, dtype=np.float32)
        with h5py.File(path, "r+") as file:
            file["conv1_bn/conv1_bn/moving_variance:0"][...] = variance
        backbone = ResNet(50)
        load_backbone(backbone, path)
        theirs = network.get_layer("conv1_bn")
        bias = network.get_layer("conv1_conv").bias.numpy()
        gamma, beta, mean, _ = theirs.get_weights()
        x = random(1, 2, 2, 64)
        expected = (x + bias - mean) / np.sqrt(variance + np.float64(theirs.epsilon)) * gamma + beta
        # Left alone, the smallest variances would be off by 0.05 %.
        scale, offset = backbone.get_layer("stem_conv1_norm").affine()
        np.testing.assert_allclose(x * scale + offset, expected, rtol=2e-5, atol=2e-4)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"conv1_conv/kernel:0": random(7, 7, 3, 6)}, "got a backbone with"),
            (
                {"conv1_conv/kernel:0": random(7, 7, 3, 6), "conv2_block1_preact_bn/gamma:0": random(6)},
                "version 2",
            ),
            (
                {f"layers/conv2d_{i}/vars/0": random(3, 3, 3, 4) for i in range(5)},
                "got 5 convolutions and 0 batch",
            ),
        ],
    )
    def test_other_networks(self, arrays, message):
        assert KERAS_APPLICATIONS.matches(checkpoint(arrays))
        with pytest.raises(ValueError, match=message):
            KERAS_APPLICATIONS.settings(checkpoint(arrays))


class TestLoading:
    @pytest.fixture
    def torchvision_file(self, tmp_path):
        return write_torch_zip(tmp_path / "resnet.pth", distinct(torchvision_shapes(PLAIN)))

    def test_no_two_families_claim_a_file(self):
        files = [
            torchvision_shapes(PLAIN),
            torchvision_vgg16_shapes(),
            backbone_shapes(PLAIN),
            {"conv1_conv/kernel:0": (7, 7, 3, 6)},
            {"layers/conv2d/vars/0": (7, 7, 3, 6)},
            {"conv_1/kernel": (7, 7, 3, 6)},
            {"conv1/0": (6, 3, 7, 7), "res2a_branch2a/0": (4, 6, 1, 1)},
            {"conv1_1/0": (64, 3, 3, 3)},
        ]
        for shapes in files:
            claims = [
                family.name for family in BACKBONE_FAMILIES if family.matches(checkpoint(weightless(shapes)))
            ]
            assert len(claims) == 1

    def test_strides_in_the_other_convolution(self, torchvision_file):
        backbone = small_resnet(stride_in_1x1=True)
        before = backbone.get_weights()
        with pytest.raises(ValueError, match="got a backbone with stride_in_1x1=True, expected False"):
            load_backbone(backbone, torchvision_file)
        for old, new in zip(before, backbone.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        assert load_backbone(backbone, torchvision_file, allow_partial=True).missing == {}

    def test_group_norm_takes_no_statistics(self, torchvision_file):
        with pytest.raises(ValueError, match=r"tensors without a variable: bn1\.running_mean"):
            load_backbone(small_resnet(norm="group", stride_in_1x1=False), torchvision_file)

    def test_another_depth(self, torchvision_file):
        backbone = ResNet(26, width=1 / 16, stem_channels=6, stride_in_1x1=False)
        with pytest.raises(ValueError, match=r"res2\.1\.conv1\.kernel \(from layer1\.1\.conv1\.weight\)"):
            load_backbone(backbone, torchvision_file)

    @pytest.mark.parametrize("backbone", [VGG16(width=1 / 16), keras.Sequential([keras.layers.Dense(2)])])
    def test_another_backbone(self, torchvision_file, backbone):
        backbone(np.zeros((1, 32, 32, 3), np.float32))
        with pytest.raises(
            (ValueError, TypeError), match=r"Sequential, whose weights have no names|stride_in_1x1"
        ):
            load_backbone(backbone, torchvision_file)


class TestPixels:
    @staticmethod
    def detector(**pixels):
        settings = {
            "backbone.depth": 14,
            "backbone.width": 1 / 16,
            "backbone.stem_channels": 6,
            "neck.channels": 8,
            "heads.head.units": 4,
        }
        return cascade_rcnn_fpn(("cell",), **{"backbone.stride_in_1x1": False, **settings, **pixels})

    @pytest.fixture
    def torchvision_file(self, tmp_path):
        return write_torch_zip(tmp_path / "resnet.pth", distinct(torchvision_shapes(PLAIN)))

    def test_a_detector_that_sees_what_the_weights_expect(self, torchvision_file):
        # Rounded as other frameworks have them.
        pixels = {"inputs.mean": (123.7, 116.8, 103.9), "inputs.std": (58.4, 57.1, 57.4)}
        detector = self.detector(**{"inputs.order": "RGB"}, **pixels)
        report = load_backbone(detector, torchvision_file)
        loaded = [name for names in report.loaded.values() for name in names]
        assert "layer4.0.conv3.weight" in loaded

    @pytest.mark.parametrize(
        "pixels",
        [
            {},
            {"inputs.order": "RGB", "inputs.mean": (123.675, 116.28, 103.53)},
            {
                "inputs.order": "RGB",
                "inputs.mean": (103.53, 116.28, 123.675),
                "inputs.std": (58.395, 57.12, 57.375),
            },
            {
                "inputs.order": "BGR",
                "inputs.mean": (123.675, 116.28, 103.53),
                "inputs.std": (58.395, 57.12, 57.375),
            },
        ],
        ids=["recipe's", "std", "mean", "order"],
    )
    def test_other_pixels_are_an_error_that_names_both(self, torchvision_file, pixels):
        detector = self.detector(**pixels)
        before = detector.backbone.get_weights()
        order = pixels.get("inputs.order", "BGR")
        message = f"got a detector with inputs.order='{order}', .* expected inputs.order='RGB', .*58.395"
        with pytest.raises(ValueError, match=message):
            load_backbone(detector, torchvision_file)
        for old, new in zip(before, detector.backbone.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        assert load_backbone(detector, torchvision_file, allow_partial=True).missing == {}
