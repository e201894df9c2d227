"""torch's checkpoint files, zip archives and the older streams, without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cascade_tf.weights.files.raw_arrays import CopyBudget, shown
from cascade_tf.weights.files.restricted_pickle import finished, run_pickle
from cascade_tf.weights.files.torch_tensors import TORCH_GLOBALS, Storage, parsed_identity
from cascade_tf.weights.files.zip_records import ZipRecords

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def is_legacy_torch(start: bytes) -> bool:
    """Whether a file begins with the pickled number of torch's streams before version 1.6."""
    return _MAGIC_NUMBER.to_bytes(10, "little") in start[:24]


def read_torch_zip(records: ZipRecords) -> Any:
    """Returns what ``torch.save`` of version 1.6 or later saved.

    Args:
        records: of the archive.

    Returns:
        As of ``read_pickle``; tensors and parameters are read-only arrays, viewed in place.

    Raises:
        ValueError: as of ``read_pickle``, and for storages that are missing or too short and tensors that
            reach beyond theirs.
    """
    found = [name for name in records.records if name.endswith("/data.pkl")]
    if len(found) != 1:
        raise ValueError(f"the archive has {len(found)} records named data.pkl, expected one")
    prefix = found[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in records.records:
        raise ValueError("is a TorchScript program, expected a state_dict saved with torch.save")
    budget = CopyBudget(len(records.content))
    load = _zip_storages(records, prefix, _byteorder(records, f"{prefix}byteorder"))
    return finished(run_pickle(records.read(found[0]), budget, 0, TORCH_GLOBALS, load).run())


def _byteorder(records: ZipRecords, name: str) -> str:
    order = bytes(records.read(name)).strip() if name in records.records else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"the record {shown(name)} says {shown(order)}, expected little or big")
    return "<" if order == b"little" else ">"


def _zip_storages(records: ZipRecords, prefix: str, byteorder: str) -> Callable[[Any], Storage]:
    read: dict[str, memoryview] = {}

    def load(identity: Any) -> Storage:
        kind, key, count, _ = parsed_identity(identity)
        name = f"{prefix}data/{key}"
        if name not in records.records:
            raise ValueError(f"the storage {shown(name)} is missing in the archive")
        if name not in read:
            read[name] = records.read(name)
        storage = Storage(kind, count, byteorder)
        storage.fill(read[name], f"the storage {shown(name)}")
        return storage

    return load


def read_torch_legacy(content: memoryview) -> Any:
    """Returns what ``torch.save`` before version 1.6 saved, or later with the new format switched off.

    mmdetection still publishes its models this way: five pickles, then each storage behind its length.

    Args:
        content: the whole file.

    Returns:
        As of ``read_torch_zip``.

    Raises:
        ValueError: as of ``read_torch_zip``.
    """
    budget = CopyBudget(len(content))
    storages: dict[str, Storage] = {}
    position = 0

    def unpickle(load: Callable[[Any], Any] | None = None) -> Any:
        nonlocal position
        machine = run_pickle(content, budget, position, TORCH_GLOBALS, load)
        value = machine.run()
        position = machine.position
        return value

    header = unpickle(), unpickle()
    if header != (_MAGIC_NUMBER, _PROTOCOL):
        raise ValueError(f"begins with {shown(header)}, expected torch's number and protocol {_PROTOCOL}")
    system = unpickle()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("was written on a big-endian machine, which is not supported")
    value = unpickle(_stream_storages(storages))
    _fill(storages, unpickle(), content, position)
    return finished(value)


def _stream_storages(storages: dict[str, Storage]) -> Callable[[Any], Storage]:
    def load(identity: Any) -> Storage:
        kind, key, count, window = parsed_identity(identity)
        storage = storages.setdefault(key, Storage(kind, count))
        if (storage.kind, storage.num_elements) != (kind, count):
            raise ValueError(f"the storage {shown(key)} is described in two ways")
        if window is None:
            return storage
        if not isinstance(window, tuple) or len(window) != 3:
            raise ValueError(f"a part of a storage described by {shown(window)}")
        return storage.part(*window[1:])

    return load


def _fill(storages: dict[str, Storage], keys: Any, content: memoryview, position: int) -> None:
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ValueError("the list of storages does not fit the tensors")
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(content[position : position + 8], "little", signed=True)
        if len(content) - position < 8 or count != storage.num_elements:
            raise ValueError(
                f"truncated or broken: the storage {shown(key)} should begin at byte {position} "
                f"with its length {storage.num_elements}"
            )
        storage.fill(content[position + 8 :], f"the storage {shown(key)}")
        position += 8 + storage.num_bytes
