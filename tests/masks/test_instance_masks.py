"""Run lengths of pasted masks: those that pycocotools gives for the pasted pixels."""

import time

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.masks import instance_masks
from cascade_tf.masks.instance_masks import decode_masks, encode_masks
from cascade_tf.ops.paste_masks import paste_masks


def encoded_whole(masks, boxes, size, threshold=0.5):
    """pycocotools on all pixels of all masks."""
    pasted = paste_masks(masks, boxes, size, threshold=threshold).numpy()
    counts = [coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))["counts"] for mask in pasted]
    return pasted, [{"size": list(size), "counts": text.decode()} for text in counts]


def case(seed):
    """Boxes inside, across and outside an image, some without area."""
    rng = np.random.default_rng(seed)
    size, number = tuple(rng.integers(1, 60, 2).tolist()), rng.integers(0, 6)
    centers, sides = rng.uniform(-20, 80, (number, 2)), rng.uniform(-5, 100, (number, 2))
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], 1).astype(np.float32)
    masks = rng.uniform(0, 1, (number, 7, 7)).astype(np.float32)
    return masks, boxes, size


@pytest.mark.parametrize("seed", range(40))
def test_equals_pycocotools_on_the_pasted_pixels(seed):
    masks, boxes, size = case(seed)
    threshold = (0.5, 1e-3, 1.0)[seed % 3]
    pasted, expected = encoded_whole(masks, boxes, size, threshold)
    found = encode_masks(masks, boxes, size, threshold=threshold)
    assert list(found) == expected
    np.testing.assert_array_equal(decode_masks(found, size), pasted)


def test_runs_that_go_on_in_the_next_column():
    """Full columns, and ones that end with the image, join; nothing of zero length is written."""
    full, left, bottom = [0, 0, 6, 4], [0, 0, 3, 4], [1, 2, 5, 4]
    boxes = np.array([full, left, bottom], np.float32)
    found = encode_masks(np.ones((3, 2, 2), np.float32), boxes, (4, 6), threshold=0.4)
    _, expected = encoded_whole(np.ones((3, 2, 2), np.float32), boxes, (4, 6), 0.4)
    assert list(found) == expected
    assert coco_mask.area(found[0]) == 24
    assert coco_mask.area(found[1]) == 12


def test_no_masks():
    empty = np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32)
    assert encode_masks(*empty, (20, 30)) == ()
    assert decode_masks((), (20, 30)).shape == (0, 20, 30)


@pytest.mark.parametrize("box", [[np.nan, 0, 5, 5], [0, 0, np.inf, 5], [5, 5, 5, 9], [7, 7, 3, 3]])
def test_boxes_without_area_give_empty_masks(box):
    [found] = encode_masks(np.ones((1, 4, 4), np.float32), np.array([box], np.float32), (10, 12))
    assert coco_mask.area(found) == 0
    assert found["size"] == [10, 12]


def test_large_images_are_pasted_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    masks = rng.uniform(0, 1, (5, 4, 4)).astype(np.float32)
    boxes = np.array([[i, i, 20 + i, 15 + 2 * i] for i in range(5)], np.float32)
    expected = encode_masks(masks, boxes, (30, 40))
    calls = []
    paste = instance_masks.paste_masks
    monkeypatch.setattr(
        instance_masks, "paste_masks", lambda *a, **k: calls.append(len(a[0])) or paste(*a, **k)
    )
    monkeypatch.setattr(instance_masks, "_PIXELS_AT_ONCE", 2 * 30 * 40 + 1)
    assert encode_masks(masks, boxes, (30, 40)) == expected
    assert calls == [2, 2, 1]


@pytest.mark.parametrize(
    ("masks", "boxes", "threshold"),
    [((2, 4, 4), (3, 4), 0.5), ((2, 4, 4), (2, 5), 0.5), ((0, 4), (0, 4), 0.5), ((1, 4, 4), (1, 4), 0.0)],
)
def test_wrong_arguments(masks, boxes, threshold):
    with pytest.raises(ValueError, match="paste_masks: "):
        encode_masks(np.zeros(masks, np.float32), np.zeros(boxes, np.float32), (9, 9), threshold=threshold)


def test_an_image_full_of_objects_takes_little_time():
    # 35 ms on two idle cores, 70 ms of both; pycocotools on all pixels takes 190 ms, without the pasting.
    limit = 0.15
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (100, 2)) * [1100, 600]
    boxes = np.concatenate([corners, corners + rng.uniform(20, 230, (100, 2))], 1).astype(np.float32)
    masks = rng.uniform(0, 1, (100, 28, 28)).astype(np.float32)
    seconds = []
    for _ in range(5):
        wall, processor = time.perf_counter(), time.process_time()
        encode_masks(masks, boxes, (800, 1333))
        # Whichever other programs on the machine disturb less.
        seconds.append(min(time.perf_counter() - wall, time.process_time() - processor))
    assert min(seconds) < limit
