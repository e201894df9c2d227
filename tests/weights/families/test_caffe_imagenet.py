"""ImageNet's networks as Caffe's authors publish them: the features are those that the blobs compute."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.backbones import VGG16, AlexNet, ResNet
from cascade_tf.models import cascade_mscnn_kitti, faster_rcnn_alexnet, faster_rcnn_vgg16
from cascade_tf.weights.families.caffe_imagenet import CAFFE_IMAGENET
from cascade_tf.weights.importing import load_backbone
from tests.weights import synthetic
from tests.weights.caffe_writer import Layer, net, write_caffemodel
from tests.weights.reference_network import batch_norm, convolve, resnet
from tests.weights.synthetic_caffe import ALEXNET

BLOCKS = (2, 2, 2, 2)
BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}
# Float32 sums in another order, relative to the largest value.
ROUNDING = 1e-5


def normalisation(rng, name, channels, factor, shape=None):
    """Caffe's two layers: sums and their factor, then scale and shift."""
    vectors = [
        rng.normal(0, 0.3, channels) * factor,
        rng.uniform(0.5, 1.5, channels) * factor,
        np.asarray([factor]),
    ]
    scales = [rng.uniform(0.5, 1.5, channels), rng.normal(0, 0.3, channels)]
    vectors, scales = (
        [array.astype(np.float32).reshape(shape or array.shape) for array in arrays]
        for arrays in (vectors, scales)
    )
    return [Layer(f"bn{name}", "BatchNorm", vectors), Layer(f"scale{name}", "Scale", scales)]


def convolution(rng, name, *shape):
    kernel = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
    return Layer(name, "Convolution", [kernel])


def resnet_layers(second="b", factor=7.0):
    """A ResNet of two blocks per stage, the second by this name, with a bias before the first norm."""
    rng = np.random.default_rng(0)
    stem = convolution(rng, "conv1", 6, 3, 7, 7)
    layers = [stem._replace(blobs=[*stem.blobs, rng.normal(size=6).astype(np.float32)])]
    layers += normalisation(rng, "_conv1", 6, factor)
    width = 6
    for stage in range(2, 6):
        inner, outer = 4 * 2 ** (stage - 2), 16 * 2 ** (stage - 2)
        for block in ("a", second):
            shapes = {
                "branch2a": (inner, width, 1, 1),
                "branch2b": (inner, inner, 3, 3),
                "branch2c": (outer, inner, 1, 1),
            }
            if block == "a":
                shapes["branch1"] = (outer, width, 1, 1)
            for branch, shape in shapes.items():
                layers.append(convolution(rng, f"res{stage}{block}_{branch}", *shape))
                layers += normalisation(rng, f"{stage}{block}_{branch}", shape[0], factor)
            width = outer
    classifier = [np.zeros((10, width), np.float32), np.zeros(10, np.float32)]
    return [*layers, Layer("fc1000", "InnerProduct", classifier)]


def expected_maps(layers, second, images):
    blobs = {
        layer.name: [np.ravel(blob) if blob.ndim < 4 else blob for blob in layer.blobs] for layer in layers
    }

    def layer(stage, block, part, x, stride):
        name = "_conv1" if stage == 1 else f"{stage}{('a', second)[block]}_{BRANCHES[part]}"
        kernel, *bias = blobs["conv1" if stage == 1 else f"res{name}"]
        x = convolve(x, np.transpose(kernel, (2, 3, 1, 0)), stride) + (bias[0] if bias else 0)
        mean, variance, factor = blobs[f"bn{name}"]
        return batch_norm(x, *blobs[f"scale{name}"], mean / factor, variance / factor)

    return resnet(images, BLOCKS, layer, stride_in_1x1=True)


def small_resnet(**settings):
    return ResNet(26, width=1 / 16, stem_channels=6, **settings)


@pytest.mark.parametrize("second", ["b", "b1"])
def test_resnet(tmp_path, second):
    layers = resnet_layers(second)
    backbone = small_resnet()
    report = load_backbone(backbone, write_caffemodel(tmp_path / "resnet.caffemodel", layers))
    assert report.source == "caffe_imagenet"
    assert report.missing == {}
    assert report.unused == dict.fromkeys(("fc1000/0", "fc1000/1"), "ImageNet's classifier")
    assert report.settings["backbone.depth"] == 26
    images = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype(np.float32)
    for got, wanted in zip(backbone(images).values(), expected_maps(layers, second, images), strict=True):
        wanted = np.asarray(wanted)
        assert np.std(wanted) > 0.01
        np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def test_vectors_of_four_axes(tmp_path):
    layers = [
        layer._replace(blobs=[blob.reshape(1, -1, 1, 1) for blob in layer.blobs])
        if layer.type in ("BatchNorm", "Scale")
        else layer
        for layer in resnet_layers()
    ]
    backbone, same = small_resnet(), small_resnet()
    load_backbone(backbone, write_caffemodel(tmp_path / "old.caffemodel", layers))
    load_backbone(same, write_caffemodel(tmp_path / "new.caffemodel", resnet_layers()))
    for one, other in zip(backbone.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_strides_and_statistics_that_would_be_wrong(tmp_path):
    path = write_caffemodel(tmp_path / "resnet.caffemodel", resnet_layers())
    with pytest.raises(ValueError, match="got a backbone with stride_in_1x1=False, expected True"):
        load_backbone(small_resnet(stride_in_1x1=False), path)
    path = write_caffemodel(tmp_path / "untrained.caffemodel", resnet_layers(factor=0.0))
    with pytest.raises(ValueError, match=r"statistics with the factor \[0\.0\], expected a positive number"):
        load_backbone(small_resnet(), path)
    deformable = small_resnet(deformable_stages=(5,))
    with pytest.raises(ValueError, match=r"variables without a tensor: backbone\.res5\.0\.conv2\.offset"):
        load_backbone(deformable, tmp_path / "resnet.caffemodel")


def layers_of(shapes, types=()):
    """Layers with random blobs, ``NAME/0`` and ``NAME/1`` of these shapes."""
    rng = np.random.default_rng(2)
    names = dict.fromkeys(name.partition("/")[0] for name in shapes)
    layers = [Layer(name, kind) for name, kind in types]
    for name in names:
        blobs = [rng.normal(size=shapes[f"{name}/{index}"]).astype(np.float32) for index in (0, 1)]
        layers.append(Layer(name, "Convolution" if blobs[0].ndim == 4 else "InnerProduct", blobs))
    return layers


def vgg16_shapes(channels=(2, 3, 4, 5, 6), units=12):
    shapes, width = {}, 3
    for group, (count, outputs) in enumerate(zip((2, 2, 3, 3, 3), channels, strict=True), start=1):
        for number in range(1, count + 1):
            shapes |= {
                f"conv{group}_{number}/0": (outputs, width, 3, 3),
                f"conv{group}_{number}/1": (outputs,),
            }
            width = outputs
    for name, inputs, outputs in (("fc6", 49 * width, units), ("fc7", units, units), ("fc8", units, 10)):
        shapes |= {f"{name}/0": (outputs, inputs), f"{name}/1": (outputs,)}
    return shapes


@pytest.mark.parametrize("legacy", [False, True])
def test_vgg16_in_a_detector(tmp_path, legacy):
    layers = layers_of(vgg16_shapes())
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    path.write_bytes(net(layers, legacy=legacy))
    detector = faster_rcnn_vgg16(
        ("cell",), **{"backbone.channels": (2, 3, 4, 5, 6), "proposals.channels": 4, "heads.head.units": 12}
    )
    report = load_backbone(detector, path)
    assert report.unused == dict.fromkeys(("fc8/0", "fc8/1"), "ImageNet's classifier")
    blobs = {layer.name: layer.blobs for layer in layers}
    kernel, bias = detector.backbone.get_layer("conv5_1").get_weights()
    np.testing.assert_array_equal(kernel[2, 1, 4, 5], blobs["conv5_1"][0][5, 4, 2, 1])
    np.testing.assert_array_equal(bias, blobs["conv5_1"][1])
    first, second = detector.heads.stages[0].head.dense
    pooled = np.random.default_rng(3).normal(size=(4, 7, 7, 6)).astype(np.float32)
    expected = np.transpose(pooled, (0, 3, 1, 2)).reshape(4, -1) @ blobs["fc6"][0].T + blobs["fc6"][1]
    np.testing.assert_allclose(first(pooled.reshape(4, -1)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(second.kernel, blobs["fc7"][0].T)


def test_vgg16_in_mscnn(tmp_path):
    layers = layers_of(vgg16_shapes())
    path = write_caffemodel(tmp_path / "VGG_ILSVRC_16_layers.caffemodel", layers)
    small = {"neck.channels": 6, "proposals.hidden": (6, None, None, None)}
    small |= {"heads.head.channels": 6, "heads.head.units": 12, "backbone.channels": (2, 3, 4, 5, 6)}
    detector = cascade_mscnn_kitti(("car", "van"), **small)
    report = load_backbone(detector, path)
    kernel, _ = detector.backbone.get_layer("conv4_3").get_weights()
    blobs = {layer.name: layer.blobs for layer in layers}
    np.testing.assert_array_equal(kernel[2, 1, 4, 3], blobs["conv4_3"][0][3, 4, 2, 1])
    assert "the heads have conv1, fc1 before their outputs" in report.unused["fc6/0"]


def test_copies_for_later_stages(tmp_path):
    layers = layers_of(vgg16_shapes())
    copies = [layer._replace(name=f"{layer.name}_2nd") for layer in layers if layer.name in ("fc6", "fc7")]
    backbone = VGG16(channels=(2, 3, 4, 5, 6))
    report = load_backbone(backbone, write_caffemodel(tmp_path / "copies.caffemodel", layers + copies))
    assert report.unused["fc7_2nd/1"] == "a copy for a later stage, which gets the first one's"
    copies[1] = copies[1]._replace(blobs=[copies[1].blobs[0] + 1, copies[1].blobs[1]])
    path = write_caffemodel(tmp_path / "trained.caffemodel", layers + copies)
    with pytest.raises(ValueError, match="got fc7_2nd/0 with other values than fc7/0, expected a copy"):
        load_backbone(backbone, path)


def alexnet_shapes():
    backbone = {name: shape for name, shape in ALEXNET.items() if name.startswith("conv")}
    classifier = {"fc6": (8, 144), "fc7": (8, 8), "fc8": (10, 8)}
    for name, shape in classifier.items():
        backbone |= {f"{name}/0": shape, f"{name}/1": shape[:1]}
    return backbone


ALEXNET_ORDER = (("norm1", "LRN"), ("pool1", "Pooling"))


def test_alexnet_in_a_detector(tmp_path):
    layers = layers_of(alexnet_shapes(), ALEXNET_ORDER)
    detector = faster_rcnn_alexnet(
        ("cell",), **{"backbone.channels": (4,) * 5, "proposals.channels": 3, "heads.head.units": 5}
    )
    report = load_backbone(detector, write_caffemodel(tmp_path / "alexnet.caffemodel", layers))
    assert report.loaded["head1.fc2.kernel"] == ("fc7/0",)
    blobs = {layer.name: layer.blobs for layer in layers}
    kernel, _ = detector.backbone.get_layer("conv2").get_weights()
    np.testing.assert_array_equal(kernel[4, 3, 1, 2], blobs["conv2"][0][2, 1, 4, 3])
    kept = np.sort(np.argsort(-np.linalg.norm(blobs["fc6"][0], axis=1))[:5])
    kernel, bias = detector.heads.stages[0].head.dense[0].get_weights()
    np.testing.assert_array_equal(bias, blobs["fc6"][1][kept])
    cells = blobs["fc6"][0][kept].reshape(5, 4, 6, 6)
    np.testing.assert_array_equal(kernel.reshape(6, 6, 4, 5)[5, 2, 3], cells[:, 3, 5, 2])


def test_caffenet_pools_first(tmp_path):
    layers = layers_of(alexnet_shapes(), ALEXNET_ORDER[::-1])
    path = write_caffemodel(tmp_path / "caffenet.caffemodel", layers)
    with pytest.raises(ValueError, match="got CaffeNet, which pools before it normalises"):
        load_backbone(AlexNet((4,) * 5), path)


def test_detectors_on_the_same_networks(tmp_path):
    path = write_caffemodel(tmp_path / "detector.caffemodel", layers_of(ALEXNET))
    with pytest.raises(ValueError, match="its family cannot be told"):
        load_backbone(AlexNet((4,) * 5), path)
    # Fast R-CNN's, with other outputs than a classifier.
    shapes = vgg16_shapes() | {"cls_score/0": (3, 12), "cls_score/1": (3,)}
    path = write_caffemodel(tmp_path / "fast_rcnn.caffemodel", layers_of(shapes))
    with pytest.raises(ValueError, match="2 tensors without a variable: cls_score/0, cls_score/1"):
        load_backbone(VGG16(channels=(2, 3, 4, 5, 6)), path)


def test_pixels():
    found = CAFFE_IMAGENET.settings(synthetic.checkpoint(synthetic.blank(vgg16_shapes())))
    assert found == {
        "inputs.order": "BGR",
        "inputs.mean": (104.0, 117.0, 123.0),
        "inputs.std": (1.0, 1.0, 1.0),
    }
