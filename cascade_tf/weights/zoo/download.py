"""The cache of downloaded checkpoints: fetched once, checked before every use."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from cascade_tf.ops import build
from cascade_tf.weights.zoo.addresses import DownloadError
from cascade_tf.weights.zoo.catalog_entry import CatalogEntry
from cascade_tf.weights.zoo.digests import check_file
from cascade_tf.weights.zoo.file_lock import locked
from cascade_tf.weights.zoo.part_file import PartFile
from cascade_tf.weights.zoo.transfer import transfer


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where downloads are kept: ``cache_dir``, else ``$CASCADE_TF_CACHE``, else the user's cache.

    The last is ``$XDG_CACHE_HOME/cascade_tf/weights``, or ``~/.cache/cascade_tf/weights``.

    Args:
        cache_dir: a folder; it need not exist.
    """
    chosen = cache_dir or os.environ.get("CASCADE_TF_CACHE")
    return Path(chosen).expanduser() if chosen else build.cache_folder() / "weights"


def cached_path(entry: CatalogEntry, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where the file of an entry lies, or will lie: ``CACHE/PUBLISHER/MODEL/FILE``."""
    return cache_folder(cache_dir) / entry.name / entry.file_name


def fetch(
    entry: CatalogEntry,
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
    allow_http: bool = False,
    timeout: float = 30.0,
    attempts: int = 4,
    wait: float = 0.5,
) -> Path:
    """Returns the file of a catalogue's entry, downloading it if it is not in the cache.

    Size and digest are checked in both cases. A file that the user has put there is as good as a download.
    Processes that want the same file at the same time wait for the first one. An interrupted download goes on
    with the next call, except where there are no file locks: there it begins anew.

    Args:
        entry: what to fetch.
        cache_dir: folder of the cache; see ``cache_folder``.
        progress: shows a bar where stderr is a terminal.
        allow_http: allows an address without encryption; only for servers of one's own.
        timeout: seconds without an answer or a byte after which an attempt has failed.
        attempts: how often a server that does not answer, fails or breaks off is asked.
        wait: seconds before the second attempt; doubled before each further one.

    Raises:
        DownloadError: the file is not there and cannot be fetched; the message says what to put where.
        ValueError: the file is not the one that the catalogue describes. What was downloaded is deleted, what
            was in the cache before is left.
    """
    path = cached_path(entry, cache_dir)
    record = path.with_name(f"{path.name}.sha256")
    options = {
        "allow_http": allow_http, "progress": progress, "timeout": timeout, "attempts": attempts, "wait": wait
    }  # fmt: skip
    if not path.is_file():
        _make_folder(path.parent, entry)
        with locked(path.with_name(f"{path.name}.lock")) as alone:
            if not path.is_file():
                return _download(entry, path, record, alone, options)
    try:
        check_file(path, entry, record)
    except ValueError as error:
        raise ValueError(f"{entry.name}: {error}. Delete {path} to download it again") from None
    return path


def _make_folder(folder: Path, entry: CatalogEntry) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{entry.name} has no place: the folder {folder} cannot be made ({error.strerror or error}); set "
            "CASCADE_TF_CACHE to a folder that can be written"
        ) from None


def _download(entry: CatalogEntry, path: Path, record: Path, alone: bool, options: dict[str, Any]) -> Path:
    # Two that write without a lock must not share a part.
    unique = "" if alone else f".{os.getpid()}-{threading.get_ident()}"
    part = PartFile(path.with_name(f"{path.name}{unique}.part"), entry.url)
    try:
        _fetch(part, entry, path, record, options)
    except DownloadError as error:
        arrived = part.state()[0] if alone else 0
        raise DownloadError(_remedy(entry, path, arrived, str(error))) from None
    finally:
        # No other call would find a part of its own name again.
        if not alone:
            part.discard()
    return path


def _fetch(part: PartFile, entry: CatalogEntry, path: Path, record: Path, options: dict[str, Any]) -> None:
    transfer(part, size=entry.size, **options)
    try:
        check_file(part.path, entry, record)
    except ValueError as error:
        part.discard()
        raise ValueError(
            f"{entry.name}: {entry.url} does not send what was published: {error}. The download was deleted. "
            "A file that you trust can be loaded by its path"
        ) from None
    os.replace(part.path, path)
    part.discard()


def _remedy(entry: CatalogEntry, path: Path, arrived: int, reason: str) -> str:
    text = f"{entry.name} cannot be downloaded from {entry.url}: {reason}. "
    if arrived:
        text += f"{arrived} bytes have arrived and are kept; the next call goes on from there. "
    return text + f"Without a connection, put the file at {path}; the next call finds it there"
