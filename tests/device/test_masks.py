"""Mask targets and pasted masks by the kernels for GPUs = the NumPy references, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.benchmarks.kernel_calls import crop_masks, paste_masks
from tests.reference import mask_targets
from tests.reference import paste_masks as pasting


def targets_case(rng):
    masks = rng.uniform(size=(2, 3, 37, 48)) < 0.5
    masks[:, 0, 5:30, 8:40] = True
    image_size = np.array([[37, 45], [20, 48]], np.int32)
    corner = rng.uniform(-10, 35, (2, 12, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4, (2, 12, 2)))], -1).astype(np.float32)
    boxes[0, 0] = [0, np.nan, 3, 4]
    boxes[0, 1] = [8, 5, 40, 30]
    object_index = rng.integers(0, 3, (2, 12), dtype=np.int32)
    valid = rng.uniform(size=(2, 12)) < 0.8
    return masks, image_size, boxes, object_index, valid


def crop(launchers, masks, *rest, output_size=7):
    packed = np.packbits(masks, axis=-1)
    *rest, valid = rest
    return crop_masks(launchers, [packed, *rest, valid.astype(np.uint8)], output_size)


@pytest.mark.parametrize("output_size", [1, 7])
def test_targets(launchers, rng, output_size):
    case = targets_case(rng)
    expected = mask_targets.crop_masks(*case, output_size)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(crop(launchers, *case, output_size=output_size), expected)


def test_objects_and_sizes_that_there_are_not(launchers, rng):
    masks, image_size, boxes, object_index, valid = targets_case(rng)
    valid[:] = True
    object_index[0, :3] = [-1, 3, 2**30]
    result = crop(launchers, masks, image_size, boxes, object_index, valid)
    assert not result[0, :3].any()
    image_size[1] = [10_000, -5]
    assert not crop(launchers, masks, image_size, boxes, object_index, valid)[1].any()


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("image_size", [(23, 31), (8, 16), (0, 5)])
def test_pasted(launchers, rng, threshold, image_size):
    masks = rng.uniform(0, 1, (9, 5, 4)).astype(np.float32)
    masks[1] = 1.0
    corner = rng.uniform(-8, 20, (9, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 3, (9, 2)))], -1).astype(np.float32)
    boxes[2] = [10, 10, 5, 12]
    boxes[3] = [0, np.inf, 5, 12]
    boxes[4] = [-1e6, -1e6, 1e6, 1e6]
    expected = pasting.paste_masks(masks, boxes, image_size, threshold)
    assert expected.any() or not expected.size or threshold == 1.0
    np.testing.assert_array_equal(paste_masks(launchers, masks, boxes, image_size, threshold), expected)
