from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.data.examples import Category, Example
from cascade_tf.inspection.statistics import ClassCount, measure_examples

CATEGORIES = (Category(3, "dog"), Category(7, "cat"), Category(9, "cow"))


def example(rows=(), size=(40, 60)) -> Example:
    """Rows are (x1, y1, x2, y2, class, crowd, ignored)."""
    table = np.array(rows, np.float32).reshape(-1, 7)
    return Example(1, "", *size, table[:, :4], table[:, 4].astype(np.int32), table[:, 5] > 0, table[:, 6] > 0)


def test_figures():
    found = measure_examples(
        [
            example([(0, 0, 8, 2, 1, 0, 0), (0, 0, 32, 32, 1, 0, 0), (0, 0, 40, 40, 2, 1, 0)]),
            example(size=(30, 20)),
            example([(0, 0, 96, 97, 2, 0, 0), (0, 0, 9, 9, 3, 0, 1), (0, 0, 1, 1, 0, 1, 0)], (100, 100)),
        ],
        CATEGORIES,
    )
    assert (found.images, found.objects, found.empty, found.crowds, found.ignored) == (3, 3, 1, 2, 1)
    assert found.classes == (ClassCount("dog", 2, 1), ClassCount("cat", 1, 1), ClassCount("cow", 0, 0))
    assert found.by_size == {"small": 1, "medium": 1, "large": 1}
    assert found.counts.tolist() == [2, 0, 1]
    assert found.image_index.tolist() == [0, 0, 2]
    assert found.image_sizes.tolist() == [[40, 60], [30, 20], [100, 100]]
    np.testing.assert_allclose(found.scales, [4, 32, np.sqrt(96 * 97)])
    np.testing.assert_allclose(found.aspects, [0.25, 1, 97 / 96])


@pytest.mark.parametrize("examples", [[], [example()]])
def test_nothing(examples):
    found = measure_examples(examples, CATEGORIES)
    assert (found.images, found.objects, found.empty) == (len(examples), 0, len(examples))
    assert found.by_size == {"small": 0, "medium": 0, "large": 0}
    assert found.scales.shape == (0,)
