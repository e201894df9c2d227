"""Checkpoints of every family under another one's name, and with tensors that no network has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_tf.weights import importing
from cascade_tf.weights.families import BACKBONE_FAMILIES, DETECTOR_FAMILIES, find_family
from cascade_tf.weights.families.architecture import backbone_settings
from cascade_tf.weights.importing import describe_checkpoint
from tests.weights import synthetic, synthetic_backbones, synthetic_caffe2, synthetic_tensorpack
from tests.weights.synthetic_caffe import ALEXNET, MSCNN

SMALL = replace(synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), **synthetic.SMALL)
CAFFE2 = synthetic_caffe2.Model(**synthetic_caffe2.SMALL, masks=True)
CELL_ANCHORS = {f"proposal_generator.anchor_generator.cell_anchors.{n}": (3, 4) for n in range(5)}

DETECTORS = {
    "detectron2": synthetic.detectron2_shapes(SMALL)
    | CELL_ANCHORS
    | {"inputs.mean": (3,), "inputs.std": (3,)},
    "mmdetection": synthetic.mmdetection_shapes(SMALL),
    "detectron": synthetic_caffe2.detector_shapes(CAFFE2),
    "tensorpack": synthetic_tensorpack.detector_shapes(CAFFE2),
    "caffe": ALEXNET,
    "mscnn": MSCNN,
}
BACKBONES = {
    "torchvision": synthetic_backbones.torchvision_shapes(CAFFE2),
    "detectron_imagenet": synthetic_caffe2.backbone_shapes(CAFFE2),
    "keras_applications": {"conv1_conv/conv1_conv/kernel:0": (7, 7, 3, 64)},
    "resnet_npz": {"conv_1/kernel": (7, 7, 3, 64)},
}
FAMILIES = {family.name: family for family in DETECTOR_FAMILIES + BACKBONE_FAMILIES}


def checkpoint(shapes):
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    boxes = {
        name: np.multiply([[-8, -4, 8, 4], [-4, -4, 4, 4], [-4, -8, 4, 8]], 2.0) for name in CELL_ANCHORS
    }
    return synthetic.checkpoint({name: boxes.get(name, array) for name, array in arrays.items()})


@pytest.mark.parametrize("wrong", FAMILIES)
@pytest.mark.parametrize("right", DETECTORS | BACKBONES)
def test_the_wrong_family(right, wrong):
    given = checkpoint((DETECTORS | BACKBONES)[right])
    families = DETECTOR_FAMILIES if wrong in DETECTORS else BACKBONE_FAMILIES
    if right == wrong:
        assert find_family(given, wrong, families) is FAMILIES[right]
        return
    with pytest.raises(ValueError, match=rf"model\.pth: got the source '{wrong}' .* of {right}$") as error:
        find_family(given, wrong, families)
    assert min(given.arrays) in str(error.value)


def test_a_file_of_no_family():
    given = checkpoint({"encoder.weight": (2,)})
    with pytest.raises(ValueError, match=r"names encoder\.weight, which are those of no known family"):
        find_family(given, "tensorpack", DETECTOR_FAMILIES)


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0), (0, 2, 2, 2), (1, 1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("family", DETECTORS)
def test_any_tensor_of_any_shape(family, shape, monkeypatch):
    """Most are found later, when the shapes of all tensors are compared."""
    right = checkpoint(DETECTORS[family])
    messages = []
    for name in right.arrays:
        given = replace(right, arrays={**right.arrays, name: np.ones(shape, np.float32)})
        monkeypatch.setattr(importing, "read_checkpoint", lambda path, given=given: given)
        try:
            describe_checkpoint("model.pth", family)
        except ValueError as error:
            messages.append(str(error))
    assert messages
    assert all(message.startswith(f"checkpoint model.pth ({family}): ") for message in messages)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pixel_std", [1.0, 0.0, 1.0]),
        ("pixel_std", [1.0, -1.0, 1.0]),
        ("pixel_std", [1.0, np.inf, 1.0]),
        ("pixel_mean", [1.0, np.nan, 1.0]),
        ("proposal_generator.anchor_generator.cell_anchors.0", [[0.0, 0.0, np.nan, 8.0]]),
        ("proposal_generator.anchor_generator.cell_anchors.0", [[0.0, 0.0, 8.0, 0.0]]),
        ("proposal_generator.anchor_generator.cell_anchors.0", [[8.0, 8.0, 0.0, 0.0]]),
        ("proposal_generator.anchor_generator.cell_anchors.0", [[0.0, 0.0, np.inf, 8.0]]),
    ],
)
def test_pixels_and_anchors_that_nothing_can_be_calculated_with(name, values, monkeypatch):
    right = checkpoint(DETECTORS["detectron2"])
    given = replace(right, arrays={**right.arrays, name: np.array(values, np.float32)})
    monkeypatch.setattr(importing, "read_checkpoint", lambda path: given)
    with pytest.raises(ValueError, match=rf"model\.pth \(detectron2\): got {name} = .* finite"):
        describe_checkpoint("model.pth")


@pytest.mark.parametrize("numbers", ["mean=[1, 2, 1e999], std=[1, 1, 1]", "mean=[1, 2, 3], std=[1, 0, 1]"])
def test_pixels_of_a_configuration(numbers, monkeypatch):
    config = f"img_norm_cfg = dict({numbers}, to_rgb=True)"
    given = replace(checkpoint(DETECTORS["mmdetection"]), metadata={"meta": {"config": config}})
    monkeypatch.setattr(importing, "read_checkpoint", lambda path: given)
    with pytest.raises(ValueError, match=r"\(mmdetection\): got (mean|std) = .* finite"):
        describe_checkpoint("model.pth")


def test_a_wide_network_whose_groups_no_whole_width_scales_to():
    shapes = {
        "backbone.res2.0.conv2.kernel": (3, 3, 65, 65),
        "backbone.res2.0.conv3.kernel": (1, 1, 65, 1024),
    }
    blocks = {f"backbone.res{stage}.0.conv1.kernel": (1, 1, 8, 8) for stage in range(2, 6)}
    known = shapes | blocks | {"backbone.stem.conv1.kernel": (7, 7, 3, 64)}
    with pytest.raises(
        ValueError, match="got 65 channels per group in a backbone of 4 times the usual width"
    ):
        backbone_settings(known.get)
    known["backbone.res2.0.conv2.kernel"] = (3, 3, 64, 64)
    assert backbone_settings(known.get)["backbone.width_per_group"] == 16
