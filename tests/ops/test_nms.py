"""Batched NMS: C++ op = TensorFlow twin = NumPy reference = arrays recorded from torchvision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import batched_nms, library
from tests.reference import nms as reference

GOLDEN = Path(__file__).parents[1] / "golden" / "nms.npz"
IMPLEMENTATIONS = ["custom", "tensorflow"]


def load_cases():
    with np.load(GOLDEN) as file:
        return json.loads(bytes(file["cases_json"]).decode())


def random_boxes(rng, *shape):
    corner = rng.uniform(0, 80, (*shape, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 40, (*shape, 2))], axis=-1).astype(np.float32)


def assert_equals_reference(boxes, scores, implementation, **settings):
    output = batched_nms(boxes, scores, implementation=implementation, **settings)
    expected = reference.batched_nms(boxes, scores, **settings)
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


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case["name"])
def test_equals_torchvision(case, implementation):
    with np.load(GOLDEN) as file:
        golden = {key: file[key] for key in file.files if key.startswith(case["name"] + "/")}
    boxes, scores = golden[case["name"] + "/boxes"], golden[case["name"] + "/scores"]
    classes = golden[case["name"] + "/classes"].astype(int) if case["batched"] else np.zeros(len(boxes), int)
    by_class = np.full((len(boxes), classes.max(initial=0) + 1), -np.inf, np.float32)
    by_class[np.arange(len(boxes)), classes] = scores
    for threshold in case["thresholds"]:
        output = batched_nms(
            boxes[None, :, None],
            by_class[None],
            iou_threshold=threshold,
            score_threshold=-np.inf,
            max_outputs=max(len(boxes), 1),
            implementation=implementation,
        )
        kept = golden[f"{case['name']}/keep_{threshold:g}"]
        count = int(output.count[0])
        np.testing.assert_array_equal(output.box_index[0, :count], kept)
        np.testing.assert_array_equal(output.class_index[0, :count], classes[kept])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize("max_outputs", [1, 7, 500])
def test_equals_reference(rng, own_boxes, max_outputs, implementation):
    boxes = random_boxes(rng, 2, 40, 5 if own_boxes else 1)
    scores = rng.uniform(0, 1, (2, 40, 5)).astype(np.float32)
    assert_equals_reference(
        boxes, scores, implementation, iou_threshold=0.3, score_threshold=0.2, max_outputs=max_outputs
    )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_ties_and_duplicates(rng, implementation):
    boxes = np.repeat(random_boxes(rng, 1, 8, 1), 3, axis=1)
    scores = rng.integers(1, 4, (1, 24, 3)).astype(np.float32)
    output = assert_equals_reference(
        boxes, scores, implementation, iou_threshold=0.5, score_threshold=0.0, max_outputs=10
    )
    flat = output.box_index.numpy() * 3 + output.class_index.numpy()
    for value in np.unique(output.scores):
        assert np.all(np.diff(flat[output.scores.numpy() == value]) > 0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_an_iou_equal_to_the_threshold_does_not_suppress(implementation):
    boxes = np.float32([[[[0, 0, 2, 1]], [[0, 0, 1, 1]]]])
    scores = np.float32([[[0.9], [0.8]]])
    settings = {"score_threshold": 0.0, "max_outputs": 2, "implementation": implementation}
    assert batched_nms(boxes, scores, iou_threshold=0.5, **settings).count.numpy() == [2]
    assert batched_nms(boxes, scores, iou_threshold=0.49, **settings).count.numpy() == [1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_score_equal_to_the_threshold_is_no_candidate(implementation):
    output = batched_nms(
        np.float32([[[[0, 0, 2, 1]], [[5, 5, 6, 6]]]]),
        np.float32([[[0.5], [0.75]]]),
        iou_threshold=0.5,
        score_threshold=0.5,
        max_outputs=2,
        implementation=implementation,
    )
    np.testing.assert_array_equal(output.box_index, [[1, 0]])
    np.testing.assert_array_equal(output.scores, np.float32([[0.75, 0]]))
    assert output.count.numpy() == [1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_odd_boxes_and_scores(implementation):
    nan, inf, huge = np.nan, np.inf, np.float32(3e38)
    boxes = [
        [0, 0, 10, 10],
        [nan, 0, 10, 10],
        [0, 0, inf, 10],
        [3, 3, 3, 3],  # no area, twice: both stay
        [3, 3, 3, 3],
        [10, 10, 0, 0],  # flipped: no area
        [-huge, -huge, huge, huge],
        [0, 0, 10, 9],  # suppressed by the first
        [50, 50, 60, 60],
        [50, 50, 60, 60],
    ]
    scores = np.float32([0.9, 0.95, 0.94, 0.5, 0.5, 0.6, 0.7, 0.8, nan, -inf])
    output = assert_equals_reference(
        np.float32(boxes)[None, :, None],
        scores[None, :, None],
        implementation,
        iou_threshold=0.5,
        score_threshold=-np.inf,
        max_outputs=10,
    )
    assert output.box_index[0, : int(output.count[0])].numpy().tolist() == [0, 6, 5, 3, 4]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0), (0, 0, 1)])
def test_empty_inputs(shape, implementation):
    batch, num_boxes, _ = shape
    output = batched_nms(
        np.zeros((batch, num_boxes, 1, 4), np.float32),
        np.zeros(shape, np.float32),
        iou_threshold=0.5,
        score_threshold=0.0,
        max_outputs=3,
        implementation=implementation,
    )
    for column in output[:3]:
        np.testing.assert_array_equal(column, np.zeros((batch, 3)))
    np.testing.assert_array_equal(output.count, np.zeros(batch))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_levels_as_classes_like_the_proposal_network(rng, implementation):
    boxes = random_boxes(rng, 2, 60, 1)
    level = np.repeat(np.arange(5), 12)
    scores = np.where(level[:, None] == np.arange(5), rng.normal(size=(2, 60, 1)), -np.inf).astype(np.float32)
    output = assert_equals_reference(
        boxes, scores, implementation, iou_threshold=0.7, score_threshold=-np.inf, max_outputs=50
    )
    for image in range(2):
        index = output.box_index[image, : int(output.count[image])]
        np.testing.assert_array_equal(output.class_index[image, : len(index)], level[index])


def test_both_implementations_agree_on_a_large_problem(rng):
    boxes = random_boxes(rng, 2, 1000, 1)
    # Coarse scores and coordinates: many ties, many IoUs that equal the threshold.
    boxes = np.round(boxes / 4) * 4
    scores = np.round(rng.uniform(0, 1, (2, 1000, 20)), 2).astype(np.float32)
    settings = {"iou_threshold": 0.5, "score_threshold": 0.05, "max_outputs": 300}
    custom = batched_nms(boxes, scores, implementation="custom", **settings)
    twin = batched_nms(boxes, scores, implementation="tensorflow", **settings)
    for a, b in zip(custom, twin, strict=True):
        np.testing.assert_array_equal(a, b)
    again = batched_nms(boxes, scores, implementation="custom", **settings)
    np.testing.assert_array_equal(custom.box_index, again.box_index)


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.7, 1.0])
def test_both_implementations_agree_on_thousands_of_survivors(rng, iou_threshold):
    """More than are sorted at once, with scores of both signs, both zeros and many ties."""
    boxes = random_boxes(rng, 1, 3000, 1) * np.float32(20)
    scores = np.round(rng.normal(0, 1, (1, 3000, 2)), 1).astype(np.float32)
    assert np.signbit(scores[scores == 0]).any()
    settings = {"iou_threshold": iou_threshold, "score_threshold": -np.inf, "max_outputs": 7000}
    custom = batched_nms(boxes, scores, implementation="custom", **settings)
    twin = batched_nms(boxes, scores, implementation="tensorflow", **settings)
    for a, b in zip(custom, twin, strict=True):
        np.testing.assert_array_equal(a, b)
    assert custom.count.numpy().tolist() == [6000] if iou_threshold == 1.0 else custom.count.numpy() < 6000


@pytest.mark.parametrize("scale", [1e-21, 1e-15, 1e17])
def test_both_implementations_agree_on_areas_at_the_ends_of_float32(rng, scale):
    """Most overlaps are compared without a division: products that vanish must not matter."""
    boxes = random_boxes(rng, 1, 300, 1) * np.float32(scale)
    scores = rng.uniform(0, 1, (1, 300, 1)).astype(np.float32)
    settings = {"iou_threshold": 0.3, "score_threshold": 0.0, "max_outputs": 300}
    custom = batched_nms(boxes, scores, implementation="custom", **settings)
    twin = batched_nms(boxes, scores, implementation="tensorflow", **settings)
    for a, b in zip(custom, twin, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_iou_next_to_the_threshold_is_decided_by_the_quotient(rng):
    """Thresholds are the very quotients of pairs of boxes, and their neighbours among the float32 numbers."""
    for _ in range(50):
        corner = rng.uniform(0, 40, (1, 2, 1, 2))
        boxes = np.float32(np.concatenate([corner, corner + rng.uniform(50, 90, (1, 2, 1, 2))], axis=-1))
        overlap = reference.iou(boxes[0, 0, 0], boxes[0, 1, 0])
        below, above = np.nextafter(overlap, np.float32(0)), np.nextafter(overlap, np.float32(1))
        counts = [
            int(
                batched_nms(
                    boxes,
                    np.float32([[[0.9], [0.8]]]),
                    iou_threshold=float(threshold),
                    score_threshold=0.0,
                    max_outputs=2,
                    implementation="custom",
                ).count[0]
            )
            for threshold in (below, overlap, above)
        ]
        assert counts == [1, 2, 2]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_graph_with_dynamic_shapes(rng, implementation):
    settings = {"iou_threshold": 0.5, "score_threshold": 0.1, "max_outputs": 20}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 4]), tf.TensorSpec([None, None, None])])
    def suppress(boxes, scores):
        output = batched_nms(boxes, scores, implementation=implementation, **settings)
        assert [x.shape.as_list() for x in output] == [[None, 20]] * 3 + [[None]]
        return output

    for batch, num_boxes, num_classes in [(2, 30, 3), (1, 5, 8)]:
        boxes = random_boxes(rng, batch, num_boxes, 1)
        scores = rng.uniform(0, 1, (batch, num_boxes, num_classes)).astype(np.float32)
        traced, eager = (
            suppress(boxes, scores),
            batched_nms(boxes, scores, implementation="custom", **settings),
        )
        for a, b in zip(traced, eager, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("num_classes", [1, 80])
def test_twin_graph_does_not_grow_with_the_classes(num_classes):
    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 1, 4]), tf.TensorSpec([None, None, num_classes])]
    )
    def suppress(boxes, scores):
        return batched_nms(
            boxes,
            scores,
            iou_threshold=0.5,
            score_threshold=0.05,
            max_outputs=100,
            implementation="tensorflow",
        )

    graph = suppress.get_concrete_function().graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 210
    assert not [name for name in names if "Cascade" in name]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_gradient(rng, implementation):
    boxes, scores = (
        tf.constant(random_boxes(rng, 1, 4, 1)),
        tf.constant(rng.uniform(size=(1, 4, 2)), tf.float32),
    )
    with tf.GradientTape() as tape:
        tape.watch([boxes, scores])
        output = batched_nms(
            boxes,
            scores,
            iou_threshold=0.5,
            score_threshold=0.0,
            max_outputs=4,
            implementation=implementation,
        )
    assert tape.gradient(output.scores, [boxes, scores]) == [None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((2, 3, 4), np.float32)}, r"boxes must be \[B, N, Q, 4\], got \(2, 3, 4\)"),
        ({"boxes": np.zeros((2, 3, 1, 5), np.float32)}, r"boxes must be \[B, N, Q, 4\]"),
        ({"boxes": np.zeros((2, 3, 2, 4), np.float32)}, r"1 box or one per class \(5\), got 2"),
        ({"boxes": np.zeros((2, 4, 1, 4), np.float32)}, "4 boxes, 3 rows of scores"),
        ({"boxes": np.zeros((1, 3, 1, 4), np.float32)}, "1 images in boxes, 2 in scores"),
        ({"scores": np.zeros((2, 3), np.float32)}, r"scores must be \[B, N, K\]"),
        ({"iou_threshold": 1.5}, "iou_threshold must be in 0..1, got 1.5"),
        ({"max_outputs": 0}, "max_outputs must be at least 1"),
        ({"implementation": "gpu"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {
        "boxes": np.zeros((2, 3, 1, 4), np.float32),
        "scores": np.zeros((2, 3, 5), np.float32),
        "iou_threshold": 0.5,
        "score_threshold": 0.0,
        "max_outputs": 3,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        batched_nms(**arguments)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ((3, 1, 4), (1, 3, 2), r"boxes must be \[B, N, Q, 4\]"),
        ((1, 3, 1, 5), (1, 3, 2), r"boxes must be \[B, N, Q, 4\]"),
        ((1, 3, 1, 4), (1, 4, 2), r"scores must be \[B, N, K\]"),
        ((1, 3, 3, 4), (1, 3, 2), "Q = 1 or K"),
        ((1, 3, 0, 4), (1, 3, 2), "Q = 1 or K"),
    ],
)
def test_the_kernel_itself_checks_its_inputs(boxes, scores, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().cascade_tf_batched_nms(
            boxes=tf.zeros(boxes),
            scores=tf.zeros(scores),
            iou_threshold=0.5,
            score_threshold=0.0,
            max_outputs=3,
        )


def test_the_kernel_checks_its_threshold():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"iou_threshold must be in 0\.\.1"):
        library.load().cascade_tf_batched_nms(
            boxes=tf.zeros([1, 3, 1, 4]),
            scores=tf.zeros([1, 3, 2]),
            iou_threshold=-1.0,
            score_threshold=0.0,
            max_outputs=3,
        )


def test_shape_function_rejects_wrong_shapes_while_the_graph_is_built():
    op = library.load().cascade_tf_batched_nms
    settings = {"iou_threshold": 0.5, "score_threshold": 0.0, "max_outputs": 3}
    for boxes, scores in [((3, 1, 4), (1, 3, 2)), ((1, 3, 1, 4), (1, 4, 2)), ((1, 3, 3, 4), (1, 3, 2))]:
        with tf.Graph().as_default(), pytest.raises(ValueError, match=r"must be rank|must be equal"):
            op(boxes=tf.zeros(boxes), scores=tf.zeros(scores), **settings)
