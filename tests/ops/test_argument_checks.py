"""Sizes that graphs learn when they run: both implementations refuse what does not fit together."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import (
    assign_levels,
    batched_nms,
    batched_soft_nms,
    crop_masks,
    grid_roi_align,
    paste_masks,
    ps_roi_pool,
    roi_align,
    roi_pool,
)
from cascade_tf.ops.resize_and_pad import resize_and_pad

MAPS = {"features": (2, 8, 8, 4), "boxes": (2, 3, 4)}
LEVELS = {**MAPS, "levels": (2, 3)}
MASKS = {
    "masks": (2, 5, 16, 2),
    "image_size": (2, 2),
    "boxes": (2, 3, 4),
    "object_index": (2, 3),
    "valid": (2, 3),
}
SCORED = {"boxes": (2, 6, 3, 4), "scores": (2, 6, 3)}
PASTED = {"masks": (3, 4, 4), "boxes": (3, 4)}
INTEGERS = {
    "map_sizes": tf.int32,
    "levels": tf.int32,
    "image_size": tf.int32,
    "object_index": tf.int32,
    "masks": tf.uint8,
    "valid": tf.bool,
}
NMS = {"iou_threshold": 0.5, "score_threshold": 0.0, "max_outputs": 4}


def on_two_levels(features, boxes, levels, **settings):
    return roi_align([features, features], boxes, levels=levels, strides=[8, 16], output_size=2, **settings)


def grid(features, boxes, levels, **settings):
    return grid_roi_align(
        [features, features], boxes, levels=levels, strides=[8, 16], output_size=2, **settings
    )


def uneven_levels(features, coarse, boxes, **settings):
    return roi_align([features, coarse], boxes, strides=[8, 16], output_size=2, **settings)


def own_sizes(features, boxes, map_sizes, **settings):
    return roi_align([features], boxes, map_sizes=map_sizes, strides=[8], output_size=2, **settings)


OPS = {
    "roi_align": (on_two_levels, LEVELS),
    "roi_align-levels": (
        uneven_levels,
        {"features": (2, 8, 8, 4), "coarse": (2, 4, 4, 4), "boxes": (2, 3, 4)},
    ),
    "roi_align-map_sizes": (own_sizes, {**MAPS, "map_sizes": (2, 1, 2)}),
    "grid_roi_align": (grid, LEVELS),
    "roi_pool": (lambda **kw: roi_pool(stride=8, output_size=2, **kw), MAPS),
    "ps_roi_pool": (lambda **kw: ps_roi_pool(stride=8, output_size=2, **kw), MAPS),
    "batched_nms": (lambda **kw: batched_nms(**NMS, **kw), SCORED),
    "batched_soft_nms": (lambda **kw: batched_soft_nms(method="linear", **NMS, **kw), SCORED),
    "crop_masks": (lambda **kw: crop_masks(output_size=4, **kw), MASKS),
    "paste_masks": (lambda **kw: paste_masks(image_size=(9, 7), **kw), PASTED),
}
# What one of the arguments is instead.
WRONG = [
    ("roi_align", "boxes", (1, 3, 4)),
    ("roi_align", "features", (1, 8, 8, 4)),
    ("roi_align", "levels", (1, 1)),
    ("roi_align", "levels", (3, 2)),
    ("roi_align-levels", "coarse", (1, 4, 4, 4)),
    ("roi_align-map_sizes", "map_sizes", (1, 1, 2)),
    ("grid_roi_align", "boxes", (1, 3, 4)),
    ("grid_roi_align", "features", (1, 8, 8, 4)),
    ("grid_roi_align", "levels", (1, 1)),
    ("roi_pool", "boxes", (1, 3, 4)),
    ("roi_pool", "features", (1, 8, 8, 4)),
    ("ps_roi_pool", "boxes", (1, 3, 4)),
    ("ps_roi_pool", "features", (1, 8, 8, 4)),
    ("roi_pool", "boxes", (2, 4, 3)),
    *((op, "features", (2, 8, 0, 4)) for op in ("roi_align-map_sizes", "roi_pool", "ps_roi_pool")),
    ("grid_roi_align", "features", (2, 0, 8, 4)),
    *((op, *wrong) for op in ("batched_nms", "batched_soft_nms") for wrong in [
        ("boxes", (1, 6, 3, 4)), ("scores", (1, 6, 3)), ("boxes", (2, 1, 3, 4)), ("boxes", (2, 6, 2, 4)),
    ]),
    ("crop_masks", "masks", (1, 5, 16, 2)),
    ("crop_masks", "boxes", (1, 3, 4)),
    ("crop_masks", "image_size", (1, 2)),
    ("crop_masks", "valid", (1, 3)),
    ("crop_masks", "object_index", (2, 1)),
    ("paste_masks", "boxes", (2, 4)),
    ("paste_masks", "masks", (1, 4, 4)),
    ("paste_masks", "masks", (3, 0, 4)),
    ("batched_nms", "boxes", (2, 6, 3, 3)),
    ("crop_masks", "image_size", (2, 1)),
]  # fmt: skip


def dtype_of(op, name):
    return tf.float32 if op == "paste_masks" else INTEGERS.get(name, tf.float32)


@functools.cache
def traced(op, implementation):
    """A graph that knows ranks alone."""
    call, shapes = OPS[op]
    names = list(shapes)
    signature = [tf.TensorSpec([None] * len(shapes[name]), dtype_of(op, name)) for name in names]

    @tf.function(input_signature=signature)
    def run(*arguments):
        features = dict(zip(names, arguments, strict=True))
        for name in {"features", "coarse"} & set(names):
            features[name] = tf.ensure_shape(features[name], [None, None, None, 4])
        return call(**features, implementation=implementation)

    return run


def arguments(op, **changes):
    return [tf.zeros(shape, dtype_of(op, name)) for name, shape in {**OPS[op][1], **changes}.items()]


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize("op", OPS)
def test_sizes_that_agree_pass(op, implementation):
    call, shapes = OPS[op]
    expected = call(**dict(zip(shapes, arguments(op), strict=True)), implementation="custom")
    results = traced(op, implementation)(*arguments(op))
    tf.nest.map_structure(np.testing.assert_array_equal, results, expected)


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize(("op", "name", "shape"), WRONG, ids=lambda value: str(value).replace(" ", ""))
def test_sizes_that_disagree_are_refused_where_the_graph_runs(op, name, shape, implementation):
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        traced(op, implementation)(*arguments(op, **{name: shape}))
    # The last dimension of boxes is looked at by core TensorFlow.
    assert f"{op.split('-')[0]}: " in str(refused.value) or shape == (2, 4, 3)


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize(("op", "name", "shape"), WRONG, ids=lambda value: str(value).replace(" ", ""))
def test_sizes_that_disagree_are_refused_at_once_where_they_are_known(op, name, shape, implementation):
    call, shapes = OPS[op]
    given = dict(zip(shapes, arguments(op, **{name: shape}), strict=True))
    with pytest.raises(ValueError, match=f"^{op.split('-')[0]}: "):
        call(**given, implementation=implementation)


RAGGED = tf.RaggedTensor.from_row_lengths(tf.zeros([3, 4]), [1, 2])
MAP = np.zeros((2, 8, 8, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roi_align([MAP], RAGGED, strides=[8], output_size=2), "roi_align: boxes must be dense"),
        (lambda: assign_levels(RAGGED, 4), "assign_levels: boxes must be dense"),
        (lambda: roi_pool(MAP, RAGGED, stride=8, output_size=2), "roi_pool: boxes must be dense"),
        (lambda: batched_nms(RAGGED, np.zeros((2, 2, 1)), **NMS), "batched_nms: boxes must be dense"),
        (
            lambda: roi_align(MAP, np.zeros((2, 3, 4)), strides=[8], output_size=2),
            r"roi_align: features must be a list, one for each level, got one of shape \(2, 8, 8, 4\)",
        ),
        (
            lambda: grid_roi_align([MAP], np.zeros((2, 3, 4)), strides=8, output_size=2),
            "grid_roi_align: strides must be a list, one for each level, got 8",
        ),
        (lambda: assign_levels(np.zeros((2, 5)), 4), r"assign_levels: boxes must be .* got \(2, 5\)"),
        (
            lambda: roi_align([MAP], np.zeros((2, 3, 4)), strides=[8], output_size=2, sampling_ratio=1.5),
            "roi_align: sampling_ratio must be .* whole number of at most 256, got 1.5",
        ),
        (
            lambda: roi_pool(MAP[..., :0], np.zeros((2, 3, 4)), stride=8, output_size=2),
            r"roi_pool: features must have h, w, C >= 1, got \(2, 8, 8, 0\)",
        ),
        (
            lambda: resize_and_pad(np.zeros((4, 4, 3), np.uint8), (2, 2), flip=[True]),
            r"resize_and_pad: flip must have the shape \[\], got \(1,\)",
        ),
        (
            lambda: ps_roi_pool(MAP[:, :0], np.zeros((2, 3, 4)), stride=8, output_size=2),
            r"ps_roi_pool: features must have h, w, C >= 1, got \(2, 0, 8, 4\)",
        ),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wanted(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16", "int32", "int64"])
def test_boxes_of_any_number_type_are_float32(rng, dtype, implementation):
    maps = rng.standard_normal(MAP.shape).astype(np.float32)
    boxes = np.float32([[[0, 8, 16, 40]], [[3, 5, 63, 62]]])  # exact in all of them
    for pool in (roi_pool, ps_roi_pool):
        expected = pool(maps, boxes, stride=8, output_size=2, implementation=implementation)
        result = pool(maps, tf.cast(boxes, dtype), stride=8, output_size=2, implementation=implementation)
        np.testing.assert_array_equal(result, expected)
    settings = {"strides": [8], "output_size": 2, "implementation": implementation}
    for pool in (roi_align, grid_roi_align):
        result = pool([maps], tf.cast(boxes, dtype), **settings)
        np.testing.assert_array_equal(result, pool([maps], boxes, **settings))


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize("op", ["batched_nms", "batched_soft_nms"])
@pytest.mark.parametrize(
    ("boxes", "scores"), [((0, 6, 3, 4), (0, 6, 3)), ((2, 0, 1, 4), (2, 0, 3)), ((2, 6, 1, 4), (2, 6, 0))]
)
def test_graphs_select_from_no_images_boxes_and_classes(op, boxes, scores, implementation):
    found = traced(op, implementation)(*arguments(op, boxes=boxes, scores=scores))
    for one in found:
        assert one.shape[0] == boxes[0]
        assert not one.numpy().any()


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
def test_graphs_look_at_the_channels_of_all_levels(implementation):
    @tf.function(input_signature=[tf.TensorSpec([None] * 4)] * 2, autograph=False)
    def pool(fine, coarse):
        boxes = tf.zeros([2, 3, 4])
        return grid_roi_align(
            [fine, coarse], boxes, strides=[8, 16], output_size=2, implementation=implementation
        )

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"grid_roi_align: .*features"):
        pool(tf.zeros([2, 8, 8, 4]), tf.zeros([2, 4, 4, 3]))


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
def test_graphs_look_at_the_channels_of_all_bins(implementation):
    @tf.function(input_signature=[tf.TensorSpec([None] * 4)], autograph=False)
    def pool(features):
        boxes = tf.zeros([2, 3, 4])
        return ps_roi_pool(features, boxes, stride=8, output_size=2, implementation=implementation)

    with pytest.raises(tf.errors.InvalidArgumentError, match="ps_roi_pool: channels must be a multiple of 4"):
        pool(tf.zeros([2, 8, 8, 6]))
