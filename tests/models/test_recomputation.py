"""Training with recomputed activations: the same losses and gradients, more operations.

That it takes less memory, ``tests/scripts/test_benchmarks.py`` shows.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.backbones import ResNet
from cascade_tf.structures import ImageBatch
from cascade_tf.training.precision import dtype_policy
from cascade_tf.training.step import raw_variable
from cascade_tf.weights.recipe_arguments import recipe_of
from tests.conformance.catalogue import TINY
from tests.conformance.sample_inputs import image_batch, targets_of

# The recomputed graph is optimised by itself, so that sums may come in another order.
TOLERANCE = 1e-5
SIZE = (64, 96)
NAMES = ("a", "b", "c")
KINDS = {
    "frozen": {"backbone.norm": "frozen", "backbone.freeze_at": 2},
    "everything trains": {"backbone.norm": "frozen", "backbone.freeze_at": 0},
    "group": {
        "backbone.norm": "group",
        "heads.head.num_convs": 2,
        "heads.head.conv_channels": 32,
        "heads.head.norm": "group",
    },
    "grouped convolutions": {
        "backbone.norm": "frozen",
        "backbone.cardinality": 4,
        "backbone.width_per_group": 8,
    },
    "masks": {
        "heads.masks.stages": (1, 3),
        "heads.masks.head.channels": 32,
        "heads.masks.head.norm": "group",
        "heads.masks.head.num_convs": 2,
    },
}


def make(kind, policy="float32", **settings):
    keras.utils.set_random_seed(7)
    with dtype_policy(policy):
        return recipe_of({**TINY, **KINDS[kind], **settings})(NAMES)


def gradient_function(detector, training=True):
    variables = [raw_variable(variable) for variable in detector.trainable_variables]

    @tf.function(autograph=False)
    def run(batch, truth):
        with tf.GradientTape() as tape:
            losses, _ = detector.compute_losses(batch, truth, training=training)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, variables)

    return run


def data_of(detector):
    return tf.nest.map_structure(tf.constant, (image_batch(*SIZE), targets_of(detector, *SIZE)))


@pytest.fixture(scope="module")
def traced():
    """A detector of a kind and its gradient function, with recomputation or without, which is traced once."""

    @functools.cache
    def of(kind, recompute):
        detector = make(kind, **{"*.recompute": recompute})
        return detector, gradient_function(detector)

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_the_same(kind, traced):
    results = []
    for recompute in (False, True):
        detector, run = traced(kind, recompute)
        results.append(run(*data_of(detector)))
        names = [variable.path for variable in detector.trainable_variables]
    (losses, gradients), (other_losses, others) = results
    for name, loss in losses.items():
        np.testing.assert_allclose(other_losses[name], loss, rtol=TOLERANCE, err_msg=name)
    assert len(gradients) > 40
    for name, one, other in zip(names, gradients, others, strict=True):
        atol = TOLERANCE * max(1.0, float(np.abs(one).max()))
        np.testing.assert_allclose(other, one, rtol=TOLERANCE, atol=atol, err_msg=name)


def test_in_mixed_precision_too():
    norms = []
    for recompute in (False, True):
        detector = make("frozen", "mixed_bfloat16", **{"*.recompute": recompute})
        _, gradients = gradient_function(detector)(*data_of(detector))
        norms.append(float(tf.linalg.global_norm(gradients)))
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


def test_without_a_graph_too(traced):
    """Eagerly, as one debugs."""
    expected, found = (
        run.python_function(*data_of(detector))
        for detector, run in (traced("frozen", recompute) for recompute in (False, True))
    )
    for one, other in zip(expected[1], found[1], strict=True):
        np.testing.assert_allclose(other, one, rtol=TOLERANCE, atol=TOLERANCE * max(1, np.abs(one).max()))


def count(function, *args, kind="Conv2D"):
    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, args)
    graph = function.get_concrete_function(*specs).graph
    return sum(op.type == kind for op in graph.get_operations())


# Stages of one block have four convolutions each, and the pyramid has four laterals. Of "frozen" the stem and
# the first stage do not train; of "group" everything does, with two convolutions in each of three heads.
@pytest.mark.parametrize(("kind", "expected"), [("frozen", 3 * 4 + 4), ("group", 1 + 4 * 4 + 4 + 3 * 2)])
def test_what_trains_is_computed_twice_and_nothing_else(kind, expected, traced):
    (plain, run), (_, recomputing) = traced(kind, False), traced(kind, True)
    data = data_of(plain)
    assert count(recomputing, *data) - count(run, *data) == expected


@pytest.mark.parametrize("way", ["detections", "losses"])
def test_outside_of_training_nothing_changes(way):
    counts = []
    for recompute in (False, True):
        detector = make("masks", **{"*.recompute": recompute})
        if way == "losses":
            run = gradient_function(detector, training=False)
            args = data_of(detector)
        else:
            run = tf.function(lambda *batch, detector=detector: detector(ImageBatch(*batch)), autograph=False)
            args = tuple(data_of(detector)[0])
        counts.append([count(run, *args), count(run, *args, kind="IdentityN")])
    # The mask heads see the foreground in training alone: their losses are those of training either way.
    if way == "losses":
        assert counts[1][0] - counts[0][0] == 2 * 2
    else:
        assert counts[0] == counts[1]


def test_weights_and_configuration_fit_both(tmp_path):
    plain, recomputing = make("group"), make("group", **{"*.recompute": True})
    assert [v.path for v in plain.variables] == [v.path for v in recomputing.variables]
    plain.save_weights(tmp_path / "a.weights.h5")
    recomputing.load_weights(tmp_path / "a.weights.h5")
    recomputing.save_weights(tmp_path / "b.weights.h5")
    sizes = [(tmp_path / f"{name}.weights.h5").stat().st_size for name in "ab"]
    assert sizes[0] == sizes[1]
    copy = type(recomputing).from_config(recomputing.get_config())
    assert copy.backbone.recompute
    assert copy.neck.recompute
    assert all(stage.head.recompute for stage in copy.heads.stages)


def test_moving_statistics_are_refused():
    with pytest.raises(ValueError, match="recompute: got True, expected False with norm='sync'"):
        ResNet(14, "sync", width=0.125, recompute=True)
