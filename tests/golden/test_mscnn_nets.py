"""MS-CNN and its cascade, imported from the authors' files: every number from the pixels to the boxes."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.weights.families.mscnn_architecture import template_layers
from tests.golden.caffe_boxes import continuous, offsets, rows
from tests.golden.mscnn_nets import NETS, imported
from tests.golden.test_caffe_nets import STAGES, batch_of, close, nearest

PROBABILITY = 1e-4


def of_blob(net, name):
    """The first rows of a blob, as many as were kept."""
    (found,) = (value for key, value in net.test.items() if key.split("__")[0] == f"out/{name}")
    return found


@pytest.mark.parametrize("net", NETS)
def test_maps_and_branches(net):
    detector = imported(net).detector
    batch = batch_of(net.test)
    features = detector.features(batch)
    for name, blob in (("P4", "conv5_3"), ("P5", "conv6_1"), ("P6", "pool6")):
        if f"out/{blob}" in net.test:
            close(features[name], net.map(blob))
    if detector.neck.channels is None:
        close(features["P5"], net.map("pool5"))
    output = detector.proposals.predict(features, batch.image_size)
    values = np.concatenate([output.logits, output.deltas], axis=-1)
    of_branches = detector.proposals.by_template(values, output)
    for of_branch, layers in zip(of_branches, template_layers(net.weights), strict=True):
        for number, layer in enumerate(layers):
            expected = net.map(layer).reshape(1, -1, values.shape[-1])
            classes = detector.num_classes + 1
            close(of_branch[:, :, number, :classes], expected[..., :classes])
            close(of_branch[:, :, number, classes:], detector.proposals.clip_deltas(expected[..., classes:]))


@pytest.mark.parametrize("net", NETS)
def test_proposals_features_heads_and_boxes(net):
    detector = imported(net).detector
    heads, batch = detector.heads, batch_of(net.test)
    features, _, proposals = detector.propose(batch)
    valid = proposals.valid.numpy()[0]
    recorded = rows(net.test["out/proposals_score"])
    expected = continuous(recorded[:, 1:5])
    assert np.count_nonzero(valid) == len(expected)
    where = nearest(proposals.boxes.numpy()[0][valid], expected)
    assert len(set(where)) == len(expected)
    np.testing.assert_allclose(proposals.scores.numpy()[0][valid], recorded[where, 5], rtol=1e-4, atol=1e-4)
    outputs = heads(features, proposals, batch.image_size)
    for stage, output in enumerate(outputs):
        suffix = STAGES[stage]
        among = continuous(rows(net.test[f"out/proposals{suffix}"])[:, 1:])
        where = nearest(output.samples.boxes.numpy()[0][valid], among)
        pooled = np.moveaxis(output.pooled.numpy()[0][valid], -1, 1)
        kept = of_blob(net, f"roi_pool{suffix}")
        first = where < len(kept)
        assert first.sum() >= 2
        close(pooled[first], kept[where[first]])
        close(output.logits.numpy()[0][valid], net.test[f"out/cls_pred{suffix}"][where])
        deltas = net.test[f"out/bbox_pred{suffix}"]
        close(output.deltas.numpy()[0][valid], offsets(deltas.reshape(*deltas.shape[:2], 1, 1))[where])
        name = f"out/output_bbox_{('1st', '2nd', '3rd')[stage]}"
        if name in net.test:
            boxes = continuous(rows(net.test[name])[:, 1:])[where]
            np.testing.assert_allclose(output.boxes.numpy()[0][valid], boxes, atol=2e-3)
    name = "out/cls_prob_3rd_avg" if "out/cls_prob_3rd_avg" in net.test else "out/cls_prob_3rd"
    if name in net.test:
        probabilities = heads.class_probabilities(outputs).numpy()[0][valid]
        np.testing.assert_allclose(probabilities, net.test[name][where], atol=PROBABILITY)
        assert heads.ensemble == ("last_boxes" if name.endswith("avg") else "last_stage")
