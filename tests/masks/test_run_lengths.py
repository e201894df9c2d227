"""COCO's text of run lengths, read and written as pycocotools does."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.masks.run_lengths import checked, compress, uncompress


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def masks():
    rng = np.random.default_rng(0)
    yield np.zeros((3, 5), bool)
    yield np.ones((3, 5), bool)
    yield np.indices((7, 4)).sum(0) % 2 == 0
    for size in ((1, 1), (1, 60), (60, 1), (37, 53), (800, 1333)):
        yield rng.uniform(size=size) < rng.uniform()
    large = np.zeros((900, 1100), bool)
    large[100:850, 3:1000] = True
    yield large


@pytest.mark.parametrize("mask", list(masks()))
def test_reads_what_pycocotools_wrote_and_writes_it_again(mask):
    rle = encoded(mask)
    lengths = uncompress(rle["counts"])
    runs = np.arange(len(lengths)) % 2 == 1
    np.testing.assert_array_equal(np.repeat(runs, lengths).reshape(mask.shape[::-1]).T, mask)
    assert compress(lengths, mask.shape)["counts"] == rle["counts"].decode()
    np.testing.assert_array_equal(uncompress(rle["counts"].decode()), lengths)
    assert checked(rle, mask.shape) == rle


def test_lists_of_lengths_are_compressed():
    mask = np.indices((7, 4)).sum(0) % 3 == 0
    rle = encoded(mask)
    found = checked({"size": [7, 4], "counts": uncompress(rle["counts"]).tolist()})
    np.testing.assert_array_equal(coco_mask.decode(found), mask)


def test_no_text_has_no_lengths():
    assert uncompress("").tolist() == []
    with pytest.raises(ValueError, match="counts cover 0 pixels, expected 2 x 3"):
        checked({"size": [2, 3], "counts": ""})


# Each of these makes pycocotools read beyond the end, count pixels that are not there, or never come back.
@pytest.mark.parametrize("counts", ["P", "5P", "o", "12\n", "\x00", "é", b"\xff", "0" * 3 + "~"])
def test_other_texts_are_refused(counts):
    with pytest.raises(ValueError, match="is no text of run lengths"):
        uncompress(counts)


@pytest.mark.parametrize("size", [[6], [2, 3, 1], [2.0, 3], [True, 6], [-2, -3], "23", None, [2, "3"]])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=r"size must be \[height, width\], got "):
        checked({"size": size, "counts": "6"})


def test_lengths_beyond_any_image_do_not_wrap_around():
    with pytest.raises(ValueError, match="has a length that no image has"):
        uncompress("oooooooo0")
    with pytest.raises(ValueError, match="counts must be COCO's text or a list of lengths"):
        checked({"size": [1, 1], "counts": [2**64, 1]})
    most = [2**34] * 2000
    with pytest.raises(ValueError, match="counts cover 34359738368000 pixels, expected 1 x 1"):
        checked({"size": [1, 1], "counts": most})
