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
    from cascade_tf.inference import ImageDetections

# Boxes and scores this close are the same.
BOX_LIMIT, SCORE_LIMIT = 1.0, 0.02

OPTIONS = program.Flags(positional="INPUT ...", weights=True)
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
    detector = _open("float32")
    exact, noisy = detector.predict(paths), detector.predict(_with_noise(paths))
    rounded = _open("bfloat16").predict(paths)
    detector = _open("bfloat16")
    output = detector.detection_output
    output.nms_iou, output.soft_nms, output.max_detections = 1.0, "none", 1000
    limits = (values.score_threshold, values.reach)
    lines = compare(exact, rounded, *limits)
    lines.append(near_ties(exact, rounded, detector.predict(paths), *limits))
    for row in compare(exact, noisy, *limits)[1:]:
        row.name = f"one grey level: {row.name}"
        lines.append(row)
    settings = {"images": len(paths), "score above": values.score_threshold, "reach": values.reach}
    measuring.report("precision", lines, settings, values.json)


def _open(precision: str) -> Any:
    OPTIONS.values.precision = precision
    detector, _ = program.open_detector(OPTIONS)
    return detector


def _with_noise(paths: Sequence[Any]) -> Iterator[np.ndarray]:
    """The images, changed at random by -1, 0 or 1 in every value."""
    from cascade_tf.image_files import read_image

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
        Row("boxes differ by, median", _quantile(pixels, 0.5), "pixels", high=_quantile(pixels, 1), low=0.0),
        Row("boxes within 1 pixel", 100 * float(np.mean(pairs[:, 0] <= BOX_LIMIT)), "%"),
        Row("scores differ by, median", _quantile(scores, 0.5), "", high=_quantile(scores, 1), low=0.0),
        Row("scores within 0.02", 100 * float(np.mean(pairs[:, 1] <= SCORE_LIMIT)), "%"),
    ]


def near_ties(
    exact: Sequence[ImageDetections],
    rounded: Sequence[ImageDetections],
    candidates: Sequence[ImageDetections],
    threshold: float,
    reach: float,
) -> Row:
    """How many detections differ although the same box was among the candidates, with the same score.

    Args:
        exact: see ``compare``, with ``rounded``, ``threshold`` and ``reach``.
        rounded: see there.
        candidates: what ``rounded`` were chosen from.
        threshold: see there.
        reach: see there.

    Returns:
        Their number, and as ``high`` that of all that differ.
    """
    differ = ~_close(_pairs(exact, rounded, threshold, reach))
    found = _close(_pairs(exact, candidates, threshold, reach))
    name = "differ by the suppression's choice alone, of all that differ"
    return Row(name, int(np.sum(differ & found)), "", low=0.0, high=int(np.sum(differ)))


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


def _quantile(values: Any, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else 0.0


if __name__ == "__main__":
    sys.exit(main())
