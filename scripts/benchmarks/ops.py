"""Times the package's ops beside the TensorFlow ops that do the same or nearly the same.

python scripts/benchmarks/ops.py
python scripts/benchmarks/ops.py --json ops.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import measuring
import numpy as np
import program
from measuring import Case
from workload import HEIGHT, WIDTH

OPTIONS = measuring.flags(rounds=15)
STRIDES = (4, 8, 16, 32)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Times pooling and suppression."""
    pooling = [*_pooling("float32"), *_pooling("bfloat16")]
    cases = [*pooling, *_suppression(4000, 6), *_suppression(10000, 30), *_class_wise()]
    measuring.run_rounds(cases, OPTIONS.values.rounds)
    settings = {"rounds": OPTIONS.values.rounds}
    measuring.report("ops", measuring.rows(cases, []), settings, OPTIONS.values.json)


def spread_boxes(count: int, largest: float) -> Any:
    """[count, 4] boxes all over the image, with sides from 16 pixels to ``largest``, evenly by octaves."""
    rng = np.random.default_rng(0)
    sides = 16.0 * (largest / 16.0) ** rng.uniform(0, 1, (count, 2))
    low = rng.uniform(0, 1, (count, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 1.0)
    return np.concatenate([low, low + sides], axis=1).astype(np.float32)


def _pooling(dtype: str) -> list[Case]:
    import tensorflow as tf

    from cascade_tf.ops import roi_align

    maps = [
        tf.cast(tf.random.stateless_normal([1, HEIGHT // s, WIDTH // s, 256], (s, 0)), dtype) for s in STRIDES
    ]
    boxes = tf.constant(spread_boxes(1000, 600.0)[None])
    upstream = tf.ones([1, 1000, 7, 7, 256], dtype)

    def pool(*maps: Any) -> Any:
        return roi_align(maps, boxes, strides=STRIDES, output_size=7)

    def both(*maps: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = pool(*maps)
        return pooled, tape.gradient(pooled, maps, upstream)

    return [
        _case(f"RoIAlign forward, {dtype}", pool, maps, 20.0),
        _case(f"RoIAlign forward and backward, {dtype}", both, maps, 80.0),
    ]


def _suppression(count: int, limit: float) -> list[Case]:
    import tensorflow as tf

    from cascade_tf.ops import batched_nms

    boxes = tf.constant(spread_boxes(count, 400.0))
    scores = tf.random.stateless_uniform([count], (1, 1))

    def ours(boxes: Any, scores: Any) -> Any:
        return batched_nms(
            boxes[None, :, None],
            scores[None, :, None],
            iou_threshold=0.7,
            score_threshold=0.0,
            max_outputs=count,
        )

    def theirs(boxes: Any, scores: Any) -> Any:
        return tf.image.non_max_suppression(boxes, scores, count, 0.7)

    return [
        _case(f"NMS, {count} spread boxes", ours, (boxes, scores), limit),
        _case(f"NMS, {count}, tf.image.non_max_suppression", theirs, (boxes, scores)),
    ]


def _class_wise() -> list[Case]:
    import tensorflow as tf

    from cascade_tf.ops import batched_nms

    boxes = tf.constant(spread_boxes(1000, 400.0)[None, :, None])
    scores = np.random.default_rng(1).uniform(0, 0.05, (1, 1000, 80)).astype(np.float32)
    chosen = np.random.default_rng(2).choice(80_000, 500, replace=False)
    scores.reshape(-1)[chosen] = np.random.default_rng(3).uniform(0.05, 1.0, 500)
    given = (boxes, tf.constant(scores))

    def ours(threshold: float) -> Any:
        return lambda boxes, scores: batched_nms(
            boxes, scores, iou_threshold=0.5, score_threshold=threshold, max_outputs=100
        )

    def theirs(boxes: Any, scores: Any) -> Any:
        return tf.image.combined_non_max_suppression(boxes, scores, 1000, 100, 0.5, 0.05, clip_boxes=False)

    return [
        _case("class-wise NMS, 500 scores above 0.05", ours(0.05), given, 1.0),
        _case("class-wise NMS, threshold 0", ours(0.0), given, 40.0),
        _case("tf.image.combined_non_max_suppression, 0.05", theirs, given),
    ]


def _case(name: str, function: Any, args: Any, limit: float | None = None) -> Case:
    import tensorflow as tf

    call = tf.function(function, autograph=False).get_concrete_function(*args)
    return Case(name, lambda: measuring.wait(call(*args)), limit_ms=limit)


if __name__ == "__main__":
    sys.exit(main())
