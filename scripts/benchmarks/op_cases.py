"""What ``ops.py`` times: each op of the package on such inputs as a detector gives it, and its peers.

The name of a peer's row is that of the package's op, a colon, and the peer; ``twin`` is the implementation in
core TensorFlow ops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import measuring
import numpy as np
from measuring import Case
from workload import HEIGHT, WIDTH

STRIDES = (4, 8, 16, 32)
CHANNELS = 256
# What separates the name of an op from that of its peer.
PEER = ": "


def all_cases() -> Iterator[Case]:
    """Every case, in the order of the table."""
    for dtype in ("float32", "bfloat16"):
        yield from _pooling(dtype)
        yield from _quantised_pooling(dtype)
    yield from _suppression(4000, 6.0)
    yield from _suppression(10000, 30.0)
    yield from _class_wise("500 scores above 0.05", class_scores(500), 0.05, 1.0)
    yield from _class_wise("threshold 0", class_scores(80_000), 0.0, 40.0)
    yield from _proposals()
    yield from _soft()
    yield from _masks()
    yield from _deformable()


def spread_boxes(count: int, largest: float) -> Any:
    """[count, 4] boxes all over the image, with sides from 16 pixels to ``largest``, evenly by octaves."""
    rng = np.random.default_rng(0)
    sides = 16.0 * (largest / 16.0) ** rng.uniform(0, 1, (count, 2))
    low = rng.uniform(0, 1, (count, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 1.0)
    return np.concatenate([low, low + sides], axis=1).astype(np.float32)


def scores_of(count: int) -> Any:
    """[count] scores in 0..1."""
    return np.random.default_rng(1).uniform(0, 1, count).astype(np.float32)


def class_scores(above: int) -> Any:
    """[1, 1000, 80] scores, ``above`` of them anywhere in 0.05..1 and the others below."""
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 0.05, 80_000)
    scores[rng.choice(80_000, above, replace=False)] = rng.uniform(0.05, 1.0, above)
    return scores.reshape(1, 1000, 80).astype(np.float32)


def _pooling(dtype: str) -> Iterator[Case]:
    from cascade_tf.ops import grid_roi_align, roi_align

    shapes = [[1, HEIGHT // stride, WIDTH // stride, CHANNELS] for stride in STRIDES]

    def align(implementation: str) -> Any:
        return lambda *maps: roi_align(
            maps, _pooled_boxes(), strides=STRIDES, output_size=7, implementation=implementation
        )

    def align_grid(implementation: str) -> Any:
        return lambda *maps: grid_roi_align(
            maps, _pooled_boxes(), strides=STRIDES, output_size=7, implementation=implementation
        )

    yield from _both_ways("RoIAlign", dtype, align, shapes, CHANNELS, (20.0, 60.0))
    yield from _both_ways("grid RoIAlign", dtype, align_grid, shapes, CHANNELS)


def _quantised_pooling(dtype: str) -> Iterator[Case]:
    """RoIPool of VGG's conv5, and the class and box maps of R-FCN."""
    from cascade_tf.ops import ps_roi_pool, roi_pool

    def largest(implementation: str) -> Any:
        return lambda features: roi_pool(
            features, _pooled_boxes(), stride=16, output_size=7, implementation=implementation
        )

    def position_sensitive(implementation: str) -> Any:
        return lambda features: ps_roi_pool(
            features, _pooled_boxes(), stride=16, output_size=7, implementation=implementation
        )

    size = [1, HEIGHT // 16, WIDTH // 16]
    yield from _both_ways("RoIPool", dtype, largest, [[*size, 512]], 512, (20.0, None))
    for values, limit in ((81, 60.0), (8, None)):
        name = f"position-sensitive RoI pooling, {values} values,"
        shapes = [[*size, 49 * values]]
        yield from _both_ways(name, dtype, position_sensitive, shapes, values, (limit, None))


def _pooled_boxes() -> Any:
    return spread_boxes(1000, 800.0)[None]


def _both_ways(
    name: str,
    dtype: str,
    forward: Callable[[str], Any],
    shapes: list[list[int]],
    channels: int,
    limits: tuple[float | None, float | None] = (None, None),
) -> Iterator[Case]:
    """The pooling of 7 x 7 bins from maps of these shapes, and its gradient."""
    import tensorflow as tf

    maps = [tf.cast(tf.random.stateless_normal(shape, shape[1:3]), dtype) for shape in shapes]
    upstream = tf.cast(tf.random.stateless_normal([1, 1000, 7, 7, channels], (1, 2)), dtype)

    def backward(implementation: str) -> Any:
        def differentiate(upstream: Any, *maps: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(maps)
                pooled = forward(implementation)(*maps)
            # Nothing in the graph needs the pooled features, so the forward pass is not run.
            return tape.gradient(pooled, maps, upstream)

        return differentiate

    yield from _with_twin(f"{name} forward, {dtype}", forward, maps, limits[0])
    yield from _with_twin(f"{name} backward, {dtype}", backward, [upstream, *maps], limits[1])


def _suppression(count: int, limit: float) -> Iterator[Case]:
    import tensorflow as tf

    boxes, scores = spread_boxes(count, 400.0), scores_of(count)
    settings = {"iou_threshold": 0.7, "score_threshold": 0.0, "max_outputs": count}
    name = f"NMS, {count} spread boxes"
    yield from _with_twin(name, _nms(**settings), [boxes[None, :, None], scores[None, :, None]], limit)
    other = f"{name}{PEER}tf.image.non_max_suppression"
    yield case(other, lambda b, s: tf.image.non_max_suppression(b, s, count, 0.7), [boxes, scores])


def _class_wise(text: str, scores: Any, threshold: float, limit: float) -> Iterator[Case]:
    import tensorflow as tf

    args = [spread_boxes(1000, 400.0)[None, :, None], scores]
    settings = {"iou_threshold": 0.5, "score_threshold": threshold, "max_outputs": 100}
    name = f"class-wise NMS, {text}"
    yield from _with_twin(name, _nms(**settings), args, limit)

    def combined(boxes: Any, scores: Any) -> Any:
        return tf.image.combined_non_max_suppression(
            boxes, scores, 1000, 100, 0.5, threshold, clip_boxes=False
        )

    yield case(f"{name}{PEER}tf.image.combined_non_max_suppression", combined, args)


def _proposals() -> Iterator[Case]:
    """The levels of the proposal network are its classes, and each box has a score in one of them."""
    of_level = np.repeat(np.arange(5), 1000)[:, None] == np.arange(5)
    scores = np.where(of_level, scores_of(5000)[:, None], -np.inf).astype(np.float32)
    args = [spread_boxes(5000, 400.0)[None, :, None], scores[None]]
    settings = {"iou_threshold": 0.7, "score_threshold": -np.inf, "max_outputs": 1000}
    yield from _with_twin("NMS of proposals, 5 levels of 1000 boxes", _nms(**settings), args)


def _nms(**settings: Any) -> Callable[[str], Any]:
    from cascade_tf.ops import batched_nms

    return lambda implementation: (
        lambda boxes, scores: batched_nms(boxes, scores, implementation=implementation, **settings)
    )


def _soft() -> Iterator[Case]:
    from cascade_tf.ops import batched_soft_nms

    def suppress(implementation: str) -> Any:
        settings: dict[str, Any] = {"method": "gaussian", "score_threshold": 0.05, "max_outputs": 100}
        return lambda boxes, scores: batched_soft_nms(
            boxes, scores, implementation=implementation, **settings
        )

    for above in (500, 80_000):
        args = [spread_boxes(1000, 400.0)[None, :, None], class_scores(above)]
        yield from _with_twin(f"soft NMS, {above} scores above 0.05", suppress, args)


def _masks() -> Iterator[Case]:
    from cascade_tf.ops import crop_masks, paste_masks

    masks = np.random.default_rng(3).integers(0, 256, (1, 20, HEIGHT, WIDTH // 8), np.uint8)
    boxes = spread_boxes(128, 400.0)[None]
    objects = np.random.default_rng(4).integers(0, 20, (1, 128), np.int32)
    args = [masks, np.array([[HEIGHT, WIDTH]], np.int32), boxes, objects, np.ones((1, 128), bool)]

    def crop(implementation: str) -> Any:
        return lambda *args: crop_masks(*args, output_size=28, implementation=implementation)

    yield from _with_twin("mask targets, 128 boxes of 28 x 28", crop, args)

    def paste(implementation: str) -> Any:
        return lambda masks, boxes: paste_masks(masks, boxes, (HEIGHT, WIDTH), implementation=implementation)

    # A disc in its box, as masks are compact.
    distance = np.hypot(*np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5))
    discs = np.tile(1 / (1 + np.exp(distance - 12)), (100, 1, 1)).astype(np.float32)
    yield from _with_twin("mask pasting, 100 boxes", paste, [discs, spread_boxes(100, 400.0)])


def _deformable() -> Iterator[Case]:
    """Of core TensorFlow ops in every implementation; beside it the convolution without offsets."""
    import tensorflow as tf

    from cascade_tf.ops.deformable_convolution import deformable_conv2d

    inputs = tf.random.stateless_normal([1, HEIGHT // 16, WIDTH // 16, CHANNELS], (5, 6))
    offsets = tf.random.stateless_normal([1, HEIGHT // 16, WIDTH // 16, 18], (7, 8))
    kernel = tf.random.stateless_normal([3, 3, CHANNELS, CHANNELS], (9, 10))
    name = f"deformable 3x3 convolution, stride 16, {CHANNELS} channels"
    yield case(name, deformable_conv2d, [inputs, offsets, kernel])
    yield case(f"{name}{PEER}tf.nn.conv2d", lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), [inputs, kernel])


def _with_twin(
    name: str, of_implementation: Callable[[str], Any], args: Any, limit: float | None = None
) -> Iterator[Case]:
    yield case(name, of_implementation("custom"), args, limit)
    yield case(f"{name}{PEER}twin", of_implementation("tensorflow"), args)


def case(name: str, function: Any, args: Any, limit: float | None = None) -> Case:
    """A case that runs a function as a graph.

    Args:
        name: as the table shows it.
        function: takes and returns tensors.
        args: of the function; arrays become tensors once.
        limit: milliseconds that it may take, or None.
    """
    import tensorflow as tf

    args = [tf.convert_to_tensor(arg) for arg in args]
    call = tf.function(function, autograph=False).get_concrete_function(*args)
    return Case(name, lambda: measuring.wait(call(*args)), limit_ms=limit)
