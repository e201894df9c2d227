"""Data sets written as TFRecord shards: pictures as they are, and all that the data set says of them.

The shards have `cascade_tf.data.shards.layout`. They can lie on any path that TensorFlow writes to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.coco_format.numbers import as_integer
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Example
from cascade_tf.data.picture_files import HEAD_BYTES, is_core_format
from cascade_tf.data.shards.layout import PLACE, SUMMARY, Summary, shard_name, summary_text
from cascade_tf.data.shards.locations import picture_size, read_picture
from cascade_tf.data.shards.storage import file_size, read_file, remove_file, storage_path, write_file

SHARD_BYTES = 256 << 20
"""How many bytes of pictures a shard has: enough to read at the speed of a disk, few enough to share out."""

# A record has its length and that number's checksum before it, and its own checksum behind.
_BEFORE, _BEHIND = 12, 4


class _Image(NamedTuple):
    """An image with its records as the data set has them."""

    example: Example
    record: dict[str, Any]
    annotations: list[Any]


class _Shard(NamedTuple):
    """A shard to write.

    Attributes:
        name: of its file.
        images: in it.
        plan: a digest of all that decides its content.
    """

    name: str
    images: Sequence[_Image]
    plan: str


class Written(NamedTuple):
    """What was written.

    Attributes:
        shards: how many shards there are.
        kept: how many of them lay there already, from a run before.
    """

    shards: int
    kept: int


def write_tfrecords(
    splits: Mapping[str, CocoDataset],
    folder: str | os.PathLike[str],
    *,
    shard_bytes: int = SHARD_BYTES,
    threads: int = 4,
    progress: Callable[[int], object] = lambda count: None,
) -> Written:
    """Writes splits as shards.

    A shard appears under its name when it is whole, and a split's own file when all of its shards are. The
    same call again keeps the shards that are there and goes on: those with the same records and pictures of
    the same sizes.

    Args:
        splits: the data sets by the names of their splits. They are read again as they are now with the same
            settings: their records are written as the data set has them, not as they were understood.
        folder: where to.
        shard_bytes: bytes of pictures after which the next shard begins.
        threads: shards that are written at a time.
        progress: called with the number of images that were written, or found there, since its last call.

    Raises:
        ValueError: a data set was made up and has no records.
        OSError: a picture cannot be read, or the folder cannot be written to.
    """
    target = storage_path(folder)
    tf.io.gfile.makedirs(target)
    count = kept = 0
    for split, dataset in splits.items():
        images, categories = _records(dataset)
        shards = _planned(split, images, shard_bytes)
        summary = summary_text(Summary(dataset.labelled, categories, [shard.name for shard in shards]))
        found = [_is_there(target, shard) for shard in shards]
        if not all(found):
            remove_file(f"{target}/{split}{SUMMARY}")
        missing = [shard for shard, there in zip(shards, found, strict=True) if not there]
        progress(len(images) - sum(len(shard.images) for shard in missing))
        with ThreadPoolExecutor(threads, thread_name_prefix="write_tfrecords") as pool:
            tasks = [pool.submit(_write, target, shard, dataset.class_names, progress) for shard in missing]
            try:
                for task in tasks:
                    task.result()
            finally:
                pool.shutdown(cancel_futures=True)
        write_file(f"{target}/{split}{SUMMARY}", summary)
        count, kept = count + len(shards), kept + sum(found)
    return Written(count, kept)


def _records(dataset: CocoDataset) -> tuple[list[_Image], list[Any]]:
    """The images in the data set's order, and the categories."""
    if dataset.source is None:
        raise ValueError("the data set was not read from files, expected one with annotations there")
    content = dataset.source.content(BrokenRecords(dataset.source.name, skip_broken=True))
    images: dict[int | None, dict] = {}
    for record in content["images"]:
        images.setdefault(_integer(record, "id"), record)
    annotations: dict[int | None, list] = defaultdict(list)
    for record in content["annotations"]:
        annotations[_integer(record, "image_id")].append(record)
    return [
        _Image(
            example,
            {**images[example.image_id], "width": example.width, "height": example.height},
            annotations[example.image_id],
        )
        for example in dataset.examples
    ], content["categories"]


def _integer(record: Any, key: str) -> int | None:
    return as_integer(record.get(key)) if isinstance(record, dict) else None


def _planned(split: str, images: Sequence[_Image], shard_bytes: int) -> list[_Shard]:
    """Cuts the images into shards in their order, so that whoever reads all reads shard after shard."""
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(lambda image: picture_size(image.example.path), images, chunksize=256))
    groups: list[list[int]] = []
    filled = shard_bytes
    for number, size in enumerate(sizes):
        if filled >= shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(number)
        filled += size
    shards = []
    for number, group in enumerate(groups):
        chosen = [images[one] for one in group]
        digest = hashlib.blake2b(digest_size=16)
        for one, image in zip(group, chosen, strict=True):
            digest.update(json.dumps([sizes[one], image.record, image.annotations]).encode())
        shards.append(_Shard(shard_name(split, number, len(groups)), chosen, digest.hexdigest()))
    return shards


def _is_there(folder: str, shard: _Shard) -> bool:
    """Whether an earlier run has written a shard to its end."""
    path = f"{folder}/{shard.name}"
    try:
        found = json.loads(read_file(f"{path}.json"))
        return found["plan"] == shard.plan and found["bytes"] == file_size(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(folder: str, shard: _Shard, class_names: Sequence[str], progress: Callable[[int], object]) -> None:
    path = f"{folder}/{shard.name}"
    temporary = f"{path}.tmp"
    position, images = 0, []
    try:
        with tf.io.TFRecordWriter(temporary) as writer:
            for image in shard.images:
                content = read_picture(image.example.path)
                record = _example(image, content, class_names).SerializeToString()
                writer.write(record)
                offset = position + _BEFORE + record.index(content)
                images.append({**image.record, PLACE: _place(shard.name, content, offset)})
                position += _BEFORE + len(record) + _BEHIND
                progress(1)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException as error:
        remove_file(temporary)
        if isinstance(error, tf.errors.OpError):
            raise OSError(f"{path}: cannot be written ({error.message})") from None
        raise
    annotations = [record for image in shard.images for record in image.annotations]
    found = {"plan": shard.plan, "bytes": position, "images": images, "annotations": annotations}
    write_file(f"{path}.json", json.dumps(found) + "\n")


def _place(shard: str, content: bytes, offset: int) -> dict[str, Any]:
    decoder = "tensorflow" if is_core_format(content[:HEAD_BYTES]) else "pillow"
    return {"shard": shard, "offset": offset, "length": len(content), "decoder": decoder}


def _example(image: _Image, content: bytes, class_names: Sequence[str]) -> tf.train.Example:
    """An image under the names that TensorFlow's detection tools have, with its records as text beside.

    Boxes are fractions of the sides, classes count from 1; crowds of no class have the class 0.
    """
    example = image.example
    scaled = example.boxes / [example.width, example.height, example.width, example.height]
    texts = [class_names[number - 1].encode() if number else b"" for number in example.classes]
    features = {
        "image/encoded": _bytes([content]),
        "image/filename": _bytes([os.fsencode(str(image.record.get("file_name", "")))]),
        "image/source_id": _bytes([str(example.image_id).encode()]),
        "image/height": _integers([example.height]),
        "image/width": _integers([example.width]),
        **{
            f"image/object/bbox/{name}": _floats(scaled[:, column])
            for column, name in enumerate(("xmin", "ymin", "xmax", "ymax"))
        },
        "image/object/class/label": _integers(example.classes),
        "image/object/class/text": _bytes(texts),
        "image/object/is_crowd": _integers(example.crowd),
        "image/object/is_ignored": _integers(example.ignored),
        "image/record": _bytes([json.dumps(image.record).encode()]),
        "image/annotations": _bytes([json.dumps(image.annotations).encode()]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _bytes(values: Sequence[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _integers(values: Any) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values: Any) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
