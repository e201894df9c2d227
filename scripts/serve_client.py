"""Sends images to a TensorFlow model server that serves an export, and draws what comes back.

Inputs are image files, folders and patterns such as "photos/*.jpg". The server is an address for gRPC, which
needs grpcio and tensorflow-serving-api, or a URL for REST. The pictures and one detections.json go to
--output. With --requests the same images are sent so many times by --clients at once, and requests per second
and the time until the answer are printed. The exit status is 1 where an image or a request was refused.

    python scripts/serve_client.py --server localhost:8500 --output found photos
    python scripts/serve_client.py --server http://localhost:8501 --labels labels.json --output found photos
    python scripts/serve_client.py --server localhost:8500 --requests 200 --clients 4 photos
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import program

from cascade_tf.files import write_atomically
from cascade_tf.wording import count_of

if TYPE_CHECKING:
    import numpy as np

    from cascade_tf.serving.client import Client

OPTIONS = program.Flags(positional="INPUT ...", of_runs=False, settings=False)
OPTIONS.string("server", "localhost:8500", "Host and port for gRPC, or http://host:port for REST.", "ADDRESS")
OPTIONS.string("model", "detector", "Name of the model on the server.")
OPTIONS.string("labels", None, "The export's assets/labels.json; without it classes are numbers.", "FILE")
OPTIONS.string("output", None, "Folder for the pictures and detections.json.", "DIR")
OPTIONS.number("score_threshold", 0.5, "Detections need a higher score.", lower=0.0, upper=1.0)
OPTIONS.number("timeout", 60.0, "Seconds until a request fails.", lower=0.001, upper=86400.0)
OPTIONS.integer("requests", 0, "Measures so many requests, in place of drawing.", lower=0)
OPTIONS.integer("clients", 1, "Clients that send at once while requests are measured.", lower=1)
OPTIONS.integer("batch_size", 1, "Images in a request while requests are measured.", lower=1)
OPTIONS.string("json", None, "Writes what was measured to this file, too.", "FILE")


class Found(NamedTuple):
    """An image's detections above the threshold, in pixels (x1, y1, x2, y2) of the picture."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    category_ids: np.ndarray


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(serve_client, OPTIONS, __doc__, argv)


def serve_client(arguments: Sequence[str]) -> int:
    """Draws what the server finds in the inputs, or measures it."""
    from cascade_tf.prediction.image_lists import find_images

    paths = list(dict.fromkeys(path for name in arguments for path in find_images(name).paths))
    if not paths:
        raise ValueError(f"got no images in {len(arguments)} inputs, expected files, folders or patterns")
    if OPTIONS.values.requests:
        return measure(paths)
    with contextlib.closing(_connect()) as client:
        return draw(client, paths)


def _connect() -> Client:
    from cascade_tf.serving.client import connect

    values = OPTIONS.values
    try:
        return connect(values.server, values.model, values.timeout)
    except ImportError as error:
        raise ValueError(
            f"server {values.server}: gRPC needs the packages grpcio and tensorflow-serving-api "
            f"({error}); a URL such as http://localhost:8501 needs neither"
        ) from None


def draw(client: Client, paths: Sequence[Path]) -> int:
    """Sends one image after the other; writes their pictures and detections.json."""
    from PIL import Image

    from cascade_tf.prediction.image_files import read_image
    from cascade_tf.visualization import draw_detections

    folder = program.writable_folder(OPTIONS.need("output"), "output folder")
    names, upright = _labels()
    content: list[dict[str, Any]] = []
    refused = 0
    with program.progress_bar(len(paths), "asking the server", "image") as bar:
        for number, path in enumerate(paths):
            try:
                data = path.read_bytes()
                found = found_in(client.predict([data]), OPTIONS.values.score_threshold)
                picture = read_image(data, upright=upright)
            except (OSError, ValueError) as error:  # of a file, of the server
                program.warn(str(error) if str(path) in str(error) else f"{path}: {error}")
                refused += 1
                bar.update(1)
                continue
            shown = [names.get(int(number), f"category {number}") for number in found.category_ids]
            drawn = draw_detections(picture, found.boxes, found.scores, shown, found.classes)
            Image.fromarray(drawn).save(folder / f"{number:04}_{path.stem}.jpg", quality=92)
            content.append({"file_name": str(path), "detections": _as_json(found, shown)})
            bar.update(1)
    write_atomically(folder / "detections.json", json.dumps(content, indent=1) + "\n")
    total = sum(len(entry["detections"]) for entry in content)
    print(
        f"{count_of(total, 'detection', 'detections')} in {count_of(len(content), 'image', 'images')}, "
        f"{refused:,} refused. The results lie in {folder}."
    )
    return 1 if refused else 0


def found_in(outputs: dict[str, np.ndarray], score_threshold: float) -> Found:
    """The detections of the first image of an answer.

    Raises:
        ValueError: the server could not decode the image, or the model is no detector's export.
    """
    import numpy as np

    if "status" in outputs and np.any(outputs["status"]):
        raise ValueError("the server cannot decode it")
    try:
        count = int(outputs["num_detections"][0])
        scores = outputs["detection_scores"][0][:count]
        kept = scores > score_threshold
        scores = scores[kept]
        boxes, classes, ids = (
            outputs[name][0][:count][kept]
            for name in ("detection_boxes_pixels", "detection_classes", "detection_category_ids")
        )
        boxes = boxes.reshape(len(scores), 4)[:, [1, 0, 3, 2]]
        if not np.isfinite(boxes).all():
            raise ValueError("boxes are not finite")
        return Found(boxes, scores, classes.astype(int), ids.astype(int))
    except KeyError as error:
        got = ", ".join(sorted(outputs))
        raise ValueError(f"the answer has no {error}, but {got}: no export of this package") from None
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the answer's arrays are none of an export of this package ({error})") from None


def _as_json(found: Found, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"category_id": int(number), "name": name, "score": float(score), "box": [float(c) for c in box]}
        for number, name, score, box in zip(found.category_ids, names, found.scores, found.boxes, strict=True)
    ]


def _labels() -> tuple[dict[int, str], bool]:
    """Names by category id, and whether the model turns photos upright."""
    if not OPTIONS.values.labels:
        return {}, True
    from cascade_tf.serving.serving_files import read_labels

    names, ids, upright = read_labels(Path(OPTIONS.values.labels))
    return dict(zip(ids, names, strict=True)), upright


def measure(paths: Sequence[Path]) -> int:
    """Sends the images in turn until there were enough requests; prints how long they took."""
    from cascade_tf.serving.client import measure_load

    values = OPTIONS.values
    contents = itertools.cycle([path.read_bytes() for path in paths])
    batches = [list(itertools.islice(contents, values.batch_size)) for _ in range(values.requests)]
    with program.progress_bar(values.requests, "asking the server", "request") as bar:
        load = measure_load(_connect, batches, values.clients, bar.update)
    numbers = {
        "clients": values.clients,
        "batch_size": values.batch_size,
        "answered": len(load.seconds),
        "refused": sum(load.failures.values()),
        "requests_per_second": load.throughput,
        "p50_seconds": load.percentile(50),
        "p99_seconds": load.percentile(99),
    }
    for message, count in load.failures.items():
        program.warn(f"{count} times: {message}")
    print("\n".join(f"{name:20} {value:.6g}" for name, value in numbers.items()))
    if values.json:
        write_atomically(Path(values.json), json.dumps(numbers, indent=1) + "\n")
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
