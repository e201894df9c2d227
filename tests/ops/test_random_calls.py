"""Thousands of random calls of every op: as the NumPy reference says, both implementations alike, no crash.

``CASCADE_TF_FUZZ_CALLS`` says how many (20,000), ``CASCADE_TF_FUZZ_SEED`` which ones (0).
"""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

from tests.ops.fuzzing.calls import against_reference, against_twin, refused_alike
from tests.ops.fuzzing.catalogue import OPS
from tests.ops.fuzzing.kernels import spoiled_kernel

CALLS = int(os.environ.get("CASCADE_TF_FUZZ_CALLS", "20000"))
SEED = int(os.environ.get("CASCADE_TF_FUZZ_SEED", "0"))
# Of all calls, by what they cost: graphs of many ops, and more so their ops one by one, take longer.
KINDS = {against_reference: 0.7, against_twin: 0.15, refused_alike: 0.01, spoiled_kernel: 0.21}
SLOW = {"deformable_conv2d": 0.01}


def ops_of(kind):
    """Ops that such a call can be made of."""
    needed = {against_reference: set(), spoiled_kernel: {"custom"}}.get(kind, {"custom", "tensorflow"})
    return [op for op in OPS if needed <= set(op.implementations)]


def make_calls(kind, op, calls):
    """Makes random calls until an op ran that many times; the message of a failure names the one."""
    runs = number = answers = 0
    while runs < calls:
        where = f"{kind.__name__}({op.name}), number {number} of seed {SEED}"
        name = zlib.crc32(f"{kind.__name__} {op.name}".encode())
        made = kind(op, np.random.default_rng([SEED, name, number]), where)
        runs, number, answers = runs + made.runs, number + 1, answers + made.answered
    # Refusals alone would say little.
    assert answers > 0.1 * number or kind is refused_alike


@pytest.mark.parametrize(
    ("kind", "op"),
    [pytest.param(kind, op, id=f"{kind.__name__}-{op.name}") for kind in KINDS for op in ops_of(kind)],
)
def test_random_calls(kind, op):
    make_calls(kind, op, CALLS * KINDS[kind] / len(ops_of(kind)) * SLOW.get(op.name, 1))
