"""Measures how far bfloat16 moves the detections of a trained detector on real images.

Each detection in float32 is compared with that of its class in bfloat16 whose box is nearest. A detection
without one within ``--reach`` pixels counts as lost; the shares are of all detections, these included.

Two comparisons say what the differences mean. Some detections differ although bfloat16 found the same box
with the same score, and the suppression chose another: a near tie. And the same figures are measured in
float32 on images whose pixels are changed at random by one grey level at most.

    python scripts/benchmarks/precision.py --workdir runs/mine photos
    python scripts/benchmarks/precision.py --workdir runs/mine --score_threshold 0.5 "photos/*.png"
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import measuring
import numpy as np
import predict
import program
from measuring import Row

if TYPE_CHECKING:
    from cascade_tf.prediction.inference import ImageDetections

# Boxes and scores this close are the same.
BOX_LIMIT, SCORE_LIMIT = 1.0, 0.02

OPTIONS = program.Flags(positional="INPUT ...", weights=True)
# Both precisions are measured, on the images that are named.
OPTIONS.values.remove_flag_values(["precision", "dataset_dir"])
OPTIONS.number("score_threshold", 0.05, "Detections need a higher score in float32.", lower=0.0, upper=1.0)
OPTIONS.number("reach", 8.0, "Pixels between the edges of boxes that may be the same.", lower=0.0, upper=1e6)
OPTIONS.string("json", None, "Also writes the figures to this file.", "FILE")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Detects in both precisions and compares."""
    values = OPTIONS.values
    sources, missing = predict.named_sources(arguments)
    if missing or not sources:
        raise ValueError(f"inputs: got {missing or 'none'}, expected images")
    paths = [source.path for source in sources]
    detector, _ = program.open_detector(OPTIONS, "float32")
    exact, noisy = detector.predict(paths), detector.predict(_with_noise(paths))
    detector, _ = program.open_detector(OPTIONS, "bfloat16")
    rounded = detector.predict(paths)
    # A detector is traced with its settings once, so this is another.
    detector, _ = program.open_detector(OPTIONS, "bfloat16")
    output = detector.detection_output
    output.nms_iou, output.soft_nms, output.max_detections = 1.0, "none", 1000
    limits = (values.score_threshold, values.reach)
    lines = compare(exact, rounded, *limits)
    lines += differences(exact, rounded, detector.predict(paths), *limits)
    for row in compare(exact, noisy, *limits)[1:]:
        row.name = f"one grey level: {row.name}"
        lines.append(row)
    settings = {"images": len(paths), "score above": values.score_threshold, "reach": values.reach}
    measuring.report("precision", lines, settings, values.json)


def _with_noise(paths: Sequence[Any]) -> Iterator[np.ndarray]:
    """The images, changed at random by -1, 0 or 1 in every value."""
    from cascade_tf.prediction.image_files import read_image

    rng = np.random.default_rng(0)
    for path in paths:
        pixels = read_image(path).astype(np.int16)
        pixels += rng.integers(-1, 2, pixels.shape, np.int16)
        yield np.clip(pixels, 0, 255).astype(np.uint8)


def compare(
    exact: Sequence[ImageDetections], rounded: Sequence[ImageDetections], threshold: float, reach: float
) -> list[Row]:
    """How far the boxes and scores of ``rounded`` lie from those of ``exact``.

    Args:
        exact: detections of some images.
        rounded: of the same images.
        threshold: ``exact`` detections need a higher score.
        reach: largest distance of a box's edges to its partner's, pixels.

    Raises:
        ValueError: no detection is above the threshold.
    """
    pairs = _pairs(exact, rounded, threshold, reach)
    if not len(pairs):
        raise ValueError(f"got no detection with a score above {threshold}, expected some to compare")
    pixels, scores = pairs[np.isfinite(pairs[:, 0])].T
    return [
        Row("detections in float32", len(pairs), ""),
        Row("lost", len(pairs) - len(pixels), ""),
        _spread("boxes differ by, median", pixels, "pixels"),
        Row("boxes within 1 pixel", 100 * float(np.mean(pairs[:, 0] <= BOX_LIMIT)), "%"),
        _spread("scores differ by, median", scores, ""),
        Row("scores within 0.02", 100 * float(np.mean(pairs[:, 1] <= SCORE_LIMIT)), "%"),
    ]


def differences(
    exact: Sequence[ImageDetections],
    rounded: Sequence[ImageDetections],
    candidates: Sequence[ImageDetections],
    threshold: float,
    reach: float,
) -> list[Row]:
    """How many detections differ by more, and how many although bfloat16 found the same box and score.

    Args:
        exact: see ``compare``, with ``rounded``, ``threshold`` and ``reach``.
        rounded: see there.
        candidates: what ``rounded`` were chosen from.
        threshold: see there.
        reach: see there.
    """
    differ = ~_close(_pairs(exact, rounded, threshold, reach))
    found = _close(_pairs(exact, candidates, threshold, reach))
    return [
        Row("differ by more", int(np.sum(differ)), ""),
        Row("of these by the suppression's choice alone", int(np.sum(differ & found)), ""),
    ]


def _close(pairs: np.ndarray) -> np.ndarray:
    return (pairs[:, 0] <= BOX_LIMIT) & (pairs[:, 1] <= SCORE_LIMIT)


def _pairs(
    exact: Sequence[ImageDetections], others: Sequence[ImageDetections], threshold: float, reach: float
) -> np.ndarray:
    """[n, 2] distances of the boxes, in pixels, and of the scores."""
    pairs = [
        _partner(image, int(index), other, reach)
        for image, other in zip(exact, others, strict=True)
        for index in np.flatnonzero(image.scores > threshold)
    ]
    return np.array(pairs).reshape(-1, 2)


def _partner(image: ImageDetections, index: int, other: ImageDetections, reach: float) -> tuple[float, float]:
    """Distances of a detection's box and score to those of its partner; infinite without one."""
    distances = np.abs(other.boxes - image.boxes[index]).max(axis=1, initial=0.0)
    distances = np.where(other.classes == image.classes[index], distances, np.inf)
    if not len(distances) or distances.min() > reach:
        return np.inf, np.inf
    nearest = int(distances.argmin())
    return float(distances[nearest]), float(abs(other.scores[nearest] - image.scores[index]))


def _spread(name: str, values: Any, unit: str) -> Row:
    if not len(values):
        return Row(name, 0.0, unit)
    return Row(name, float(np.median(values)), unit, float(np.min(values)), float(np.max(values)))


if __name__ == "__main__":
    sys.exit(main())
