"""The files of one shard of the results, as bytes.

```
results-00003-of-00016.json        a list in COCO's form of results; written last: the shard is complete
detections-00003-of-00016.parquet  the same as columns, with the pictures' and the classes' names
images-00003-of-00016.parquet      every picture that could be read: its id and size, how much was found
failures-00003-of-00016.jsonl      a line for each picture that could not, and why
```
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cascade_tf.bulk.predictor import Outcome

RESULTS = "results"
"""The first part of the name of the file that is written last."""
IMAGES = "images"
"""The same of the list of the pictures that could be read."""

_DETECTIONS = {
    **{"image_id": "int64", "file_name": "string", "category_id": "int64", "name": "string"},
    **{"score": "float32", "x1": "float32", "y1": "float32", "x2": "float32", "y2": "float32"},
    "segmentation": "string",
}
_IMAGES = {
    **{"image_id": "int64", "file_name": "string", "height": "int64", "width": "int64"},
    "detections": "int64",
}


def shard_file(kind: str, number: int, count: int) -> str:
    """The name of a file.

    >>> shard_file("results", 3, 16)
    'results-00003-of-00016.json'
    """
    suffix = {RESULTS: "json", "failures": "jsonl"}.get(kind, "parquet")
    return f"{kind}-{number:05d}-of-{count:05d}.{suffix}"


def finished_shards(names: Iterable[str], count: int) -> set[int]:
    """The shards that are complete.

    Args:
        names: of the files in the folder of the results.
        count: of shards; files of another number of shards are not looked at.
    """
    found = (re.fullmatch(rf"{RESULTS}-(\d+)-of-{count:05d}\.json", name) for name in names)
    return {int(match[1]) for match in found if match}


def shard_content(outcomes: Iterable[Outcome], number: int, count: int) -> dict[str, bytes]:
    """The files of a shard by their names, in the order in which they are to be written.

    Args:
        outcomes: in any order; the files have them by their names, so that they do not depend on it. A
            picture that comes twice, as two patterns fit it, counts once.
        number: of the shard.
        count: of shards.
    """
    once = {(outcome.name, outcome.image_id): outcome for outcome in outcomes}
    ordered = [once[key] for key in sorted(once)]
    read = [outcome for outcome in ordered if not outcome.failure]
    lines = [
        json.dumps({"file_name": one.name, "image_id": one.image_id, "failure": one.failure}) + "\n"
        for one in ordered
        if one.failure
    ]
    results = [result for outcome in read for result in outcome.results]
    contents = {
        "detections": _parquet(_detections(read), _DETECTIONS),
        IMAGES: _parquet(_images(read), _IMAGES),
        "failures": "".join(lines).encode(),
        RESULTS: (json.dumps(results) + "\n").encode(),
    }
    return {shard_file(kind, number, count): content for kind, content in contents.items()}


def row_count(content: bytes) -> int:
    """The number of rows in a Parquet file."""
    from pyarrow import parquet

    return int(parquet.read_metadata(io.BytesIO(content)).num_rows)


def _detections(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    rows = []
    for outcome in outcomes:
        for name, result in zip(outcome.names, outcome.results, strict=True):
            x, y, width, height = result["bbox"]
            mask = result.get("segmentation")
            rows.append(
                {
                    "image_id": outcome.image_id,
                    "file_name": outcome.name,
                    "category_id": result["category_id"],
                    "name": name,
                    "score": result["score"],
                    **{"x1": x, "y1": y, "x2": x + width, "y2": y + height},
                    "segmentation": None if mask is None else json.dumps(mask),
                }
            )
    return rows


def _images(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": outcome.image_id,
            "file_name": outcome.name,
            "height": outcome.height,
            "width": outcome.width,
            "detections": len(outcome.results),
        }
        for outcome in outcomes
    ]


def _parquet(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()])
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)
    return file.getvalue()
