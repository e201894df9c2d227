"""Mask targets: C++ op = TensorFlow twin = NumPy reference = arrays recorded from detectron2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import crop_masks, library
from tests.reference import mask_targets as reference

GOLDEN = Path(__file__).parents[1] / "golden"
IMPLEMENTATIONS = ["custom", "tensorflow"]


def pack(masks):
    return np.packbits(masks, axis=-1)


def unpack(packed, shape):
    return np.unpackbits(packed, axis=1, count=shape[1] * shape[2]).reshape(shape)


def blobs(rng, batch, count, size):
    """Masks with straight and with ragged edges."""
    masks = rng.random((batch, count, *size)) < 0.5
    for image, index in np.ndindex(batch, count):
        if index % 2:
            top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
            masks[image, index] = False
            masks[image, index, top : top + 9, left : left + 14] = True
    return masks


def random_boxes(rng, batch, count, size):
    corner = rng.uniform(-0.2, 0.9, (batch, count, 2)) * size[::-1]
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-1, 4, (batch, count, 2)))], axis=-1)
    boxes[:, ::2] = np.round(boxes[:, ::2] * 2) / 2  # means of exactly a half
    return boxes.astype(np.float32)


def crop_one_image(masks, boxes, object_index, implementation):
    """Targets [S, M, M] of one image without padding."""
    return crop_masks(
        pack(masks)[None],
        [masks.shape[1:]],
        np.asarray(boxes, np.float32)[None],
        np.asarray(object_index)[None],
        np.ones((1, len(boxes)), bool),
        implementation=implementation,
    ).numpy()[0]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_equals_detectron2(implementation):
    with np.load(GOLDEN / "paste_masks.npz") as golden:
        masks = unpack(golden["pasted_packed"], golden["pasted_shape"])
        expected = unpack(golden["crop/target_packed"], golden["crop/target_shape"])
        targets = crop_one_image(masks, golden["crop/boxes"], np.arange(len(expected)), implementation)
    np.testing.assert_array_equal(targets, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("image", ["img0", "img1"])
@pytest.mark.parametrize("name", ["cascade_mask_rcnn_r50_fpn", "cascade_mask_rcnn_r50_fpn_gn"])
def test_equals_detectron2_in_training(name, image, implementation):
    with np.load(GOLDEN / f"{name}.npz") as golden:
        part = {key.removeprefix(f"train/{image}/"): golden[key] for key in golden.files if image in key}
    masks = unpack(part["gt_masks_packed"], part["gt_masks_shape"])
    expected = unpack(part["mask_targets_packed"], part["mask_targets_shape"])
    boxes, matched = part["stage0/boxes_in"][: len(expected)], part["stage0/gt_boxes"][: len(expected)]
    object_index = [np.flatnonzero((part["gt_boxes"] == box).all(axis=1))[0] for box in matched]
    np.testing.assert_array_equal(crop_one_image(masks, boxes, object_index, implementation), expected)
    assert 0.2 < expected.mean() < 0.9


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("output_size", [3, 7, 28])
@pytest.mark.parametrize("size", [(24, 32), (17, 29), (9, 1), (1, 9)])
def test_equals_reference(rng, size, output_size, implementation):
    masks = blobs(rng, 2, 3, size)
    boxes = random_boxes(rng, 2, 5, size)
    # The second image is smaller than its frame, which holds noise that must not matter.
    image_size = np.int32([size, np.maximum(np.array(size) * 3 // 4, 1)])
    object_index = rng.integers(0, 3, (2, 5))
    valid = np.array([[1, 1, 1, 0, 1], [1, 1, 0, 1, 1]], bool)
    expected = reference.crop_masks(masks, image_size, boxes, object_index, valid, output_size)
    # Traced: one sample after another is slow in Python.
    traced = tf.function(
        lambda *arguments: crop_masks(*arguments, output_size=output_size, implementation=implementation),
        autograph=False,
    )
    targets = traced(pack(masks), image_size, boxes, object_index, valid)
    np.testing.assert_array_equal(targets, expected)
    assert targets.dtype == tf.float32


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_mask_continues_beyond_the_border(implementation):
    masks = np.ones((1, 20, 30), bool)
    # Boxes that end with the image: their last samples lie beyond the last pixel's centre.
    boxes = [
        [0, 0, 30, 20],
        [29.5, 19.5, 30, 20],
        [10, 10, 30.4, 20.4],
        [26.1, 16.1, 36.1, 26.1],
        [31, 21, 40, 40],
    ]
    targets = crop_one_image(masks, boxes, [0] * 5, implementation)
    assert targets[:3].all()
    # Bins of 10 / 28 pixels; the centre of the twelfth is less than one pixel from the last pixel's centre.
    inside = np.zeros((28, 28))
    inside[:12, :12] = 1
    np.testing.assert_array_equal(targets[3], inside)
    assert not targets[4].any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_mask_of_the_boxs_left_half(implementation):
    masks = np.zeros((1, 40, 80), bool)
    masks[0, :, :40] = True
    targets = crop_one_image(
        masks, [[0, 0, 80, 40], [20, 0, 60, 40], [12, 5, 68, 33]], [0, 0, 0], implementation
    )
    expected = np.repeat([1, 0], 14)[None].repeat(28, axis=0)
    for target in targets:
        np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "box",
    [
        [np.nan, 0, 5, 5],
        [0, 0, np.inf, 5],
        [0, -np.inf, 5, 5],
        [3, 3, 3, 9],
        [9, 9, 3, 3],
        [-40, -40, -20, -20],
        [100, 100, 200, 200],
        [-3e38, -3e38, 3e38, 3e38],
        [1e30, 0, 2e30, 9],
    ],
)
def test_boxes_that_hold_nothing(box, implementation):
    targets = crop_one_image(np.ones((1, 20, 30), bool), [box, [2, 2, 9, 9]], [0, 0], implementation)
    assert not targets[0].any()
    assert targets[1].all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_giant_boxes_are_bounded(implementation):
    # A million samples along the box, without a limit.
    targets = crop_masks(
        np.full((1, 1, 4, 1), 255, np.uint8),
        [[4, 8]],
        np.float32([[[-8e5, 1, 8e5, 1.5]]]),
        [[0]],
        [[True]],
        output_size=1,
        implementation=implementation,
    )
    np.testing.assert_array_equal(targets, np.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("batch", "objects", "count"), [(2, 3, 0), (2, 0, 4), (0, 3, 4), (1, 0, 0)])
def test_no_boxes_objects_or_images(batch, objects, count, implementation):
    targets = crop_masks(
        np.full((batch, objects, 8, 2), 255, np.uint8),
        np.tile([[8, 16]], (batch, 1)),
        np.tile(np.float32([1, 1, 5, 5]), (batch, count, 1)),
        np.zeros((batch, count), np.int32),
        np.zeros((batch, count), bool),
        implementation=implementation,
    )
    np.testing.assert_array_equal(targets, np.zeros((batch, count, 28, 28)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_images_without_pixels(implementation):
    settings = {"object_index": [[0]], "valid": [[True]], "implementation": implementation}
    boxes = np.float32([[[0, 0, 5, 5]]])
    for masks, size in [((1, 1, 0, 0), [0, 0]), ((1, 1, 8, 1), [0, 8]), ((1, 1, 8, 1), [8, 0])]:
        targets = crop_masks(np.full(masks, 255, np.uint8), [size], boxes, **settings)
        assert not np.any(targets)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1, -(2**31)])
def test_an_object_that_does_not_exist(index, implementation):
    def crop(valid):
        return crop_masks(
            np.full((1, 3, 8, 1), 255, np.uint8),
            [[8, 8]],
            np.tile(np.float32([1, 1, 5, 5]), (1, 2, 1)),
            [[0, index]],
            [[True, valid]],
            implementation=implementation,
        )

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"object_index must be in 0\.\.G-1"):
        crop(valid=True)
    targets = crop(valid=False).numpy()
    assert targets[0, 0].all()
    assert not targets[0, 1].any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [[9, 8], [8, 9], [-1, 8]])
def test_an_image_larger_than_its_masks(size, implementation):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_size must be within the masks'"):
        crop_masks(
            np.zeros((1, 1, 8, 1), np.uint8),
            [size],
            np.zeros((1, 1, 4), np.float32),
            [[0]],
            [[True]],
            implementation=implementation,
        )


def test_both_implementations_agree_on_a_large_problem(rng):
    size = (200, 333)
    masks, boxes = blobs(rng, 2, 12, size), random_boxes(rng, 2, 60, size)
    boxes[:, :2] = [0, 0, 333, 200]
    boxes[:, 2:8, 2:] = boxes[:, 2:8, :2] + 28 * np.arange(2, 8)[:, None]  # bins of whole pixels
    arguments = (pack(masks), [size] * 2, boxes, rng.integers(0, 12, (2, 60)), rng.random((2, 60)) < 0.8)
    custom = crop_masks(*arguments, implementation="custom")
    assert 0.1 < np.mean(custom) < 0.9
    twin = tf.function(lambda: crop_masks(*arguments, implementation="tensorflow"), autograph=False)
    np.testing.assert_array_equal(custom, twin())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_trace_for_all_sizes(rng, implementation):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, None], tf.uint8),
            tf.TensorSpec([None, 2]),
            tf.TensorSpec([None, None, 4]),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def crop(*arguments):
        targets = crop_masks(*arguments, implementation=implementation)
        assert targets.shape.as_list() == [None, None, 28, 28]
        return targets

    for batch, objects, count, size in [(2, 3, 5, (40, 50)), (1, 2, 0, (8, 8)), (1, 0, 3, (20, 16))]:
        packed = pack(blobs(rng, batch, objects, size))
        boxes, valid = random_boxes(rng, batch, count, size), np.full((batch, count), objects > 0)
        arguments = (packed, np.float32([size] * batch), boxes, np.zeros((batch, count), np.int32), valid)
        np.testing.assert_array_equal(crop(*arguments), crop_masks(*arguments, implementation="custom"))


def test_twin_graph_is_small_and_of_core_ops():
    @tf.function(input_signature=[tf.TensorSpec([2, 5, 40, 6], tf.uint8), tf.TensorSpec([2, None, 4])])
    def crop(masks, boxes):
        nothing = tf.zeros(tf.shape(boxes)[:2], tf.int32)
        return crop_masks(masks, [[40, 48]] * 2, boxes, nothing, nothing, implementation="tensorflow")

    graph = crop.get_concrete_function().graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 650
    assert not [name for name in names if "Cascade" in name]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_gradient(implementation):
    boxes = tf.constant([[[1.0, 1, 5, 5]]])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        masks = np.full((1, 1, 8, 1), 255, np.uint8)
        total = tf.reduce_sum(
            crop_masks(masks, [[8, 8]], boxes, [[0]], [[True]], implementation=implementation)
        )
    assert total == 28 * 28
    assert tape.gradient(total, boxes) is None


def arguments(**changes):
    return {
        "masks": np.zeros((2, 3, 8, 2), np.uint8),
        "image_size": np.int32([[8, 16]] * 2),
        "boxes": np.zeros((2, 5, 4), np.float32),
        "object_index": np.zeros((2, 5), np.int32),
        "valid": np.zeros((2, 5), bool),
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((2, 3, 8, 2), bool)}, "masks must be uint8 .*, got bool"),
        ({"masks": np.zeros((2, 8, 2), np.uint8)}, r"masks must be uint8 \[B, G, H, ceil\(W / 8\)\]"),
        ({"boxes": np.zeros((2, 5, 5), np.float32)}, r"boxes must be \[B, S, 4\]"),
        ({"boxes": np.zeros((1, 5, 4), np.float32)}, r"boxes must be \[B, S, 4\]"),
        ({"image_size": np.int32([8, 16])}, r"image_size must be \[B, 2\]"),
        ({"object_index": np.zeros((2, 4), np.int32)}, r"object_index must be \[B, S\]"),
        ({"valid": np.zeros((2, 5, 1), bool)}, r"valid must be \[B, S\]"),
        ({"output_size": 0}, r"output_size must be in 1\.\.1024, got 0"),
        ({"implementation": "gpu"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        crop_masks(**arguments(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((2, 8, 2), np.uint8)}, r"masks must be \[B, G, H, W / 8\]"),
        ({"image_size": np.int32([[8, 16]])}, r"image_size must be \[2, 2\]"),
        ({"boxes": np.zeros((2, 5, 5), np.float32)}, r"boxes must be \[2, S, 4\]"),
        ({"boxes": np.zeros((1, 5, 4), np.float32)}, r"boxes must be \[2, S, 4\]"),
        ({"object_index": np.zeros((2, 4), np.int32)}, r"object_index and valid must be \[B, S\]"),
        ({"valid": np.zeros((1, 5), bool)}, r"object_index and valid must be \[B, S\]"),
        ({"output_size": 5000}, r"output_size must be in 1\.\.1024, got 5000"),
    ],
)
def test_the_kernel_itself_checks_its_inputs(changes, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().cascade_tf_crop_masks(**{"output_size": 28, **arguments(**changes)})


@pytest.mark.parametrize(
    "changes",
    [
        {"masks": np.zeros((2, 8, 2), np.uint8)},
        {"boxes": np.zeros((1, 5, 4), np.float32)},
        {"valid": np.zeros((2, 4), bool)},
        {"image_size": np.int32([[8, 16, 3]] * 2)},
    ],
)
def test_shape_function_rejects_wrong_shapes_while_the_graph_is_built(changes):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=r"must be rank|must be equal|must be \d"):
        library.load().cascade_tf_crop_masks(**{"output_size": 28, **arguments(**changes)})
