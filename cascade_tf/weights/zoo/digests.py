"""Whether a file is the published one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from absl import logging

from cascade_tf.files import write_atomically
from cascade_tf.weights.zoo.catalog_entry import CatalogEntry


def check_file(path: Path, entry: CatalogEntry, record: Path) -> None:
    """Checks a file against the catalogue, and against the digest that was recorded when it first arrived.

    Where the catalogue has no whole SHA-256, the first file that matches what it has is recorded in
    ``record``, and every later one has to be the same.

    Args:
        path: the file.
        entry: what is known of it.
        record: file in the format of ``sha256sum``; written where it is needed and absent.

    Raises:
        ValueError: size or digest differ; the message gives both.
    """
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise ValueError(f"{path} has {size} bytes, expected {entry.size}{_doubt(entry)}")
    digest = digest_of(path, "sha256")
    if entry.sha256 is not None:
        _compare(path, "SHA-256", digest, entry.sha256, _doubt(entry))
        return
    recorded = _read_record(record)
    if recorded is not None:
        hint = f", as {record} says of an earlier download; delete that file if the change is expected"
        _compare(path, "SHA-256", digest, recorded, hint)
        return
    _check_prefix(path, entry, digest)
    _write_record(record, digest, entry)


def digest_of(path: Path, algorithm: str) -> str:
    """The digest of a file in hexadecimal.

    Args:
        path: file to read.
        algorithm: name in ``hashlib``.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        # MD5 is what one zoo publishes; where it must not serve for security it may still find broken files.
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _check_prefix(path: Path, entry: CatalogEntry, sha256: str) -> None:
    if entry.digest_prefix is None:
        return
    algorithm, digits = entry.digest_prefix
    digest = sha256 if algorithm == "sha256" else digest_of(path, algorithm)
    _compare(path, algorithm.upper().replace("SHA", "SHA-"), digest, digits, _doubt(entry))


def _compare(path: Path, algorithm: str, digest: str, expected: str, hint: str) -> None:
    if not digest.startswith(expected):
        beginning = "" if len(expected) == len(digest) else " at the beginning"
        raise ValueError(f"{path} has the {algorithm} {digest}, expected {expected}{beginning}{hint}")


def _doubt(entry: CatalogEntry) -> str:
    if entry.verified:
        return ""
    return f" (from {entry.cited}; nobody has tried it, so the mistake may be the catalogue's)"


def _read_record(record: Path) -> str | None:
    try:
        found = re.match(r"([0-9a-f]{64})\s", record.read_text("utf-8"))
    except FileNotFoundError:
        return None
    if not found:
        raise ValueError(f"{record}: expected a SHA-256 and a file name; delete the file to record it anew")
    return found[1]


def _write_record(record: Path, digest: str, entry: CatalogEntry) -> None:
    say = logging.info if entry.digest_prefix else logging.warning
    published = "only its first digits are" if entry.digest_prefix else "no digest is"
    say("%s: %s published; required from now on: SHA-256 %s", entry.name, published, digest)
    try:
        write_atomically(record, f"{digest}  {entry.file_name}\n")
    except OSError as error:
        logging.warning("%s could not be written: %s", record, error)
