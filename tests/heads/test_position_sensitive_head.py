"""R-FCN's head: its votes against slow loops, and in a cascade maps that are made once and read often."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.heads import BoxHead, CascadeHeads, PositionSensitiveHead, Stage
from cascade_tf.losses import stage_losses
from cascade_tf.pooling import PSROIPool, ROIPool
from tests.heads.examples import IMAGE_SIZE, NUM_CLASSES, ground_truth, proposals, pyramid
from tests.heads.test_cascade_heads import softmax
from tests.reference.ps_roi_pool import bin_weights

# float32 sums over the cells of a box.
VOTES = 1e-5
GRADIENT = 1e-6
CELLS = 3
STRIDE = 16


def features():
    return {name: pyramid()[name] for name in ("P3", "P4")}


def build_head(**settings):
    head = PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4", **settings)
    head.build((CELLS, CELLS, 4))
    randomise([head.hidden, head.classifier, head.regressor])
    return head


def randomise(layers):
    generator = np.random.default_rng(3)
    for layer in layers:
        for variable in layer.trainable_variables:
            variable.assign(generator.normal(0, 0.3, variable.shape))


def build_cascade(heads, pooling, **settings):
    stages = [
        Stage(head, iou=0.4 + 0.1 * n, weight=0.5 ** (n - 1), num_samples=40 if n == 1 else None)
        for n, head in enumerate(heads, start=1)
    ]
    cascade = CascadeHeads(stages, pooling, **settings)
    cascade.build(dict.fromkeys(features(), (None, None, None, 4)))
    for number, head in enumerate(heads):
        layers = [*getattr(head, "dense", []), head.classifier, head.regressor]
        randomise([head.hidden, *layers] if head.makes_maps else layers)
        # No two heads say the same.
        head.classifier.bias.assign(np.linspace(-1, 1, head.classifier.bias.shape[0]) * number)
    return cascade


def position_sensitive(**settings):
    heads = [PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4", name=f"head{n}") for n in range(3)]
    return build_cascade(heads, PSROIPool(CELLS, stride=STRIDE), **settings)


def votes(maps, box):
    """The mean over the cells of a box of each output, by loops."""
    outputs = maps.shape[-1] // CELLS**2
    cells = np.zeros((CELLS, CELLS, outputs))
    for p, q, d, y, x, channel, weight in bin_weights(
        np.float32(box), maps.shape, STRIDE, (CELLS, CELLS), False
    ):
        cells[p, q, d] += weight * maps[0, y, x, channel]
    return cells.mean(axis=(0, 1))


@pytest.mark.parametrize("class_agnostic", [True, False])
def test_boxes_get_the_mean_of_their_cells(class_agnostic):
    head = build_head(class_agnostic=class_agnostic)
    maps = head.prepare(features())
    boxes = tf.constant([[[3.0, 5.0, 60.0, 41.0], [40.0, 20.0, 47.0, 60.0]]] * 2)
    logits, deltas = head(head.pool(PSROIPool(CELLS, stride=STRIDE, inclusive=True), maps, boxes))
    assert logits.shape == (2, 2, NUM_CLASSES + 1)
    assert deltas.shape == (2, 2, 4 if class_agnostic else 4 * NUM_CLASSES)
    for image, number in np.ndindex(2, 2):
        expected = votes(maps["cells"][image : image + 1].numpy(), boxes[image, number])
        found = np.concatenate([logits[image, number], deltas[image, number]])
        np.testing.assert_allclose(found, expected, atol=VOTES)


def test_maps_are_those_of_the_level():
    head = build_head()
    some = features()
    x = tf.nn.relu(some["P4"] @ head.hidden.kernel[0, 0] + head.hidden.bias)
    expected = [x @ layer.kernel[0, 0] + layer.bias for layer in (head.classifier, head.regressor)]
    np.testing.assert_allclose(head.prepare(some)["cells"], np.concatenate(expected, axis=-1), atol=VOTES)


@pytest.mark.parametrize("ensemble", ["last_boxes", "own_boxes"])
def test_every_head_reads_its_own_maps(ensemble):
    heads = position_sensitive(ensemble=ensemble)
    some = features()
    outputs = heads(some, proposals(), IMAGE_SIZE)
    if ensemble == "own_boxes":
        asked = [output.samples.boxes for output in outputs]
    else:
        asked = [outputs[-1].samples.boxes] * 3
    said = [softmax(heads.head_on_boxes(n, some, boxes)[0]) for n, boxes in enumerate(asked)]
    np.testing.assert_allclose(heads.class_probabilities(outputs), np.mean(said, axis=0), atol=VOTES)
    assert np.abs(said[0] - said[2]).max() > 1e-2


def test_maps_are_made_once_for_all_boxes(monkeypatch):
    made = []
    prepare = PositionSensitiveHead.prepare
    monkeypatch.setattr(
        PositionSensitiveHead, "prepare", lambda head, maps: made.append(head.name) or prepare(head, maps)
    )
    heads = position_sensitive()
    heads.class_probabilities(heads(features(), proposals(), IMAGE_SIZE))
    assert made == ["head0", "head1", "head2"]


def test_heads_of_both_kinds_in_one_cascade():
    """Pooled features of one head are no use to another whose maps are its own."""
    heads = [
        PositionSensitiveHead(NUM_CLASSES, channels=4, level="P4", name="first"),
        PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4", name="second"),
    ]
    cascade = build_cascade(heads, PSROIPool(CELLS, stride=STRIDE))
    outputs = cascade(features(), proposals(), IMAGE_SIZE)
    boxes = outputs[-1].samples.boxes
    said = [softmax(cascade.head_on_boxes(n, features(), boxes)[0]) for n in range(2)]
    np.testing.assert_allclose(cascade.class_probabilities(outputs), np.mean(said, axis=0), atol=VOTES)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_head_learns_at_full_rate_and_the_features_at_its_weight(stage):
    found = {}
    for rescale in (True, False):
        heads = position_sensitive(rescale_heads=rescale)
        some = tf.Variable(features()["P4"])
        head = heads.stages[stage].head
        with tf.GradientTape() as tape:
            outputs = heads({"P4": some}, proposals(), IMAGE_SIZE, ground_truth(), training=True)
            loss = tf.add_n(stage_losses(outputs[stage], heads.stages[stage].coder))
        found[rescale] = tape.gradient(loss, [some, head.hidden.kernel, head.classifier.kernel])
    for scaled, plain, factor in zip(*found.values(), (0.5**stage, 1.0, 1.0), strict=True):
        assert np.abs(plain).max() > 1e-4
        np.testing.assert_allclose(scaled, factor * plain, atol=GRADIENT)


@pytest.mark.parametrize("kind", ["pooled", "position_sensitive"])
def test_offsets_of_the_background_are_never_read(kind):
    def build(background_offsets):
        settings = {"background_offsets": background_offsets, "name": "head"}
        if kind == "pooled":
            head = BoxHead(NUM_CLASSES, units=5, num_fcs=1, **settings)
            pooling = ROIPool(CELLS, level="P4", stride=STRIDE)
        else:
            head = PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4", **settings)
            pooling = PSROIPool(CELLS, stride=STRIDE)
        return build_cascade([head], pooling)

    with_them, without = build(True), build(False)
    for name in ("kernel", "bias"):
        wide, narrow = (getattr(h.stages[0].head.regressor, name) for h in (with_them, without))
        assert wide.shape[-1] == 2 * narrow.shape[-1]
        for source in ("classifier", "hidden", "dense"):
            layers = [getattr(h.stages[0].head, source, None) for h in (with_them, without)]
            for wide_layer, narrow_layer in zip(
                *(x if isinstance(x, list) else [x] for x in layers), strict=True
            ):
                if wide_layer is not None:
                    getattr(narrow_layer, name).assign(getattr(wide_layer, name))
        narrow.assign(wide[..., wide.shape[-1] // 2 :])
    one, other = (h(features(), proposals(), IMAGE_SIZE)[0] for h in (with_them, without))
    np.testing.assert_allclose(one.logits, other.logits, atol=VOTES)
    np.testing.assert_allclose(one.deltas, other.deltas, atol=VOTES)
    assert np.abs(other.deltas).max() > 0.1
    np.testing.assert_allclose(
        one.boxes, BoxCoder(without.stages[0].std).decode(one.deltas, one.samples.boxes)
    )


@pytest.mark.parametrize("head", [BoxHead, PositionSensitiveHead])
def test_class_aware_boxes_have_no_background(head):
    with pytest.raises(ValueError, match="background_offsets: got True, expected False"):
        head(NUM_CLASSES, class_agnostic=False, background_offsets=True)


def test_a_level_has_to_be_named_where_there_are_several():
    head = PositionSensitiveHead(NUM_CLASSES)
    with pytest.raises(ValueError, match=r"level: got None with the maps \['P3', 'P4'\]"):
        head.build_on(dict.fromkeys(features(), (None, None, None, 4)), PSROIPool(CELLS, stride=STRIDE))
    with pytest.raises(ValueError, match="got 'C9', expected one of"):
        PositionSensitiveHead(NUM_CLASSES, level="C9").build_on(
            {"C5": (None, None, None, 4)}, PSROIPool(CELLS, stride=STRIDE)
        )
