"""The plan of batches: complete epochs, one orientation, and no memory of the steps before."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cascade_tf.data.plan import BatchPlan, aspect_buckets, random_bits


def make_plan(wide=10, tall=0, *, batch_size=4, short_sides=(100,), flip=True, seed=0, grouped=True):
    sizes = np.array([(40, 60)] * wide + [(60, 40)] * tall).reshape(-1, 2)
    buckets = aspect_buckets(sizes, batch_size if grouped else len(sizes) + 1)
    return BatchPlan(buckets, batch_size, short_sides, flip, seed)


def test_random_bits_are_known():
    # SplitMix64's own first outputs for the seed 0, from its authors' reference program.
    assert random_bits(0, 0)[0] == 0xE220A8397B1DCDAF
    assert random_bits(0x9E3779B97F4A7C15, 0)[0] == 0x6E789E6AA1B965F4


def test_random_bits_are_even_and_independent_of_the_company():
    bits = random_bits(3, 1, np.arange(10_000))
    assert abs((bits >> np.uint64(63)).mean() - 0.5) < 0.02
    assert abs((bits & np.uint64(1)).mean() - 0.5) < 0.02
    assert len(np.unique(bits)) == 10_000
    assert random_bits(3, 1, 77)[0] == bits[77]


def test_buckets_part_wide_from_tall_and_squares_are_wide():
    sizes = np.array([(40, 60), (60, 40), (50, 50), (61, 60), (10, 90)])
    wide, tall = aspect_buckets(sizes, batch_size=2)
    assert wide.tolist() == [0, 2, 4]
    assert tall.tolist() == [1, 3]


@pytest.mark.parametrize("sizes", [[(40, 60)] * 5, [(40, 60)] * 5 + [(60, 40)] * 2])
def test_a_bucket_too_small_for_a_batch_is_joined(sizes):
    (everything,) = aspect_buckets(np.array(sizes), batch_size=3)
    assert everything.tolist() == list(range(len(sizes)))


@pytest.mark.parametrize(
    ("wide", "tall", "batch_size"), [(12, 0, 4), (10, 0, 4), (7, 5, 3), (3, 0, 8), (1, 0, 2)]
)
def test_each_bucket_is_seen_once_before_any_is_seen_twice(wide, tall, batch_size):
    plan = make_plan(wide, tall, batch_size=batch_size)
    examples = plan.steps(0, 60).example
    for bucket in plan.buckets:
        seen = examples[np.isin(examples, bucket)]
        whole_epochs = seen[: len(seen) // len(bucket) * len(bucket)].reshape(-1, len(bucket))
        assert len(whole_epochs) > 1
        assert (np.sort(whole_epochs, axis=1) == bucket).all()


def test_epochs_differ():
    examples = make_plan(8, batch_size=4).steps(0, 4).example.reshape(2, 8)
    assert examples[0].tolist() != examples[1].tolist()


def test_batches_have_one_orientation_in_proportion_to_the_buckets():
    plan = make_plan(30, 10, batch_size=4)
    tall = plan.steps(0, 100).example.reshape(100, 4) >= 30
    assert (tall.all(axis=1) | ~tall.any(axis=1)).all()
    assert tall[:, 0].sum() == 25
    assert tall[:20, 0].sum() == 5
    mixed = make_plan(30, 10, batch_size=4, grouped=False).steps(0, 100).example.reshape(100, 4) >= 30
    assert (mixed.any(axis=1) & ~mixed.all(axis=1)).any()


@pytest.mark.parametrize("first", [0, 1, 37, 64, 99])
def test_any_part_of_the_plan_is_the_whole_plans(first):
    whole = make_plan(7, 5, batch_size=3, short_sides=(80, 100, 120)).steps(0, 120)
    part = make_plan(7, 5, batch_size=3, short_sides=(80, 100, 120)).steps(first, 20)
    for got, expected in zip(part, whole, strict=True):
        np.testing.assert_array_equal(got, expected[first * 3 : (first + 20) * 3])


def test_a_late_step_costs_no_more_than_an_early_one():
    plan = make_plan(60_000, 40_000, batch_size=16)
    start = time.process_time()
    late = plan.steps(5_000_000, 2)
    assert time.process_time() - start < 1.0
    assert len(late.example) == 32


def test_the_seed_changes_everything():
    one, other = (make_plan(50, seed=seed, short_sides=range(50, 90)).steps(0, 20) for seed in (0, 1))
    for got, expected in zip(one, other, strict=True):
        assert (got != expected).mean() > 0.3


def test_scales_are_equal_within_a_batch_and_all_occur():
    scales = make_plan(10, batch_size=4, short_sides=(80, 100, 120)).steps(0, 300).short_side.reshape(300, 4)
    assert (scales == scales[:, :1]).all()
    counts = [(scales[:, 0] == side).sum() for side in (80, 100, 120)]
    assert sum(counts) == 300
    assert min(counts) > 70


def test_half_of_the_examples_are_flipped_or_none():
    assert abs(make_plan(100).steps(0, 1000).flip.mean() - 0.5) < 0.03
    assert not make_plan(100, flip=False).steps(0, 1000).flip.any()


def test_each_place_has_its_own_sampling_seed():
    seeds = make_plan(10).steps(0, 500).seed
    assert seeds.dtype == np.int32
    assert len(np.unique(seeds, axis=0)) == 2000
