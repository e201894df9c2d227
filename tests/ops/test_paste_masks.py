"""Pasting of masks: C++ op = TensorFlow twin = NumPy reference = arrays recorded from detectron2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import library, paste_masks
from tests.reference import paste_masks as reference

GOLDEN = Path(__file__).parents[1] / "golden" / "paste_masks.npz"
IMPLEMENTATIONS = ["custom", "tensorflow"]


def random_masks(rng, *shape):
    """Probabilities, many of them near 0 and 1 as those of a trained network."""
    return (1 / (1 + np.exp(-3 * rng.standard_normal(shape)))).astype(np.float32)


def random_boxes(rng, count, size):
    corner = rng.uniform(-0.3, 0.9, (count, 2)) * size[::-1]
    side = np.exp(rng.uniform(-1, 4, (count, 2)))
    return np.concatenate([corner, corner + side], axis=-1).astype(np.float32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_equals_detectron2(implementation):
    with np.load(GOLDEN) as golden:
        shape = golden["pasted_shape"]
        expected = np.unpackbits(golden["pasted_packed"], axis=1, count=shape[1] * shape[2]).reshape(shape)
        pasted = paste_masks(
            golden["masks"], golden["boxes"], golden["image_size_hw"], implementation=implementation
        )
        np.testing.assert_array_equal(pasted, expected)
        # The recorded values, whole numbers of 255ths cut off, decide every other threshold away from a step.
        for step in (26, 77, 179, 230):
            pasted = paste_masks(
                golden["masks"],
                golden["boxes"],
                golden["image_size_hw"],
                threshold=step / 255,
                implementation=implementation,
            ).numpy()
            values = golden["pasted_uint8"]
            np.testing.assert_array_equal(pasted[values != step - 1], values[values != step - 1] >= step)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("cells", [(28, 28), (14, 9), (1, 1)])
@pytest.mark.parametrize("size", [(30, 41), (1, 50), (17, 1)])
def test_equals_reference(rng, cells, size, implementation):
    masks, boxes = random_masks(rng, 12, *cells), random_boxes(rng, 12, size)
    expected = reference.paste_masks(masks, boxes, size)
    pasted = paste_masks(masks, boxes, size, implementation=implementation)
    np.testing.assert_array_equal(pasted, expected)
    assert pasted.dtype == tf.bool
    assert pasted.shape == (12, *size)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("value", [0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.50001, 0.49999])
def test_values_at_the_threshold(rng, value, implementation):
    """Interpolating equal values may round to either side: where it does, all agree, traced or not."""
    masks = np.full((20, 28, 28), value, np.float32)
    boxes = random_boxes(rng, 20, (20, 25))
    expected = reference.paste_masks(masks, boxes, (20, 25))

    def paste(masks, boxes):
        return paste_masks(masks, boxes, (20, 25), implementation=implementation)

    np.testing.assert_array_equal(paste(masks, boxes), expected)
    traced = tf.function(paste, autograph=False)
    np.testing.assert_array_equal(traced(tf.constant(masks), tf.constant(boxes)), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_full_mask_fills_the_pixels_whose_centres_are_in_the_box(implementation):
    boxes = np.float32([[2, 1, 5, 4], [2.4, 1.6, 5.4, 3.4], [-3, -3, 2, 2], [4, 3, 9, 9]])
    pasted = paste_masks(np.ones((4, 28, 28), np.float32), boxes, (5, 6), implementation=implementation)
    expected = np.zeros((4, 5, 6), bool)
    expected[0, 1:4, 2:5] = True
    expected[1, 2:3, 2:5] = True
    expected[2, :2, :2] = True
    expected[3, 3:, 4:] = True
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "box",
    [
        [50, 2, 60, 8],
        [-20, 2, -10, 8],
        [2, -30, 8, -20],
        [2, 11, 8, 30],
        [3, 3, 3, 8],
        [3, 3, 8, 3],
        [3, 3, 3, 3],
        [8, 8, 3, 3],
        [3.1, 3.1, 3.4, 3.4],
        [np.nan, 0, 5, 5],
        [0, 0, 5, np.nan],
        [0, -np.inf, 5, 5],
        [0, 0, np.inf, np.inf],
        [-3e38, -3e38, 3e38, 3e38],
        [1e30, 1e30, 2e30, 2e30],
        [-2e30, -2e30, -1e30, -1e30],
    ],
)
def test_boxes_that_hold_no_pixel(box, implementation):
    pasted = paste_masks(
        np.ones((2, 28, 28), np.float32),
        np.float32([box, [0, 0, 4, 4]]),
        (11, 12),
        implementation=implementation,
    ).numpy()
    assert not pasted[0].any()
    assert pasted[1].sum() == 16


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_tiny_and_giant_boxes(implementation):
    boxes = np.float32([[3.4, 3.4, 3.6, 3.6], [-1e6, -1e6, 1e6, 1e6], [3, 0, 3.6, 9]])
    pasted = paste_masks(np.ones((3, 28, 28), np.float32), boxes, (6, 7), implementation=implementation)
    expected = np.zeros((3, 6, 7), bool)
    expected[0, 3, 3] = True
    expected[1] = True
    expected[2, :, 3] = True
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_masks_that_are_not_finite(value, implementation):
    masks = np.ones((1, 4, 4), np.float32)
    masks[0, 1, 1] = value
    pasted = paste_masks(masks, np.float32([[0, 0, 8, 8]]), (8, 8), implementation=implementation).numpy()
    # Pixels out of the reach of the bad cell are as they would be.
    assert pasted[0, 6:].all()
    np.testing.assert_array_equal(
        pasted, paste_masks(masks, np.float32([[0, 0, 8, 8]]), (8, 8), implementation="custom")
    )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("count", "size"), [(0, (5, 7)), (3, (0, 7)), (3, (5, 0)), (0, (0, 0))])
def test_no_masks_and_no_pixels(count, size, implementation):
    pasted = paste_masks(
        np.ones((count, 28, 28), np.float32),
        np.tile(np.float32([0, 0, 5, 5]), (count, 1)),
        size,
        implementation=implementation,
    )
    assert pasted.shape == (count, *size)
    assert pasted.dtype == tf.bool


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_batches_of_masks(rng, implementation):
    masks, boxes = random_masks(rng, 6, 28, 28), random_boxes(rng, 6, (20, 30))
    flat = paste_masks(masks, boxes, (20, 30), implementation=implementation).numpy()
    batched = paste_masks(
        masks.reshape(2, 3, 28, 28), boxes.reshape(2, 3, 4), (20, 30), implementation=implementation
    )
    np.testing.assert_array_equal(batched, flat.reshape(2, 3, 20, 30))
    single = paste_masks(masks[4], boxes[4], (20, 30), implementation=implementation)
    np.testing.assert_array_equal(single, flat[4])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_trace_for_all_sizes(rng, implementation):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 28, 28]),
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def paste(masks, boxes, size):
        return paste_masks(masks, boxes, size, implementation=implementation)

    for count, size in [(30, (120, 170)), (0, (20, 10)), (40, (64, 50))]:
        masks, boxes = random_masks(rng, count, 28, 28), random_boxes(rng, count, size)
        masks[: count // 2] = np.round(masks[: count // 2])
        expected = paste_masks(masks, boxes, size, implementation="custom")
        np.testing.assert_array_equal(paste(masks, boxes, np.int32(size)), expected)


def test_both_implementations_agree_on_a_large_problem(rng):
    masks, boxes = random_masks(rng, 60, 28, 28), random_boxes(rng, 60, (400, 600))
    masks[:20] = np.round(masks[:20], 1)  # many values of exactly a half
    boxes[::2] = np.round(boxes[::2] * 2) / 2
    boxes[:5] = [-3.3, -2.2, 603.4, 405.5]
    custom = paste_masks(masks, boxes, (400, 600), implementation="custom")
    assert 0.02 < np.mean(custom) < 0.9
    np.testing.assert_array_equal(custom, paste_masks(masks, boxes, (400, 600), implementation="tensorflow"))
    np.testing.assert_array_equal(custom, paste_masks(masks, boxes, (400, 600), implementation="custom"))


def test_twin_graph_is_small_and_of_core_ops():
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28]), tf.TensorSpec([None, 4])])
    def paste(masks, boxes):
        return paste_masks(masks, boxes, (60, 80), implementation="tensorflow")

    concrete = paste.get_concrete_function()
    assert concrete.output_shapes.as_list() == [None, 60, 80]
    graph = concrete.graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 360
    assert not [name for name in names if "Cascade" in name]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_gradient(implementation):
    masks, boxes = tf.ones([1, 4, 4]), tf.constant([[0.0, 0, 3, 3]])
    with tf.GradientTape() as tape:
        tape.watch([masks, boxes])
        total = tf.reduce_sum(
            tf.cast(paste_masks(masks, boxes, (4, 4), implementation=implementation), tf.float32)
        )
    assert tape.gradient(total, [masks, boxes]) == [None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((28,), np.float32)}, r"masks must be \[..., P, Q\]"),
        ({"masks": np.zeros((3, 0, 28), np.float32)}, "with at least one cell"),
        ({"boxes": np.zeros((3, 5), np.float32)}, r"boxes must be \[..., 4\]"),
        ({"boxes": np.zeros((1, 3, 4), np.float32)}, r"boxes must be \[..., 4\]"),
        ({"boxes": np.zeros((2, 4), np.float32)}, "differ in number"),
        ({"image_size": (5,)}, r"image_size must be \(height, width\)"),
        ({"threshold": 0.0}, "threshold must be above 0 and at most 1, got 0.0"),
        ({"threshold": 1.5}, "threshold must be above 0 and at most 1, got 1.5"),
        ({"implementation": "gpu"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {
        "masks": np.zeros((3, 28, 28), np.float32),
        "boxes": np.zeros((3, 4), np.float32),
        "image_size": (5, 6),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        paste_masks(**arguments)


@pytest.mark.parametrize(
    ("masks", "boxes", "size", "message"),
    [
        ((4, 4), (1, 4), [5, 5], r"masks must be \[N, P, Q\]"),
        ((1, 4, 0), (1, 4), [5, 5], "P, Q >= 1"),
        ((1, 4, 4), (1, 5), [5, 5], r"boxes must be \[1, 4\]"),
        ((2, 4, 4), (1, 4), [5, 5], r"boxes must be \[2, 4\]"),
        ((1, 4, 4), (1, 4), [5], r"image_size must be \(height, width\)"),
        ((1, 4, 4), (1, 4), [-5, 5], r"image_size must be in 0\..*got -5 x 5"),
        ((1, 4, 4), (1, 4), [5, 2**30], r"image_size must be in 0\..*got 5 x 1073741824"),
    ],
)
def test_the_kernel_itself_checks_its_inputs(masks, boxes, size, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().cascade_tf_paste_masks(
            masks=tf.zeros(masks), boxes=tf.zeros(boxes), image_size=size, threshold=0.5
        )


def test_the_kernel_checks_its_threshold():
    with pytest.raises(tf.errors.InvalidArgumentError, match="threshold must be above 0"):
        library.load().cascade_tf_paste_masks(
            masks=tf.zeros([1, 4, 4]), boxes=tf.zeros([1, 4]), image_size=[5, 5], threshold=0.0
        )


def test_shape_function_rejects_wrong_shapes_while_the_graph_is_built():
    op = library.load().cascade_tf_paste_masks
    for masks, boxes in [((4, 4), (1, 4)), ((2, 4, 4), (1, 4)), ((1, 4, 4), (1, 5))]:
        with (
            tf.Graph().as_default(),
            pytest.raises(ValueError, match=r"must be rank|must be equal|Dimension"),
        ):
            op(masks=tf.zeros(masks), boxes=tf.zeros(boxes), image_size=[5, 5], threshold=0.5)


def test_arrays_of_the_host_are_pasted_by_the_kernel_beside_a_gpu_too(monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: ["one"] if kind == "GPU" else []
    )
    assert library.custom_ops("auto") is None
    assert library.custom_ops("auto", on_host=True) is library.custom_ops("custom")
