from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from cascade_tf.heads import mask_heads
from cascade_tf.parts import Part
from cascade_tf.weights import families
from cascade_tf.weights.families import BACKBONE_FAMILIES, DETECTOR_FAMILIES, find_family
from cascade_tf.weights.families.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from cascade_tf.weights.families.detectron2 import Detectron2
from cascade_tf.weights.importing import describe_checkpoint, import_checkpoint, import_weights
from cascade_tf.weights.places import places
from cascade_tf.weights.recipe_arguments import recipe_of
from tests.weights import synthetic
from tests.weights.torch_writer import write_pickle, write_torch_zip

SMALL = replace(synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), **synthetic.SMALL)
CLASS_DEPENDENT = {
    *(f"head{stage}.classifier.{part}" for stage in (1, 2, 3) for part in ("kernel", "bias")),
    "mask1.predictor.kernel",
    "mask1.predictor.bias",
}


def small_arrays(**changes):
    return synthetic.distinct(synthetic.detectron2_shapes(replace(SMALL, **changes)))


def write(folder, arrays, name="model.pkl"):
    return write_pickle(folder / name, {"model": arrays})


def values(detector):
    return {name: np.array(place.variable) for name, place in places(detector).items()}


@pytest.fixture
def path(tmp_path):
    return write(tmp_path, small_arrays())


def test_detector_settings_and_report_belong_together(path):
    detector, settings, report, _ = import_checkpoint(path)
    assert report.source == "detectron2"
    assert report.path == str(path)
    assert report.settings == settings
    assert set(report.loaded) == set(places(detector))
    assert settings["backbone.depth"] == detector.backbone.depth == 14
    assert detector.class_names == ("class 1", "class 2")
    assert detector.category_ids == (1, 2)
    assert detector.heads.ensemble == "own_boxes"


def test_a_description_needs_no_detector(path):
    description = describe_checkpoint(path, **{"heads.ensemble": "last_boxes"})
    imported = import_checkpoint(path, **{"heads.ensemble": "last_boxes"})
    assert description.settings == imported.settings
    assert description.class_names == imported.detector.class_names
    assert description.category_ids == imported.detector.category_ids


def test_80_classes_are_those_of_coco(tmp_path):
    detector = import_checkpoint(write(tmp_path, small_arrays(classes=80))).detector
    assert detector.class_names == COCO_CLASSES
    assert detector.category_ids == COCO_CATEGORY_IDS


def test_cocos_classes_and_their_ids():
    """Some by hand, from the data set's list."""
    ids = dict(zip(COCO_CLASSES, COCO_CATEGORY_IDS, strict=True))
    assert len(ids) == 80
    known = {"person": 1, "stop sign": 13, "backpack": 27, "wine glass": 46, "dining table": 67}
    known |= {"toilet": 70, "tv": 72, "refrigerator": 82, "book": 84, "toothbrush": 90}
    assert {name: ids[name] for name in known} == known


def test_own_names_for_the_same_number_of_classes_keep_every_weight(path):
    detector, _, report, _ = import_checkpoint(path, class_names=("cat", "dog"), category_ids=(7, 9))
    assert detector.class_names == ("cat", "dog")
    assert detector.category_ids == (7, 9)
    assert not report.missing


def test_another_number_of_classes_keeps_everything_else(path):
    arrays = values(import_checkpoint(path).detector)
    keras.utils.set_random_seed(5)
    detector, _, report, _ = import_checkpoint(path, class_names=("a", "b", "c"))
    found = values(detector)
    reason = "the checkpoint has 2 classes, the detector 3"
    assert report.missing == dict.fromkeys(report.missing, reason)
    assert set(report.missing) == CLASS_DEPENDENT
    assert set(report.loaded) == set(found) - CLASS_DEPENDENT
    assert len(report.unused) == len(CLASS_DEPENDENT)
    assert f"8 variables left at their initial values ({reason})" in report.to_text()
    for name, value in found.items():
        if name in CLASS_DEPENDENT:
            # Small random numbers, and zeros for the biases: as a new detector begins.
            assert value.shape[-1] in (3, 4)
            assert np.abs(value).max() < 0.1
        else:
            np.testing.assert_array_equal(value, arrays[name], err_msg=name)


def test_class_aware_boxes_depend_on_the_classes_too(tmp_path):
    path = write(tmp_path, small_arrays(agnostic=False, stages=1))
    report = import_checkpoint(path, class_names=("a", "b", "c")).report
    assert {"head1.regressor.kernel", "head1.regressor.bias"} < set(report.missing)


def test_weights_for_a_detector_that_exists(path):
    given = import_checkpoint(path)
    detector = import_checkpoint(path).detector
    for variable in detector.variables:
        variable.assign(keras.ops.zeros_like(variable))
    report = import_weights(detector, path)
    assert report.loaded == given.report.loaded
    for name, value in values(detector).items():
        np.testing.assert_array_equal(value, values(given.detector)[name])


def test_overrides_take_precedence(path):
    imported = import_checkpoint(
        path, **{"heads.ensemble": "last_boxes", "inputs.order": "RGB", "output.max_detections": 7}
    )
    assert imported.settings["heads.ensemble"] == "last_boxes"
    assert imported.detector.image_inputs.order == "RGB"
    assert imported.detector.detection_output.max_detections == 7


def with_pooled(arrays, pooled):
    """The first fully connected layers read that many cells per side."""
    names = [name for name in arrays if name.endswith("fc1.weight")]
    shape = (SMALL.units, SMALL.fpn * pooled**2)
    values = synthetic.distinct(dict.fromkeys(names, shape))
    return arrays | values


@pytest.mark.parametrize("pooled", [3, 14])
def test_the_pooled_size_is_the_checkpoints(tmp_path, pooled):
    arrays = with_pooled(small_arrays(), pooled)
    detector, settings, *_ = import_checkpoint(write(tmp_path, arrays))
    assert settings["heads.pooling.output_size"] == detector.heads.pooling.output_size == pooled
    for stage in range(3):
        given = arrays[f"roi_heads.box_head.{stage}.fc1.weight"]
        expected = given.reshape(SMALL.units, SMALL.fpn, pooled, pooled).transpose(2, 3, 1, 0)
        kernel = np.array(detector.heads.stages[stage].head.dense[0].kernel)
        np.testing.assert_array_equal(kernel, expected.reshape(-1, SMALL.units))


@pytest.mark.parametrize("pooled", [5, 14])
def test_another_pooled_size_than_the_checkpoints(path, pooled):
    with pytest.raises(ValueError, match=r"3 tensors that do not fit: roi_heads\.box_head\.0\.fc1\.weight"):
        import_checkpoint(path, **{"heads.pooling.output_size": pooled})


@pytest.mark.parametrize(
    ("changes", "overrides", "tensor", "variables"),
    [
        (
            {"stages": 1},
            {"heads.ious": (0.5, 0.6, 0.7)},
            "roi_heads.box_head.fc1.weight",
            [f"head{number}.fc1.kernel" for number in (1, 2, 3)],
        ),
        (
            {},
            {"heads.masks.stages": (1, 3)},
            "roi_heads.mask_head.mask_fcn1.bias",
            ["mask1.conv1.bias", "mask3.conv1.bias"],
        ),
    ],
    ids=["boxes", "masks"],
)
def test_one_head_fills_several_only_on_request(tmp_path, changes, overrides, tensor, variables):
    path = write(tmp_path, small_arrays(**changes))
    with pytest.raises(ValueError, match=r"\d+ tensors wanted by several variables: roi_heads") as error:
        import_checkpoint(path, **overrides)
    assert f"{tensor} (for {', '.join(variables)})" in str(error.value)
    detector, _, report, _ = import_checkpoint(path, allow_partial=True, **overrides)
    found = values(detector)
    for name in variables:
        assert report.loaded[name] == (tensor,)
        np.testing.assert_array_equal(found[name], found[variables[0]])
    assert "tensors loaded into several variables each: roi_heads." in report.to_text()


def test_unknown_overrides(path):
    with pytest.raises(
        TypeError, match=r"unknown setting 'max_detection'.*did you mean 'output.max_detections'"
    ):
        import_checkpoint(path, max_detection=7)


def test_one_text_is_no_sequence_of_class_names(path):
    with pytest.raises(TypeError, match="class_names: got the text 'person', expected a sequence of names"):
        import_checkpoint(path, class_names="person")


def test_errors_of_the_recipe_name_the_checkpoint(path):
    with pytest.raises(ValueError, match=r"model\.pkl \(detectron2\): .*depth.*51"):
        import_checkpoint(path, **{"backbone.depth": 51})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone.stride_in_1x1": False}, "got a backbone with stride_in_1x1=False, expected True"),
        ({"inputs.order": "RGB"}, "got a detector with inputs.order='RGB', .* expected inputs.order='BGR'"),
        (
            {"inputs.std": (58.0, 57.0, 57.0)},
            r"inputs.std=\(58\.0, .* expected .*inputs.std=\(1\.0, ",
        ),
    ],
)
def test_a_detector_of_other_pixels_or_strides(path, settings, message):
    detector = import_checkpoint(path, **settings).detector
    before = values(detector)
    with pytest.raises(ValueError, match=rf"model\.pkl \(detectron2\): .*{message}"):
        import_weights(detector, path)
    assert not import_weights(detector, path, allow_partial=True).missing
    # What is known of a checkpoint beside its tensors.
    assert not import_weights(detector, path, **settings).missing
    for name, value in values(detector).items():
        np.testing.assert_array_equal(value, before[name])


def test_classifiers_kept_under_other_names_are_logged(tmp_path, caplog):
    path = write_torch_zip(
        tmp_path / "model.pth",
        {
            "state_dict": synthetic.distinct(synthetic.mmdetection_shapes(SMALL)),
            "meta": {"CLASSES": ("cat", "dog")},
        },
    )
    same = import_checkpoint(path).detector
    import_checkpoint(path, class_names=("a", "b", "c"))
    assert "other names" not in caplog.text
    detector = import_checkpoint(path, class_names=("dog", "cat")).detector
    message = (
        f"{path}: its classifiers are kept for classes of other names: dog, cat; in its own order they are: "
        "cat, dog"
    )
    assert caplog.messages.count(message) == 1
    import_weights(detector, path)
    import_weights(same, path)
    assert caplog.messages.count(message) == 2


def test_names_of_coco_with_underscores_are_cocos(tmp_path):
    names = [name.replace(" ", "_") for name in COCO_CLASSES]
    shapes = synthetic.mmdetection_shapes(replace(SMALL, classes=80))
    content = {"state_dict": synthetic.distinct(shapes), "meta": {"CLASSES": names}}
    description = describe_checkpoint(write_torch_zip(tmp_path / "model.pth", content))
    assert description.class_names == COCO_CLASSES
    assert description.category_ids == COCO_CATEGORY_IDS


def test_overrides_of_the_architecture_have_to_fit(path):
    with pytest.raises(ValueError, match=r"tensors that do not fit: .*stem\.conv1\.weight") as error:
        import_checkpoint(path, **{"backbone.stem_channels": 12})
    assert str(path) in str(error.value)


def test_missing_and_foreign_tensors(tmp_path):
    arrays = small_arrays()
    arrays["roi_heads.keypoint_head.score.weight"] = np.zeros((2, 2), np.float32)
    del arrays["proposal_generator.rpn_head.conv.bias"]
    path = write(tmp_path, arrays)
    with pytest.raises(ValueError, match="does not fit the model") as error:
        import_checkpoint(path)
    for part in (
        "1 variables without a tensor: rpn.hidden.bias (from proposal_generator.rpn_head.conv.bias)",
        "1 tensors without a variable: roi_heads.keypoint_head.score.weight",
    ):
        assert part in str(error.value)
    report = import_checkpoint(path, allow_partial=True).report
    assert report.missing == {"rpn.hidden.bias": "not in the checkpoint"}
    assert report.unused == {"roi_heads.keypoint_head.score.weight": "has no place in the model"}


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pkl"):
        import_checkpoint(tmp_path / "nowhere.pkl")


def test_unknown_checkpoints_show_their_names_and_the_families(tmp_path):
    arrays = {f"encoder.{n}.weight": np.zeros(1, np.float32) for n in range(20)}
    with pytest.raises(ValueError, match="family cannot be told from its names") as error:
        import_checkpoint(write(tmp_path, arrays))
    for part in ("none of them", "detectron2", "mmdetection", "encoder.0.weight", "and 12 more"):
        assert part in str(error.value)


def test_ambiguous_checkpoints(path, monkeypatch):
    class Copy(Detectron2):
        name = "copy"

    both = (*DETECTOR_FAMILIES, Copy())
    given = synthetic.checkpoint(synthetic.blank(synthetic.detectron2_shapes(SMALL)))
    with pytest.raises(ValueError, match="it could be detectron2 or copy"):
        find_family(given, "auto", both)
    assert find_family(given, "copy", both).name == "copy"


def test_unknown_source(path):
    with pytest.raises(ValueError, match="source: got 'pytorch', expected 'auto' or one of detectron2, "):
        import_checkpoint(path, "pytorch")


def test_a_family_that_was_named_but_does_not_fit(path):
    with pytest.raises(ValueError, match=r"model\.pkl: got the source 'mmdetection' .* of detectron2$"):
        import_checkpoint(path, "mmdetection")


@pytest.mark.parametrize(
    "names",
    [synthetic.detectron2_shapes(SMALL), synthetic.mmdetection_shapes(SMALL)],
    ids=["detectron2", "mmdetection"],
)
def test_exactly_one_family_claims_a_checkpoint(names):
    given = synthetic.checkpoint(synthetic.blank(names))
    assert sum(family.matches(given) for family in DETECTOR_FAMILIES) == 1
    assert not any(family.matches(given) for family in BACKBONE_FAMILIES)


def test_names_of_families_differ():
    names = [family.name for family in families.DETECTOR_FAMILIES + families.BACKBONE_FAMILIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("asked", [{"heads.masks": Part(mask_heads)}, {"heads.masks.stages": (-1,)}])
def test_masks_that_are_asked_for_begin_afresh_on_a_box_detector(tmp_path, asked):
    path = write(tmp_path, small_arrays(mask_heads=0))
    assert not recipe_of(describe_checkpoint(path).settings)(["a", "b"]).has_masks
    detector, _, report, _ = import_checkpoint(path, **{**asked, "heads.masks.head.channels": 8})
    assert detector.heads.masks.stages == (3,)
    assert detector.heads.masks.heads[0].channels == 8
    assert {name for name in places(detector) if name.startswith("mask")} == set(report.missing)
    np.testing.assert_array_equal(
        values(detector)["head3.fc1.bias"], small_arrays()["roi_heads.box_head.2.fc1.bias"]
    )
