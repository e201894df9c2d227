"""Whether an imported detector computes what the network does that its weights come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def assert_same_network(detector, network, images, assert_equal: Callable) -> None:
    """Compares the maps of backbone and pyramid, region proposals, and the heads of all stages.

    Args:
        detector: imported.
        network: a framework's, with ``model``, ``features``, ``region_proposals``, ``box_head`` and
            ``mask_head``.
        images: [B, H, W, 3], normalised.
        assert_equal: compares a result with the expected one.
    """
    model = network.model
    maps, levels = network.features(images)
    features = detector.backbone(images)
    for got, wanted in zip(features.values(), maps, strict=True):
        assert_equal(got, wanted)
    for got, wanted in zip(detector.neck(features).values(), levels, strict=True):
        assert_equal(got, wanted)
    _assert_same_proposals(detector.proposals, network, levels[0], assert_equal)
    pooled = _random(4, 7, 7, model.fpn, seed=1)
    assert len(detector.heads.stages) == model.stages
    for number, stage in enumerate(detector.heads.stages, start=1):
        for got, wanted in zip(stage.head(pooled), network.box_head(pooled, number), strict=True):
            assert_equal(got, wanted)
    masks = detector.heads.masks.heads if detector.has_masks else []
    assert len(masks) == int(model.masks)
    pooled = _random(1, 3, 14, 14, model.fpn, seed=2)
    for head in masks:
        assert_equal(head(pooled)[0], network.mask_head(pooled[0]))


def _assert_same_proposals(rpn, network, level, assert_equal):
    hidden = tf.nn.relu(rpn.hidden(level))
    logits, deltas = network.region_proposals(level)
    assert_equal(rpn.objectness(hidden), logits)
    assert_equal(rpn.offsets(hidden), deltas)


def _random(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
