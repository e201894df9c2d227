"""Detectors of tensorpack: what the imported network computes is what tensorpack's graph computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops.roi_align import roi_align
from cascade_tf.weights.families.tensorpack import TENSORPACK
from cascade_tf.weights.files.checkpoint_file import CheckpointFile
from cascade_tf.weights.importing import import_checkpoint
from tests.weights.same_network import assert_same_network
from tests.weights.synthetic_caffe2 import SMALL, Model, weightless
from tests.weights.synthetic_tensorpack import TensorpackNetwork, detector_shapes, distinct

# Float32 sums in another order, relative to the largest value; 2e-6 was measured.
ROUNDING = 1e-5

MODELS = {
    "faster": Model(**SMALL, stages=1, agnostic=False),
    "cascade": Model(**SMALL),
    "mask": Model(**SMALL, stages=1, agnostic=False, masks=True),
    "cascade_mask": Model(**SMALL, masks=True),
    "convolutions": Model(**SMALL, head_convs=2),
    "one_class": replace(Model(**SMALL, stages=1, agnostic=False, masks=True), classes=1),
}


def write(folder, tensors, suffix=""):
    path = folder / "model.npz"
    np.savez(path, **{f"{name}{suffix}": values for name, values in tensors.items()})
    return path


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_equal(got, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.max(np.abs(wanted)))


@pytest.mark.parametrize("name", MODELS)
def test_computes_what_tensorpack_computes(name, tmp_path):
    model = MODELS[name]
    tensors = distinct(detector_shapes(model))
    result = import_checkpoint(write(tmp_path, tensors, ":0"), **{"*.implementation": "tensorflow"})
    assert result.report.missing == {}
    assert result.report.unused == {}
    detector, network = result.detector, TensorpackNetwork(tensors, model)
    assert_same_network(detector, network, random(2, 64, 96, 3), assert_equal)


def test_roi_align_is_a_crop_of_twice_the_size_averaged():
    settings = TENSORPACK.settings(
        CheckpointFile(weightless(detector_shapes(Model())), {}, "npz", Path("model.npz"))
    )
    level = random(1, 12, 15, 3)
    # Inside, across the left and top border, and across the right and bottom one; in pixels at stride 4.
    boxes = np.asarray([[9, 5, 31, 40], [-2, -3, 17, 6], [40, 30, 61, 49]], np.float32)
    # What a crop cannot read is zero there: a border of one more cell stands in for it.
    padded = np.pad(level, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
    height, width = padded.shape[1:3]
    corners = boxes / 4 + 1
    spacing = (corners[:, 2:] - corners[:, :2]) / 14
    first = corners[:, :2] + spacing / 2 - 0.5
    last = first + spacing * 13
    scaled = np.stack([first[:, 1], first[:, 0], last[:, 1], last[:, 0]], axis=1)
    scaled /= [height - 1, width - 1, height - 1, width - 1]
    crops = tf.image.crop_and_resize(padded, scaled, [0, 0, 0], (14, 14))
    expected = tf.nn.avg_pool2d(crops, 2, 2, "VALID")
    pooled = roi_align(
        [level],
        boxes[None],
        strides=[4],
        output_size=7,
        sampling_ratio=settings["heads.pooling.sampling_ratio"],
        aligned=settings["heads.pooling.aligned"],
        implementation="tensorflow",
    )
    assert_equal(pooled[0], expected)


class TestLayouts:
    def test_only_the_first_layer_is_reordered(self, tmp_path):
        tensors = distinct(detector_shapes(MODELS["cascade_mask"]))
        detector = import_checkpoint(write(tmp_path, tensors)).detector
        head = detector.heads.stages[1].head
        kernel = head.dense[0].kernel.numpy().reshape(7, 7, 8, 10)
        # The unit 4 that looks at channel 3 in row 2, column 5.
        assert kernel[2, 5, 3, 4] == tensors["cascade_rcnn_stage2/head/fc6/W"][3 * 49 + 2 * 7 + 5, 4]
        np.testing.assert_array_equal(head.dense[1].kernel, tensors["cascade_rcnn_stage2/head/fc7/W"])
        np.testing.assert_array_equal(head.regressor.kernel, tensors["cascade_rcnn_stage2/outputs/box/W"])
        mask = detector.heads.masks.heads[0]
        np.testing.assert_array_equal(mask.deconv.kernel, tensors["maskrcnn/deconv/W"])
        np.testing.assert_array_equal(mask.predictor.kernel, tensors["maskrcnn/conv/W"])

    def test_of_a_box_per_class_the_background_goes(self, tmp_path):
        tensors = distinct(detector_shapes(MODELS["faster"]))
        regressor = import_checkpoint(write(tmp_path, tensors)).detector.heads.stages[0].head.regressor
        np.testing.assert_array_equal(regressor.kernel, tensors["fastrcnn/outputs/box/W"][:, 4:])
        np.testing.assert_array_equal(regressor.bias, tensors["fastrcnn/outputs/box/b"][4:])


class TestSettings:
    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (
                Model(masks=True),
                {
                    "backbone.depth": 50,
                    "heads.head.class_agnostic": True,
                    "heads.ious": (0.5, 0.6, 0.7),
                    "heads.masks.stages": (1,),
                },
            ),
            (
                Model(depth=101, masks=True, stages=1, agnostic=False),
                {
                    "backbone.depth": 101,
                    "heads.head.class_agnostic": False,
                    "heads.ious": (0.5,),
                    "heads.masks.stages": (1,),
                },
            ),
        ],
        ids=["R50FPN1xCas", "R101FPN1x"],
    )
    def test_of_released_models(self, model, expected):
        checkpoint = CheckpointFile(weightless(detector_shapes(model)), {}, "npz", Path("model.npz"))
        found = TENSORPACK.settings(checkpoint)
        wanted = expected | {
            "backbone.norm": "frozen",
            "backbone.stride_in_1x1": False,
            "inputs.order": "BGR",
            "inputs.mean": (103.53, 116.28, 123.675),
            "inputs.std": (57.375, 57.12, 58.395),
            "heads.pooling.sampling_ratio": 2,
            "heads.pooling.aligned": True,
            "heads.clip_boxes": True,
            "heads.ensemble": "own_boxes",
            "heads.append_ground_truth": "first",
            "heads.weighting": "avg",
        }
        assert {name: found[name] for name in wanted} == wanted
        assert TENSORPACK.num_classes(checkpoint) == 80


class TestWholeFiles:
    def test_every_tensor_is_loaded_or_explained(self, tmp_path):
        tensors = distinct(detector_shapes(MODELS["cascade_mask"]))
        extra = {
            "global_step": np.zeros(1),
            "learning_rate": np.zeros(1),
            "conv0/W/Momentum": tensors["conv0/W"],
            "EMA/total_cost": np.zeros(1),
        }
        report = import_checkpoint(write(tmp_path, tensors | extra, ":0")).report
        assert report.source == "tensorpack"
        assert set(report.unused) == {f"{name}:0" for name in extra}
        assert all(reason != "has no place in the model" for reason in report.unused.values())
        assert sorted(name for names in report.loaded.values() for name in names) == sorted(
            f"{name}:0" for name in tensors
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda tensors: tensors.pop("rpn/box/W"), r"1 variables without a tensor: rpn\.offsets\.kernel"),
            (lambda tensors: tensors.update({"x/W": np.zeros(2)}), "tensors without a variable: x/W"),
            (
                lambda tensors: tensors.update({"maskrcnn/conv/b": np.zeros(4)}),
                r"maskrcnn/conv/b \(4,\) gives \(4,\) for mask1\.predictor\.bias \(3,\)",
            ),
            (
                lambda tensors: tensors.update({"fpn/gn_c2/gamma": np.ones(8)}),
                r"got GroupNorm \(fpn/gn_c2/gamma",
            ),
            (
                lambda tensors: tensors.update({"cascade_rcnn_stage1/outputs/class/b": np.zeros(())}),
                r"got cascade_rcnn_stage1/outputs/class/b of shape \(\)",
            ),
        ],
        ids=["missing", "foreign", "shape", "groups", "rank"],
    )
    def test_a_file_that_does_not_fit(self, tmp_path, change, message):
        tensors = distinct(detector_shapes(MODELS["cascade_mask"]))
        change(tensors)
        path = write(tmp_path, tensors)
        with pytest.raises(ValueError, match=message) as error:
            import_checkpoint(path)
        assert str(path) in str(error.value)
