from __future__ import annotations

import dataclasses
import socket
from types import MappingProxyType

import numpy as np
import pytest
from absl import logging

import cascade_tf
from cascade_tf.weights.zoo import catalog
from cascade_tf.weights.zoo.download import cached_path
from cascade_tf.weights.zoo.pretrained import checkpoint_path, list_pretrained, load_pretrained
from tests.golden import detectron2 as golden

# The network's input differs by float32 rounding of two frameworks; as in tests/golden.
PIXELS = 0.05
SCORES = 1e-4
NAME = "detectron2/cascade_mask_rcnn_R_50_FPN_3x"


@pytest.fixture
def settings(recorded):
    """What the fixture has that is not detectron2's default; tensors do not tell it."""
    meta = golden.from_json(recorded["meta/json"])
    return {
        "backbone.stride_in_1x1": meta["resnet"]["stride_in_1x1"],
        "proposals.pre_nms_test": meta["rpn"]["pre_nms_topk_per_level"]["test"],
        "proposals.post_nms_test": meta["rpn"]["post_nms_topk"]["test"],
        "heads.pooling.sampling_ratio": meta["roi"]["sampling_ratio"],
        "output.score_threshold": meta["roi"]["score_thresh"],
        "output.nms_iou": meta["roi"]["nms_thresh"],
        "output.max_detections": meta["roi"]["detections_per_image"],
    }


def test_one_line_downloads_and_finds_what_the_original_finds(served, recorded, settings, tmp_path):
    detector = cascade_tf.load_pretrained(NAME, **settings)
    detections = detector(golden.image_batch(recorded))
    for image in range(2):
        prefix = f"infer/img{image}"
        boxes, scores, classes, valid = (value[image].numpy() for value in detections[:4])
        np.testing.assert_allclose(boxes[valid], recorded[f"{prefix}/det_boxes"], atol=PIXELS)
        np.testing.assert_allclose(scores[valid], recorded[f"{prefix}/det_scores"], atol=SCORES)
        np.testing.assert_array_equal(classes[valid], recorded[f"{prefix}/det_classes"] + 1)
    assert len(served.requests) == 1
    folder = tmp_path / "cache" / "detectron2" / "cascade_mask_rcnn_R_50_FPN_3x"
    assert (folder / "model.pkl").read_bytes() == served.content


def test_classes_of_ones_own_leave_only_their_layers_untrained(served, recorded, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    detector = load_pretrained(NAME, class_names=("disc", "square"), category_ids=(3, 7))
    assert detector.class_names == ("disc", "square")
    assert tuple(detector.category_ids) == (3, 7)
    kernel = detector.backbone.get_layer("res3_0_conv2").kernel
    expected = recorded["weight/backbone.bottom_up.res3.0.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)
    regressor = detector.heads.stages[2].head.regressor.kernel
    expected = recorded["weight/roi_heads.box_predictor.2.bbox_pred.weight"].T
    np.testing.assert_array_equal(regressor, expected)
    assert detector.heads.stages[0].head.classifier.kernel.shape[-1] == 3
    assert "head1.classifier.kernel" in said[-1]
    assert "the detector 2" in said[-1]


def test_the_second_time_needs_no_server(served):
    path = checkpoint_path(NAME)
    served.statuses = [500] * 9
    assert checkpoint_path(NAME, progress=False) == path
    detector = load_pretrained(NAME, class_names=("disc",), short_side=320)
    assert detector.short_side == 320
    assert len(served.requests) == 1


def test_what_the_entry_says_goes_before_the_family_and_after_the_caller(served, monkeypatch):
    entry = dataclasses.replace(
        catalog.find(NAME),
        settings=MappingProxyType({"backbone.stride_in_1x1": False, "output.score_threshold": 0.2}),
    )
    monkeypatch.setattr(catalog, "CATALOG", {NAME: entry})
    detector = load_pretrained(NAME, class_names=("disc",), **{"output.score_threshold": 0.4})
    assert detector.backbone.stride_in_1x1 is False
    assert detector.detection_output.score_threshold == 0.4


def test_the_family_is_the_entrys_not_a_guess(served, monkeypatch):
    entry = dataclasses.replace(catalog.find(NAME), source="elsewhere")
    monkeypatch.setattr(catalog, "CATALOG", {NAME: entry})
    with pytest.raises(ValueError, match="source: got 'elsewhere'"):
        load_pretrained(NAME)


def test_weights_that_the_settings_do_not_fit(served, recorded):
    with pytest.raises(ValueError, match="does not fit the model"):
        load_pretrained(NAME, class_names=("disc",), **{"heads.head.units": 24})
    detector = load_pretrained(NAME, class_names=("disc",), **{"heads.head.units": 24}, allow_partial=True)
    kernel = detector.backbone.get_layer("res5_0_conv1").kernel
    expected = recorded["weight/backbone.bottom_up.res5.0.conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_one_text_as_class_names_is_found_before_the_download(served):
    with pytest.raises(TypeError, match="class_names: got the text 'person'"):
        load_pretrained(NAME, class_names="person")
    assert served.requests == []


def test_a_wrong_setting_is_found_before_the_download(served):
    with pytest.raises(TypeError, match=r"unknown setting 'short_sides'.*did you mean 'short_side'"):
        load_pretrained(NAME, short_sides=320)
    assert served.requests == []


def test_a_broken_download_is_not_read(served):
    served.content = served.content[:-1] + b"?"
    with pytest.raises(ValueError, match=r"does not send what was published: .* has the MD5"):
        load_pretrained(NAME)


def test_without_a_network_the_message_says_what_to_put_where(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr("cascade_tf.weights.zoo.transfer.time.sleep", lambda _: None)
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(OSError, match="Name or service not known") as error:
        load_pretrained(NAME, cache_dir=tmp_path)
    entry = catalog.find(NAME)
    assert entry.url in str(error.value)
    assert f"put the file at {cached_path(entry, tmp_path)}" in str(error.value)


def test_a_backbone_is_no_detector(tmp_path):
    with pytest.raises(ValueError, match=r"backbone trained on ImageNet, expected a detector.*load_backbone"):
        load_pretrained("torchvision/resnet50", cache_dir=tmp_path)
    assert not any(tmp_path.iterdir())


def test_unknown_name(tmp_path):
    for function in (load_pretrained, checkpoint_path):
        with pytest.raises(ValueError, match="did you mean 'detectron2/cascade_mask_rcnn_R_50_FPN_3x'"):
            function("detectron2/cascade_rcnn_R_50_FPN_3x", cache_dir=tmp_path)


def test_all_are_listed():
    names = [entry.name for entry in list_pretrained()]
    assert names == list(catalog.CATALOG)
    assert NAME in names
