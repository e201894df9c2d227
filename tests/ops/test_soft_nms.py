"""Batched soft NMS: C++ op = TensorFlow twin = NumPy reference, and the paper's formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import batched_nms, batched_soft_nms, library
from tests.ops.test_nms import random_boxes
from tests.reference import nms as reference

IMPLEMENTATIONS = ["custom", "tensorflow"]
METHODS = ["linear", "gaussian"]
both = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
each = pytest.mark.parametrize("method", METHODS)
# One rounding of a product to float32.
TOLERANCE = 1e-6


def assert_equals_reference(boxes, scores, implementation, **settings):
    settings = {"sigma": 0.5, "iou_threshold": 0.3, **settings}
    output = batched_soft_nms(boxes, scores, implementation=implementation, **settings)
    expected = reference.batched_soft_nms(boxes, scores, **settings)
    for image, survivors in enumerate(expected):
        count = int(output.count[image])
        found = [np.asarray(column[image]) for column in output[:3]]
        assert list(zip(*(c[:count].tolist() for c in found), strict=True)) == [
            (n, k, float(s)) for n, k, s in survivors
        ]
        for column in found:
            assert column.shape == (settings["max_outputs"],)
            assert not column[count:].any()
    return output


# Three boxes of one class in a row: IoU 3/5 of the first with the second, 1/3 of the second with the third.
ROW = np.float32([[[[0, 0, 8, 1]], [[2, 0, 10, 1]], [[6, 0, 14, 1]]]])
ROW_SCORES = np.float32([[[0.9], [0.8], [0.7]]])


def run_row(implementation, **settings):
    settings = {"sigma": 0.5, "iou_threshold": 0.3, "score_threshold": 0.0, "max_outputs": 3, **settings}
    output = batched_soft_nms(ROW, ROW_SCORES, implementation=implementation, **settings)
    count = int(output.count[0])
    return output.box_index[0, :count].numpy().tolist(), output.scores[0, :count].numpy()


@both
def test_linear_by_hand(implementation):
    # The first lowers the second, but not the third: 1/7 is below 0.3. The third lowers the second again.
    index, scores = run_row(implementation, method="linear")
    assert index == [0, 2, 1]
    np.testing.assert_allclose(scores, [0.9, 0.7, 0.8 * (1 - 0.6) * (1 - 1 / 3)], rtol=TOLERANCE)


@both
def test_gaussian_by_hand(implementation):
    index, scores = run_row(implementation, method="gaussian", sigma=0.4)
    third = 0.7 * np.exp(-((1 / 7) ** 2) / 0.4)
    second = 0.8 * np.exp(-(0.6**2) / 0.4) * np.exp(-((1 / 3) ** 2) / 0.4)
    assert index == [0, 2, 1]
    np.testing.assert_allclose(scores, [0.9, third, second], rtol=TOLERANCE)


@both
def test_an_iou_equal_to_the_threshold_does_not_decay(implementation):
    settings = {
        "method": "linear",
        "score_threshold": 0.0,
        "max_outputs": 2,
        "implementation": implementation,
    }
    boxes, scores = np.float32([[[[0, 0, 2, 1]], [[0, 0, 1, 1]]]]), np.float32([[[0.9], [0.8]]])
    kept = batched_soft_nms(boxes, scores, iou_threshold=0.5, **settings)
    np.testing.assert_array_equal(kept.scores, np.float32([[0.9, 0.8]]))
    kept = batched_soft_nms(boxes, scores, iou_threshold=0.49, **settings)
    np.testing.assert_array_equal(kept.scores, np.float32([[0.9, 0.4]]))


@both
@each
def test_what_decays_to_the_threshold_is_dropped(method, implementation):
    decayed = float(run_row(implementation, method=method)[1][2])
    below = float(np.nextafter(np.float32(decayed), np.float32(0)))
    assert run_row(implementation, method=method, score_threshold=decayed)[0] == [0, 2]
    assert run_row(implementation, method=method, score_threshold=below)[0] == [0, 2, 1]


@both
def test_an_equal_box_decays_to_nothing_linearly(implementation):
    boxes, scores = np.repeat(ROW[:, :1], 3, axis=1), np.float32([[[0.5], [0.9], [0.9]]])
    output = assert_equals_reference(
        boxes, scores, implementation, method="linear", score_threshold=0.0, max_outputs=3
    )
    np.testing.assert_array_equal(output.box_index, [[1, 0, 0]])
    assert output.count.numpy() == [1]


@both
@each
@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize("max_outputs", [1, 7, 500])
def test_equals_reference(rng, own_boxes, max_outputs, method, implementation):
    boxes = random_boxes(rng, 2, 40, 5 if own_boxes else 1)
    scores = rng.uniform(0, 1, (2, 40, 5)).astype(np.float32)
    output = assert_equals_reference(
        boxes, scores, implementation, method=method, score_threshold=0.2, max_outputs=max_outputs
    )
    assert np.all(np.diff(output.scores) <= 0)


@both
@each
def test_ties_and_duplicates(rng, method, implementation):
    boxes = np.repeat(random_boxes(rng, 1, 8, 1), 3, axis=1)
    scores = rng.integers(1, 4, (1, 24, 3)).astype(np.float32)
    output = assert_equals_reference(
        boxes, scores, implementation, method=method, score_threshold=0.0, max_outputs=60
    )
    flat = output.box_index.numpy() * 3 + output.class_index.numpy()
    ties = 0
    for value in np.unique(output.scores):
        equal = flat[output.scores.numpy() == value]
        ties += len(equal) - 1
        assert np.all(np.diff(equal) > 0) or value == 0
    assert ties > 5


@both
@each
def test_odd_boxes_and_scores(method, implementation):
    nan, inf, huge = np.nan, np.inf, np.float32(3e38)
    boxes = [
        [0, 0, 10, 10],
        [nan, 0, 10, 10],
        [0, 0, inf, 10],
        [3, 3, 3, 3],  # no area, twice: both stay as they are
        [3, 3, 3, 3],
        [10, 10, 0, 0],  # flipped: no area
        [-huge, -huge, huge, huge],
        [0, 0, 10, 9],  # decays by the first
        [50, 50, 60, 60],
        [50, 50, 60, 60],
    ]
    scores = np.float32([0.9, 0.95, 0.94, 0.5, 0.5, 0.6, 0.7, 0.8, nan, -inf])
    output = assert_equals_reference(
        np.float32(boxes)[None, :, None],
        scores[None, :, None],
        implementation,
        method=method,
        score_threshold=0.0,
        max_outputs=10,
    )
    assert output.box_index[0, : int(output.count[0])].numpy().tolist() == [0, 6, 5, 3, 4, 7]
    np.testing.assert_array_equal(output.scores[0, 1:5], np.float32([0.7, 0.6, 0.5, 0.5]))


@both
@each
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0), (0, 0, 1)])
def test_empty_inputs(shape, static, method, implementation):
    batch, num_boxes, _ = shape
    signature = [tf.TensorSpec([None, None, 1, 4]), tf.TensorSpec([None, None, None])]

    def suppress(boxes, scores):
        return batched_soft_nms(
            boxes, scores, method=method, score_threshold=0.0, max_outputs=3, implementation=implementation
        )

    run = suppress if static else tf.function(suppress, input_signature=signature)
    output = run(tf.zeros((batch, num_boxes, 1, 4)), tf.zeros(shape))
    for column in output[:3]:
        np.testing.assert_array_equal(column, np.zeros((batch, 3)))
    np.testing.assert_array_equal(output.count, np.zeros(batch))


@each
def test_both_implementations_agree_on_a_large_problem(rng, method):
    # Coarse scores and coordinates: many ties, many IoUs that equal the threshold.
    boxes = np.round(random_boxes(rng, 2, 1000, 1) / 4) * 4
    scores = np.round(rng.uniform(0, 1, (2, 1000, 20)), 2).astype(np.float32)
    settings = {"method": method, "iou_threshold": 0.5, "score_threshold": 0.05, "max_outputs": 300}
    custom = batched_soft_nms(boxes, scores, implementation="custom", **settings)
    twin = batched_soft_nms(boxes, scores, implementation="tensorflow", **settings)
    for a, b in zip(custom, twin, strict=True):
        np.testing.assert_array_equal(a, b)
    assert custom.count.numpy().tolist() == [300, 300]


@each
def test_where_nothing_overlaps_it_is_hard_suppression(rng, method):
    corner = np.arange(30, dtype=np.float32).reshape(1, 30, 1, 1) * 10
    boxes = np.concatenate([corner, corner, corner + 9, corner + 9], axis=-1)
    scores = rng.uniform(0, 1, (1, 30, 4)).astype(np.float32)
    settings = {"iou_threshold": 0.5, "score_threshold": 0.3, "max_outputs": 50}
    soft = batched_soft_nms(boxes, scores, method=method, **settings)
    for a, b in zip(soft, batched_nms(boxes, scores, **settings), strict=True):
        np.testing.assert_array_equal(a, b)


@both
@each
def test_graph_with_dynamic_shapes(rng, method, implementation):
    settings = {"method": method, "score_threshold": 0.1, "max_outputs": 20}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 4]), tf.TensorSpec([None, None, None])])
    def suppress(boxes, scores):
        output = batched_soft_nms(boxes, scores, implementation=implementation, **settings)
        assert [x.shape.as_list() for x in output] == [[None, 20]] * 3 + [[None]]
        return output

    for batch, num_boxes, num_classes, own_boxes in [(2, 30, 3, 1), (1, 5, 8, 8)]:
        boxes = random_boxes(rng, batch, num_boxes, own_boxes)
        scores = rng.uniform(0, 1, (batch, num_boxes, num_classes)).astype(np.float32)
        traced = suppress(boxes, scores)
        eager = batched_soft_nms(boxes, scores, implementation="custom", **settings)
        for a, b in zip(traced, eager, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("num_classes", [1, 80])
def test_twin_graph_has_core_ops_and_does_not_grow_with_the_classes(num_classes):
    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 1, 4]), tf.TensorSpec([None, None, num_classes])]
    )
    def suppress(boxes, scores):
        return batched_soft_nms(
            boxes,
            scores,
            method="gaussian",
            score_threshold=0.05,
            max_outputs=100,
            implementation="tensorflow",
        )

    graph = suppress.get_concrete_function().graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 300
    assert not [name for name in names if "Cascade" in name]


@both
def test_no_gradient(rng, implementation):
    boxes = tf.constant(random_boxes(rng, 1, 4, 1))
    scores = tf.constant(rng.uniform(size=(1, 4, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([boxes, scores])
        output = batched_soft_nms(
            boxes,
            scores,
            method="gaussian",
            score_threshold=0.0,
            max_outputs=4,
            implementation=implementation,
        )
    assert tape.gradient(output.scores, [boxes, scores]) == [None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((2, 3, 4), np.float32)}, r"batched_soft_nms: boxes must be \[B, N, Q, 4\]"),
        ({"method": "hard"}, r"method must be one of \('linear', 'gaussian'\), got 'hard'"),
        ({"sigma": 0.0}, "sigma must be positive, got 0.0"),
        ({"sigma": np.nan}, "sigma must be positive, got nan"),
        ({"score_threshold": -0.1}, "score_threshold must be at least 0, got -0.1"),
        ({"iou_threshold": 1.5}, "iou_threshold must be in 0..1, got 1.5"),
        ({"max_outputs": 0}, "max_outputs must be at least 1"),
        ({"implementation": "gpu"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {
        "boxes": np.zeros((2, 3, 1, 4), np.float32),
        "scores": np.zeros((2, 3, 5), np.float32),
        "method": "linear",
        "score_threshold": 0.0,
        "max_outputs": 3,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        batched_soft_nms(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros((1, 4, 2), np.float32)}, r"batched_soft_nms: scores must be \[B, N, K\]"),
        ({"sigma": 0.0}, "sigma must be positive, got 0"),
        ({"score_threshold": -1.0}, "score_threshold must be at least 0, got -1"),
        ({"iou_threshold": 2.0}, r"iou_threshold must be in 0\.\.1"),
    ],
)
def test_the_kernel_itself_checks_its_arguments(changes, message):
    arguments = {
        "boxes": np.zeros((1, 3, 1, 4), np.float32),
        "scores": np.zeros((1, 3, 2), np.float32),
        "method": "linear",
        "sigma": 0.5,
        "iou_threshold": 0.5,
        "score_threshold": 0.0,
        "max_outputs": 3,
        **changes,
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().cascade_tf_batched_soft_nms(**arguments)
