"""Every part of a kind does what its kind promises, in a tiny network.

The parts are those of ``constructors``: one that is added needs an entry in the catalogue, and has all this.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf import pooling
from cascade_tf.heads import CascadeHeads, IntegralHeads
from cascade_tf.parts import constructors
from cascade_tf.structures import Detections, ProposalBatch
from cascade_tf.weights.places import backbone_places
from tests.conformance.catalogue import LAYERS
from tests.conformance.sample_inputs import (
    BATCH,
    NUM_CLASSES,
    SIZES,
    boxes,
    image_batch,
    image_size,
    proposals,
    pyramid,
    targets,
)

HEIGHT, WIDTH = SIZES[0]
COUNT = 12
# Of a small map; whatever else a head wants is here by its name.
ALIGN = pooling.ROIAlign(output_size=3, strides=(16,), implementation="tensorflow")
POOLINGS = {"PositionSensitiveHead": pooling.PSROIPool(3, implementation="tensorflow")}


def classes_of(kind):
    """Names of the classes of a kind; the cascade and the integral loss are some that functions make."""
    found = {name for name, one in constructors(kind).items() if isinstance(one, type)}
    return found | {CascadeHeads.__name__, IntegralHeads.__name__} if kind == "heads" else found


def subjects_of(kind):
    """The entries of the catalogue for a kind; one that is missing fails where it is looked for."""
    found = [name for name in LAYERS if name.partition("-")[0] in classes_of(kind)]
    return [*found, *sorted(classes_of(kind) - {name.partition("-")[0] for name in found})]


def check_names(layer):
    """Names say where every variable is, once."""
    found = backbone_places(layer)
    assert len({id(place.variable) for place in found.values()}) == len(found) == len(layer.variables)
    assert {id(place.variable) for place in found.values()} == {id(value) for value in layer.variables}


def check_losses(layer, *arguments):
    losses, metrics = layer.compute_losses(*arguments)
    assert set(layer.reported) <= losses.keys() | metrics.keys()
    for name, value in {**losses, **metrics}.items():
        assert value.shape == (), name
        assert np.isfinite(value), name
    return losses


def truths():
    """Ground truth with objects, and without any."""
    some = targets(HEIGHT, WIDTH)
    return some, tf.nest.map_structure(np.zeros_like, some)


@pytest.mark.parametrize("name", subjects_of("backbone"))
def test_backbone(name):
    network = LAYERS[name].shared()
    maps = network(*LAYERS[name].inputs(HEIGHT, WIDTH))
    sizes = {level: (-(-HEIGHT // stride), -(-WIDTH // stride)) for level, stride in network.strides.items()}
    assert {level: tuple(value.shape[1:3]) for level, value in maps.items()} == sizes
    check_names(network)


@pytest.mark.parametrize("name", subjects_of("neck"))
def test_neck(name):
    neck = LAYERS[name].shared()
    [features] = LAYERS[name].inputs(HEIGHT, WIDTH)
    maps = neck(features)
    shapes = neck.output_shapes({level: value.shape for level, value in features.items()})
    assert {level: value.shape[-1] for level, value in maps.items()} == {
        level: shape[-1] for level, shape in shapes.items()
    }
    strides = neck.output_strides({level: HEIGHT // value.shape[1] for level, value in features.items()})
    assert {level: tuple(value.shape[1:3]) for level, value in maps.items()} == {
        level: (-(-HEIGHT // stride), -(-WIDTH // stride)) for level, stride in strides.items()
    }
    check_names(neck)


@pytest.mark.parametrize("name", subjects_of("proposals"))
def test_proposals(name):
    generator = LAYERS[name].shared()
    batch = image_batch(HEIGHT, WIDTH)
    if generator.takes_given:
        batch = ProposalBatch(*batch, proposals(HEIGHT, WIDTH))
    features = pyramid(HEIGHT, WIDTH)
    for training in (False, True):
        output, found = generator.of_batch(features, batch, training=training)
        assert found.boxes.shape == (*found.scores.shape, 4) == (*found.valid.shape, 4)
        assert np.any(found.valid)
        assert np.all(np.isfinite(found.boxes))
    for truth in truths():
        check_losses(generator, output, truth)
    if generator.variables:
        check_names(generator)


@pytest.mark.parametrize("name", subjects_of("pooling"))
def test_pooling(name):
    layer = LAYERS[name].shared()
    features, some = LAYERS[name].inputs(HEIGHT, WIDTH)
    pooled = layer(features, some)
    expected = layer.pooled_shape({level: value.shape for level, value in features.items()})
    assert tuple(pooled.shape[2:]) == tuple(expected[2:])
    assert tuple(pooled.shape[2:4]) == layer.cells
    # Each turn gives the features for the next one, under their names.
    onward = features
    for _ in range(2):
        in_turn, onward = layer.pool_in_turn(onward, some)
        np.testing.assert_array_equal(in_turn, pooled)
        assert onward.keys() == features.keys()


@pytest.mark.parametrize("name", sorted(classes_of("box head")))
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_box_head(name, class_agnostic):
    layer = POOLINGS.get(name, ALIGN)
    head = constructors("box head")[name](NUM_CLASSES, class_agnostic=class_agnostic)
    features = pyramid(HEIGHT, WIDTH, ("P4",))
    head.build_on({level: value.shape for level, value in features.items()}, layer)
    maps = head.prepare(features)
    sets = [boxes(COUNT, HEIGHT, WIDTH, seed=seed) for seed in (1, 2)]
    outputs = [head(head.pool(layer, maps, some)) for some in sets]
    together = head(head.pool(layer, maps, np.concatenate(sets, axis=1)))
    for position, last in enumerate((NUM_CLASSES + 1, 4 if class_agnostic else 4 * NUM_CLASSES)):
        assert together[position].shape == (BATCH, 2 * COUNT, last)
        assert together[position].dtype == tf.float32
        apart = np.concatenate([output[position] for output in outputs], axis=1)
        np.testing.assert_allclose(apart, together[position], atol=1e-5)
    check_names(head)


@pytest.mark.parametrize("name", sorted(classes_of("box head")))
def test_box_head_of_several_classifiers_or_without_a_regressor(name):
    layer = POOLINGS.get(name, ALIGN)
    features = pyramid(HEIGHT, WIDTH, ("P4",))
    for count, regresses in ((3, True), (1, False), (2, False)):
        head = constructors("box head")[name](NUM_CLASSES, num_classifiers=count, regresses=regresses)
        head.build_on({level: value.shape for level, value in features.items()}, layer)
        pooled = head.pool(layer, head.prepare(features), boxes(COUNT, HEIGHT, WIDTH))
        logits, deltas = head.judge(pooled)
        assert logits.shape == (BATCH, COUNT, count * (NUM_CLASSES + 1))
        assert deltas.shape == (BATCH, COUNT, 4 if regresses else 0)
        check_names(head)


@pytest.mark.parametrize("name", subjects_of("heads"))
def test_heads(name):
    heads = LAYERS[name].shared()
    features, some, size = LAYERS[name].inputs(HEIGHT, WIDTH)
    outputs = heads(features, some, size)
    assert len(outputs) == heads.num_stages
    rows = list(heads.rows.values())
    assert outputs[rows[-1]] == outputs
    heard = [output for row in rows for output in outputs[row]]
    assert all(any(one is output for one in heard) for output in outputs)
    probabilities, found = heads.class_probabilities(outputs), heads.detection_boxes(outputs)
    assert probabilities.shape == (*some.scores.shape, heads.num_classes + 1)
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1.0, atol=1e-6)
    assert found.shape in [(*some.scores.shape, boxes_each, 4) for boxes_each in (1, heads.num_classes)]
    detections = Detections(found[:, :, 0], some.scores, np.ones_like(some.valid, np.int32), some.valid)
    assert heads.with_masks(features, detections)[:4] == detections
    for truth in truths():
        in_training = heads(features, some, image_size(HEIGHT, WIDTH), truth, training=True)
        check_losses(heads, features, in_training, size, truth)
    if heads.variables:
        check_names(heads)
