"""An exported detector on pictures of which some may be broken."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.bulk.pictures import Picture
from cascade_tf.data.shards.storage import is_remote, storage_path


@dataclass(frozen=True)
class Outcome:
    """What became of a picture.

    Attributes:
        name: of the picture.
        image_id: likewise.
        height: pixels; 0 where it cannot be read.
        width: likewise.
        results: what was found, in COCO's form of results.
        names: the classes' names, one for each of ``results``.
        failure: why there is nothing; empty: there is something, or nothing was found.
    """

    name: str
    image_id: int
    height: int = 0
    width: int = 0
    results: tuple[dict[str, Any], ...] = ()
    names: tuple[str, ...] = ()
    failure: str = ""


class Predictor:
    """A SavedModel that ``export_saved_model`` wrote.

    Args:
        model: its folder, a version or that of all versions; it may lie wherever TensorFlow reads.
        score_threshold: detections need a higher score.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is no export of this package.
    """

    def __init__(self, model: str, score_threshold: float) -> None:
        from cascade_tf.experiment.loading import load

        self._score_threshold = score_threshold
        path = storage_path(model)
        if is_remote(path):
            with tempfile.TemporaryDirectory() as folder:
                _copy(path, folder)
                self._detector = load(folder)
        else:
            self._detector = load(path)

    def predict(self, pictures: Sequence[Picture]) -> list[Outcome]:
        """Detects in pictures, those of one size together.

        Args:
            pictures: broken ones among them.

        Returns:
            One outcome for each, in their order.
        """
        from cascade_tf.prediction.inference import read_image

        outcomes: dict[int, Outcome] = {}
        images: dict[int, Any] = {}
        for position, picture in enumerate(pictures):
            failure = picture.failure
            try:
                if not failure:
                    images[position] = read_image(picture.content, upright=self._detector.upright)
            except (ValueError, TypeError, OSError) as error:
                failure = str(error).removeprefix("image bytes: ")
            if failure:
                outcomes[position] = Outcome(picture.name, picture.image_id, failure=failure)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for position, image in images.items():
            by_size.setdefault(image.shape, []).append(position)
        for positions in by_size.values():
            found = self._detector.predict(
                [images[position] for position in positions],
                batch_size=len(positions),
                score_threshold=self._score_threshold,
            )
            for position, record in zip(positions, found, strict=True):
                outcomes[position] = _outcome(pictures[position], record)
        return [outcomes[position] for position in range(len(pictures))]


def _outcome(picture: Picture, record: Any) -> Outcome:
    record = record.encode() if record.has_masks else record
    height, width = record.size
    results = record._replace(image_id=picture.image_id).to_coco()
    return Outcome(
        picture.name, picture.image_id, int(height), int(width), tuple(results), tuple(record.names)
    )


def _copy(source: str, target: str) -> None:
    """Copies a folder from wherever TensorFlow reads to the disk."""
    import tensorflow as tf

    if not tf.io.gfile.isdir(source):
        raise FileNotFoundError(f"model {source}: got no such folder")
    for folder, _, names in tf.io.gfile.walk(source):
        place = Path(target) / os.path.relpath(folder, source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(f"{folder.rstrip('/')}/{name}", str(place / name))
