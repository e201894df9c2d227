"""The files of a data set in shards.

```
train-00000-of-00002.tfrecord        a tf.train.Example for each image: its picture as it was, its records
train-00000-of-00002.tfrecord.json   the records of that shard, and where in it each picture lies
train.tfrecords.json                 the classes, and which shards there are: written last
```

The JSON files repeat what is in the shards. Whoever opens the data set reads them and no picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from cascade_tf.data.shards.locations import DECODERS, Location
from cascade_tf.data.shards.storage import file_size, names_in, read_file

VERSION = 1
SUMMARY = ".tfrecords.json"
PLACE = "tfrecord"
"""The field of an image's record that says where its picture lies."""

# Bytes that TensorFlow can count.
_LONGEST = 2**63


class Summary(NamedTuple):
    """What the file of a split says.

    Attributes:
        labelled: whether there are annotations.
        categories: records in COCO's form.
        shards: names of the shards, in the order of the images.
    """

    labelled: bool
    categories: list[dict[str, Any]]
    shards: list[str]


def shard_name(split: str, number: int, count: int) -> str:
    """The name of a shard.

    >>> shard_name("train", 3, 10)
    'train-00003-of-00010.tfrecord'
    """
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def splits_in(folder: str) -> list[str]:
    """The splits that are complete in a folder; none where it is no folder of shards."""
    return [name.removesuffix(SUMMARY) for name in names_in(folder, f"*{SUMMARY}")]


def read_summary(folder: str, split: str) -> Summary:
    """Reads the file of a split.

    Raises:
        FileNotFoundError: there is none: the split is not there, or was not written to its end.
        ValueError: it is none of ours.
    """
    path = f"{folder}/{split}{SUMMARY}"
    content = _read_json(path)
    if content.get("version") != VERSION:
        raise ValueError(f"{path}: version is {content.get('version')!r}, expected {VERSION}")
    try:
        summary = Summary(bool(content["labelled"]), list(content["categories"]), list(content["shards"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: lacks {error}, expected labelled, categories and shards") from None
    for name in summary.shards:
        if not _is_plain(name):
            raise ValueError(f"{path}: shards has {name!r}, expected names of files in the same folder")
    return summary


def summary_text(summary: Summary) -> str:
    """The content of a split's file."""
    return json.dumps({"version": VERSION, **summary._asdict()}) + "\n"


def records_of(folder: str, summary: Summary) -> Iterator[dict[str, list]]:
    """The records of each shard in turn: ``images`` and ``annotations``.

    Raises:
        FileNotFoundError: a shard or its records are missing.
        ValueError: its records are none, or the shard is not as long as they say.
    """
    for name in summary.shards:
        path = f"{folder}/{name}"
        content = _read_json(f"{path}.json")
        size = file_size(path)
        if size != content.get("bytes"):
            raise ValueError(f"{path}: has {size} bytes, expected {content.get('bytes')} as its records say")
        try:
            yield {key: content[key] for key in ("images", "annotations")}
        except KeyError as error:
            raise ValueError(f"{path}.json: lacks {error}, expected images and annotations") from None


def location_of(folder: str, record: Any) -> Location | None:
    """Where the picture of an image's record lies; None: the record does not say it."""
    try:
        place = record[PLACE]
        location = Location(
            f"{folder}/{place['shard']}",
            int(place["offset"]),
            int(place["length"]),
            place["decoder"],
            str(record["file_name"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    in_range = 0 <= location.offset < _LONGEST and 0 <= location.length < _LONGEST
    return location if in_range and location.decoder in DECODERS and _is_plain(place["shard"]) else None


def _is_plain(name: Any) -> bool:
    """Whether a name is that of a file, and leads to no other folder."""
    return isinstance(name, str) and not {"/", "\\"} & set(name)


def _read_json(path: str) -> dict[str, Any]:
    try:
        content = json.loads(read_file(path))
    except ValueError:
        raise ValueError(f"{path}: is not JSON, expected the file that prepare_data.py writes") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is {type(content).__name__}, expected a JSON object")
    return content
