"""Means and deviations of deltas: batch by batch against NumPy, and of a cascade against slow loops."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.analysis.delta_statistics import (
    Moments,
    StageDeltas,
    as_settings,
    deltas_table,
    measure_deltas,
)
from cascade_tf.experiment.overrides import changes
from cascade_tf.heads import ProposalsOnly, cascade
from cascade_tf.parts import part
from cascade_tf.structures import ImageBatch
from tests.boxes.examples import targets
from tests.heads.examples import IMAGE_SIZE, OBJECTS, arrays, build_heads, ground_truth, proposals, pyramid
from tests.reference import cascade as reference

# float64 sums of some thousand values.
EXACT = 1e-12
# float32 offsets, computed in another order.
OFFSET = 1e-5


def moments_of(values):
    found = Moments()
    found.add(np.asarray(values))
    return found


@pytest.mark.parametrize("centre", [0.0, 1e4])
def test_moments_of_batches_are_those_of_all(centre):
    values = np.random.default_rng(1).normal(centre, (1e-3, 0.1, 1.0, 5.0), (3000, 4))
    found = Moments()
    for batch in np.split(values, [0, 1, 40, 40, 1500]):
        found.add(batch)
    assert found.count == 3000
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=EXACT, atol=EXACT)
    # At 1e4 the values themselves have no more digits.
    np.testing.assert_allclose(found.std, values.std(axis=0), rtol=1e-9)


def test_moments_of_nothing():
    found = moments_of(np.zeros([0, 4], np.float32))
    assert found.count == 0
    np.testing.assert_array_equal([found.mean, found.std], np.zeros([2, 4]))


def detector_of(heads, given):
    """A detector of these heads whose proposals are given."""
    return SimpleNamespace(
        features=lambda batch: pyramid(),
        proposals=SimpleNamespace(of_batch=lambda features, batch, training=False: (None, given)),
        heads=heads,
        in_areas=lambda batch: nullcontext(),
    )


def batch():
    images = tf.zeros([2, 64, 96, 3], tf.uint8)
    return ImageBatch(images, IMAGE_SIZE, IMAGE_SIZE, tf.constant([1, 2], tf.int64))


def expected_deltas(heads, given, some):
    """For each stage the deltas of all hypotheses and whether each is an outlier, by slow loops."""
    stages = []
    for output, stage in zip(
        heads(pyramid(), given, IMAGE_SIZE, some, training=True), heads.stages, strict=True
    ):
        samples, found = arrays(output.samples), []
        objects = [reference.Object(list(map(float, box)), label) for box, label in OBJECTS[0] if label]
        for box in samples.boxes[0][samples.valid[0]]:
            place, iou = reference.best_object(box, objects)
            if 0.5 <= iou <= 0.975:
                delta = reference.encode(objects[place].box, box, (1, 1, 1, 1))
                found.append((delta, iou < stage.iou))
        stages.append(found)
    return stages


def test_cascade_equals_loops():
    heads, some = build_heads(), ground_truth()
    given = [proposals(seed=seed) for seed in range(3)]
    counted, found = [], []
    for one in given:
        found.append(measure_deltas(detector_of(heads, one), [(batch(), some)], counted.append))
    assert counted == [2, 2, 2]
    outliers = 0
    for stages, one in zip(found, given, strict=True):
        for stage, expected in zip(stages, expected_deltas(heads, one, some), strict=True):
            deltas = np.array([delta for delta, _ in expected])
            kept = deltas[[not outlier for _, outlier in expected]]
            for moments, values in ((stage.all, deltas), (stage.kept, kept)):
                assert moments.count == len(values)
                np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=OFFSET, atol=OFFSET)
                np.testing.assert_allclose(moments.std, values.std(axis=0), rtol=OFFSET, atol=OFFSET)
            np.testing.assert_allclose(stage.outliers, 1 - len(kept) / len(deltas))
            outliers += len(deltas) - len(kept)
    assert outliers > 10


def test_batches_add_up():
    heads, some, given = build_heads(), ground_truth(), proposals()
    once, twice = (measure_deltas(detector_of(heads, given), [(batch(), some)] * count) for count in (1, 2))
    for one, two in zip(once, twice, strict=True):
        assert (two.all.count, two.kept.count) == (2 * one.all.count, 2 * one.kept.count)
        np.testing.assert_allclose(two.kept.mean, one.kept.mean, rtol=EXACT)
        np.testing.assert_allclose(two.kept.std, one.kept.std, rtol=EXACT)


@pytest.mark.parametrize("size", [0, 2])
def test_data_without_objects(size):
    detector = detector_of(build_heads(), proposals())
    stages = measure_deltas(detector, [(batch(), targets([[], []], size=size))])
    assert [(stage.all.count, stage.outliers) for stage in stages] == [(0, 0.0)] * 3
    assert "nan" not in deltas_table(stages)
    with pytest.raises(ValueError, match=r"stage 1: got 0 boxes with an IoU of 0.5 or more"):
        as_settings(stages)


def test_a_detector_without_stages():
    with pytest.raises(ValueError, match="got a detector without stages"):
        measure_deltas(detector_of(ProposalsOnly(1), proposals()), [(batch(), ground_truth())])


def test_text():
    values = np.array([[0.1, 0, 0.2, 0], [0.3, 0.1, 0, 0.5]])
    stages = [
        StageDeltas(0.5, moments_of(values), moments_of(values)),
        StageDeltas(0.6, moments_of([*values, [9.0] * 4]), moments_of(values * [-1, 1, 1, 1])),
    ]
    lines = deltas_table(stages).splitlines()
    assert lines[0].split()[:5] == ["stage", "IoU", "outliers", "samples", "dx"]
    assert lines[1].split()[:5] == ["1", "0.5", "with", "2", "0.2000"]
    assert lines[1].split()[6:] == ["0.0500", "0.0500", "0.1000", "0.1000", "0.2500", "0.2500"]
    assert lines[2].split()[:4] == ["0.00", "%", "without", "2"]
    assert lines[4].split()[:5] == ["33.33", "%", "without", "2", "-0.2000"]
    assert len({len(line) for line in lines}) == 1
    model = part(cascade, ious=(0.5, 0.6))
    settings = changes(model, as_settings(stages))
    assert settings["means"] == ((0.2, 0.05, 0.1, 0.25), (-0.2, 0.05, 0.1, 0.25))
    assert settings["stds"] == ((0.1, 0.05, 0.1, 0.25),) * 2
    assert model.replace(settings)(3).stages[1].coder.mean == (-0.2, 0.05, 0.1, 0.25)


def test_deltas_that_are_all_alike_are_no_statistics():
    alike = StageDeltas(0.5, moments_of([[0.1] * 4] * 3), moments_of([[0.1] * 4] * 3))
    with pytest.raises(ValueError, match=r"stage 1: got 3 boxes .* boxes that differ"):
        as_settings([alike])
