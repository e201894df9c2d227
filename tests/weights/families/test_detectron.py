"""Detectron's detectors: what the imported network computes is what Detectron's graph computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade_tf.weights.families.detectron import DETECTRON
from cascade_tf.weights.files.checkpoint_file import CheckpointFile
from cascade_tf.weights.importing import import_checkpoint
from tests.weights.same_network import assert_same_network
from tests.weights.synthetic_caffe2 import SMALL, Caffe2Network, Model, detector_shapes, distinct, weightless
from tests.weights.torch_writer import write_pickle

# Float32 sums in another order, relative to the largest value: 2e-5 was measured behind GroupNorm of few
# cells, which divides by small deviations, and 2e-6 elsewhere.
ROUNDING = 6e-5

MODELS = {
    "faster": Model(**SMALL, stages=1, agnostic=False),
    "cascade": Model(**SMALL),
    "mask": Model(**SMALL, stages=1, agnostic=False, masks=True),
    "cascade_mask": Model(**SMALL, masks=True),
    "agnostic_masks": Model(**SMALL, masks=True, agnostic_masks=True),
    "group_norm": Model(**SMALL, gn=True, head_convs=2, masks=True),
    "convolutions": Model(**SMALL, head_convs=2),
    "resnext": Model(**{**SMALL, "inner": 8}, groups=2),
}

CONFIG = """!!python/object/new:detectron.utils.collections.AttrDict
dictitems:
  KRCNN: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems: {AT_STAGE: 9}
  MODEL: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems:
      BBOX_REG_WEIGHTS: !!python/tuple [10.0, 10.0, 5.0, 5.0]
  MRCNN: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems:
      AT_STAGE: 2
      RESOLUTION: 28
    state:
      __immutable__: true
  RESNETS: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems:
      STRIDE_1X1: false
state:
  __immutable__: true
"""


def write(folder, blobs, config=None):
    """A file as Python 2 wrote it."""
    content = {"blobs": blobs} if config is None else {"blobs": blobs, "cfg": config}
    return write_pickle(folder / "model_final.pkl", content, protocol=2, python2=True)


def checkpoint(blobs, config=None):
    metadata = {} if config is None else {"cfg": config}
    return CheckpointFile(blobs, metadata, "pickle", Path("model_final.pkl"))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_equal(got, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=ROUNDING * np.max(np.abs(wanted)))


class TestNetwork:
    @pytest.fixture(params=MODELS)
    def imported(self, request, tmp_path):
        model = MODELS[request.param]
        blobs = distinct(detector_shapes(model))
        result = import_checkpoint(write(tmp_path, blobs), **{"*.implementation": "tensorflow"})
        network = Caffe2Network(blobs, model, stride_in_1x1=not model.gn and model.groups == 1)
        return result, network

    def test_computes_what_detectron_computes(self, imported):
        result, network = imported
        assert result.report.missing == {}
        assert result.report.unused == {}
        assert_same_network(result.detector, network, 40 * random(2, 64, 96, 3), assert_equal)


class TestLayouts:
    @pytest.fixture
    def small(self, tmp_path):
        model = Model(**SMALL, masks=True)
        blobs = distinct(detector_shapes(model))
        return import_checkpoint(write(tmp_path, blobs)).detector, blobs

    def test_the_first_layer_reads_rows_and_columns_before_channels(self, small):
        detector, blobs = small
        kernel = detector.heads.stages[1].head.dense[0].kernel.numpy().reshape(7, 7, 8, 10)
        # The unit 4 that looks at channel 3 in row 2, column 5.
        assert kernel[2, 5, 3, 4] == blobs["fc6_2_w"][4, 3 * 49 + 2 * 7 + 5]

    def test_background_is_the_first_class_already(self, small):
        detector, blobs = small
        classifier = detector.heads.stages[2].head.classifier
        np.testing.assert_array_equal(classifier.kernel, blobs["cls_score_3_w"].T)
        np.testing.assert_array_equal(classifier.bias, blobs["cls_score_3_b"])

    def test_of_eight_outputs_the_last_four_are_the_box(self, small):
        detector, blobs = small
        regressor = detector.heads.stages[0].head.regressor
        np.testing.assert_array_equal(regressor.kernel, blobs["bbox_pred_w"][4:8].T)
        np.testing.assert_array_equal(regressor.bias, blobs["bbox_pred_b"][4:8])

    def test_of_a_box_per_class_the_background_goes(self, tmp_path):
        blobs = distinct(detector_shapes(MODELS["faster"]))
        detector = import_checkpoint(write(tmp_path, blobs)).detector
        regressor = detector.heads.stages[0].head.regressor
        # dx, dy, dw, dh of class 1 follow those of the background.
        np.testing.assert_array_equal(regressor.bias[:4], blobs["bbox_pred_b"][4:8])
        assert regressor.bias.shape == (12,)

    def test_masks_lose_the_background(self, small):
        detector, blobs = small
        predictor = detector.heads.masks.heads[0].predictor
        np.testing.assert_array_equal(predictor.kernel[0, 0], blobs["mask_fcn_logits_w"][1:, :, 0, 0].T)
        np.testing.assert_array_equal(predictor.bias, blobs["mask_fcn_logits_b"][1:])

    def test_a_cell_turns_into_a_square(self, small):
        detector, blobs = small
        deconv = detector.heads.masks.heads[0].deconv
        cell = np.zeros((1, 2, 3, 5), np.float32)
        cell[0, 1, 2, 3] = 1
        spread = deconv(cell) - deconv(np.zeros_like(cell))
        expected = np.zeros((4, 6, 5), np.float32)
        for output in range(5):
            expected[2:4, 4:6, output] = blobs["conv5_mask_w"][3, output]
        np.testing.assert_allclose(spread[0], expected, atol=1e-6)

    def test_an_affine_channel_is_exact(self, small):
        detector, blobs = small
        norm = detector.backbone.get_layer("res3_0_conv3_norm")
        scale, shift = blobs["res3_0_branch2c_bn_s"], blobs["res3_0_branch2c_bn_b"]
        # The variance and epsilon are 1 together; a GPU may miss the root of 1 by the last bit.
        for ours, theirs in zip(norm.affine(), (scale, shift), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=3e-7, atol=3e-7)


class TestSettings:
    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (
                Model(),
                {
                    "backbone.depth": 50,
                    "heads.head.class_agnostic": True,
                    "heads.ious": (0.5, 0.6, 0.7),
                    "heads.masks.stages": (),
                },
            ),
            (
                Model(stages=1, agnostic=False),
                {"heads.head.class_agnostic": False, "heads.ious": (0.5,), "heads.head.num_fcs": 2},
            ),
            (
                Model(masks=True, depth=101),
                {"backbone.depth": 101, "heads.masks.stages": (3,), "heads.masks.head.num_convs": 4},
            ),
            (
                Model(masks=True, stages=1, agnostic=False),
                {"heads.masks.stages": (1,), "heads.masks.head.class_agnostic": False},
            ),
            (
                Model(depth=152, inner=256, groups=32, masks=True),
                {
                    "backbone.depth": 152,
                    "backbone.cardinality": 32,
                    "backbone.width_per_group": 8,
                    "backbone.stride_in_1x1": False,
                },
            ),
            (
                Model(depth=101, inner=256, groups=64),
                {
                    "backbone.depth": 101,
                    "backbone.cardinality": 64,
                    "backbone.width_per_group": 4,
                    "backbone.stride_in_1x1": False,
                },
            ),
            (
                Model(gn=True, head_convs=4, masks=True),
                {
                    "backbone.norm": "group",
                    "neck.norm": "group",
                    "heads.head.norm": "group",
                    "heads.masks.head.norm": "group",
                    "heads.head.num_convs": 4,
                    "heads.head.num_fcs": 1,
                    "backbone.stride_in_1x1": False,
                },
            ),
        ],
        ids=["cascade", "faster", "r101-mask", "mask", "x152", "x101-64x4d", "gn"],
    )
    def test_of_released_models(self, model, expected):
        found = DETECTRON.settings(checkpoint(weightless(detector_shapes(model))))
        common = {
            "backbone.width": 1.0,
            "neck.channels": 256,
            "heads.head.units": 1024,
            "inputs.order": "BGR",
            "inputs.mean": (102.9801, 115.9465, 122.7717),
            "proposals.anchor_offset": 0.5,
            "proposals.round_anchors": True,
            "heads.inclusive": True,
            "heads.pooling.aligned": False,
            "heads.ensemble": "last_boxes",
            "heads.redundant_iou": 1.0,
        }
        plain = model.groups == 1 and not model.gn
        wanted = {"backbone.norm": "frozen", "backbone.stride_in_1x1": plain} | common | expected
        assert {name: found[name] for name in wanted} == wanted
        assert DETECTRON.num_classes(checkpoint(weightless(detector_shapes(model)))) == 80

    @pytest.mark.parametrize("text", [CONFIG, CONFIG.encode()])
    def test_the_configuration_says_more_than_the_blobs(self, text):
        blobs = weightless(detector_shapes(Model(masks=True)))
        assert DETECTRON.settings(checkpoint(blobs))["heads.masks.stages"] == (3,)
        found = DETECTRON.settings(checkpoint(blobs, text))
        assert found["heads.masks.stages"] == (2,)
        assert found["backbone.stride_in_1x1"] is False

    def test_the_value_of_another_section_is_not_taken(self):
        config = CONFIG.replace("AT_STAGE: 2", "WEIGHT_LOSS_MASK: 1.0").replace(
            "STRIDE_1X1", "AT_STAGE: 1\n      X"
        )
        blobs = weightless(detector_shapes(Model(masks=True)))
        assert DETECTRON.settings(checkpoint(blobs, config))["heads.masks.stages"] == (3,)

    def test_a_stage_that_a_single_head_does_not_have(self):
        blobs = weightless(detector_shapes(Model(masks=True, stages=1, agnostic=False)))
        assert DETECTRON.settings(checkpoint(blobs, CONFIG))["heads.masks.stages"] == (1,)


class TestWholeFiles:
    def test_every_blob_is_loaded_or_explained(self, tmp_path):
        model = MODELS["cascade_mask"]
        blobs = distinct(detector_shapes(model))
        extra = {
            "fc6_w_momentum": blobs["fc6_w"],
            "res_conv1_bn_s_momentum": blobs["res_conv1_bn_s"],
            "lr": np.zeros(1, np.float32),
            "conv1_b": np.zeros(6, np.float32),
            "res2_0_branch2a_b": np.zeros(4, np.float32),
            "res2_0_branch1_bn_rm": np.zeros(16, np.float32),
            "fc1000_w": np.zeros((1000, 128), np.float32),
            "pred_b": np.zeros(1000, np.float32),
        }
        report = import_checkpoint(write(tmp_path, blobs | extra, CONFIG)).report
        assert report.source == "detectron"
        assert set(report.unused) == set(extra)
        assert all(reason != "has no place in the model" for reason in report.unused.values())
        loaded = [name for names in report.loaded.values() for name in names]
        assert sorted(loaded) == sorted(blobs)

    def test_blobs_without_a_wrapper(self, tmp_path):
        blobs = distinct(detector_shapes(MODELS["cascade"]))
        path = write_pickle(tmp_path / "model.pkl", blobs, protocol=0, python2=True)
        assert import_checkpoint(path).report.missing == {}

    def test_other_classes_keep_what_does_not_depend_on_them(self, tmp_path):
        path = write(tmp_path, distinct(detector_shapes(MODELS["cascade_mask"])))
        result = import_checkpoint(path, class_names=("cell", "platelet"))
        assert result.detector.num_classes == 2
        assert set(result.report.missing) == {
            f"{layer}.{vector}"
            for layer in ("head1.classifier", "head2.classifier", "head3.classifier", "mask3.predictor")
            for vector in ("kernel", "bias")
        }

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda blobs: blobs.pop("fc7_2_w"), r"1 variables without a tensor: head2\.fc2\.kernel"),
            (
                lambda blobs: blobs.update(kps_score_w=np.zeros((1, 2))),
                "tensors without a variable: kps_score_w",
            ),
            (lambda blobs: blobs.update(fc7_3_b=np.zeros(11)), r"fc7_3_b \(11,\) gives \(11,\) for head3"),
            (
                lambda blobs: blobs.update(fc6_3_w=np.zeros((10, 50))),
                "got 50 inputs, expected a multiple of 7",
            ),
            (lambda blobs: blobs.pop("conv_rpn_fpn2_w"), "without a feature pyramid or without region"),
            (
                lambda blobs: blobs.pop("fpn_inner_res5_0_sum_w"),
                "without a feature pyramid or without region",
            ),
            (lambda blobs: blobs.pop("res4_0_branch2a_w"), "got a backbone with"),
            (
                lambda blobs: blobs.update(bbox_pred_w=np.zeros((24, 10))),
                "got a regressor with 20 outputs for 3 classes",
            ),
            (lambda blobs: blobs.update(cls_score_w=np.zeros(3)), "cls_score_w of shape"),
        ],
        ids=["missing", "foreign", "shape", "inputs", "rpn", "fpn", "backbone", "boxes", "rank"],
    )
    def test_a_file_that_does_not_fit(self, tmp_path, change, message):
        blobs = distinct(detector_shapes(MODELS["cascade"]))
        change(blobs)
        path = write(tmp_path, blobs)
        with pytest.raises(ValueError, match=message) as error:
            import_checkpoint(path)
        assert str(path) in str(error.value)

    def test_models_with_another_scale_of_offsets(self, tmp_path):
        config = CONFIG.replace("BBOX_REG_WEIGHTS", "OTHER")
        path = write(tmp_path, distinct(detector_shapes(MODELS["cascade"])), config)
        with pytest.raises(ValueError, match=r"without MODEL\.BBOX_REG_WEIGHTS"):
            import_checkpoint(path)

    def test_group_norm_does_not_take_an_affine_channel(self, tmp_path):
        path = write(tmp_path, distinct(detector_shapes(MODELS["cascade"])))
        with pytest.raises(ValueError, match=r"backbone\.stem\.conv1\.norm\.gamma \(from conv1_gn_s\)"):
            import_checkpoint(path, **{"backbone.norm": "group", "neck.norm": "none"})
