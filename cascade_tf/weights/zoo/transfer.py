"""One file over HTTPS: in pieces that a later call goes on from, and never more than was announced."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from ssl import SSLCertVerificationError
from typing import BinaryIO

from absl import logging
from tqdm import tqdm

from cascade_tf.weights.zoo.addresses import DownloadError, check_address, opener
from cascade_tf.weights.zoo.part_file import Marks, PartFile, content_range, marks_of

MAX_BYTES = 4 * 2**30
"""No file may be larger; the largest checkpoints of the zoos have less than 1 GiB."""

_BLOCK = 2**18
# Answers after which the same request may succeed later.
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class _PassingError(Exception):
    """An attempt failed in a way that another one may not."""


def transfer(
    part: PartFile,
    *,
    size: int | None = None,
    allow_http: bool = False,
    progress: bool = True,
    timeout: float = 30.0,
    attempts: int = 4,
    wait: float = 0.5,
) -> None:
    """Fetches a file, going on where an earlier call was interrupted.

    If the server's file has changed meanwhile, or the server cannot go on in the middle, the transfer starts
    from the beginning.

    Args:
        part: what to fetch, and where to; its folder exists. It is the whole file on return.
        size: in bytes, where it is known; another size is refused before anything is read.
        allow_http: allows HTTP without encryption.
        progress: shows a bar where stderr is a terminal.
        timeout: seconds without an answer or a byte after which an attempt has failed.
        attempts: how often a server that does not answer, fails or breaks off is asked.
        wait: seconds before the second attempt; doubled before each further one.

    Raises:
        DownloadError: no complete file; the message says why.
        ValueError: the address is not HTTPS.
    """
    check_address(part.url, allow_http)
    reason = ""
    for attempt in range(attempts):
        if attempt:
            logging.info("%s: %s; trying again", part.url, reason)
            time.sleep(wait * 2 ** (attempt - 1))
        try:
            return _attempt(opener(allow_http), part, size, timeout, progress)
        except _PassingError as error:
            reason = str(error)
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(f"{part.path} cannot be written: {error.strerror or error}") from None
    raise DownloadError(f"{reason} ({attempts} attempts)")


def _attempt(
    opener: urllib.request.OpenerDirector, part: PartFile, size: int | None, timeout: float, progress: bool
) -> None:
    done, known = part.state()
    headers = {"User-Agent": "cascade_tf"} | (known.range_headers(done) if known and done else {})
    try:
        response = _open(opener, urllib.request.Request(part.url, headers=headers), timeout)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, part, done, known)
    with response:
        found = marks_of(response.status, response.headers)
        if response.status != 206:
            done = 0
        elif content_range(response.headers)[0] != done or (known and not known.agree_with(found)):
            part.discard()
            raise _PassingError("the file has changed since the transfer began")
        _check(response, part, found.size, size, done)
        if not done:
            part.start(found)
        _receive(response, part, done, found.size or size, progress)


def _open(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout: float
) -> http.client.HTTPResponse:
    try:
        return opener.open(request, timeout=timeout)
    except (urllib.error.HTTPError, DownloadError):
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, SSLCertVerificationError):
            raise DownloadError(f"the server cannot prove who it is: {reason.verify_message}") from None
        raise _PassingError(f"no answer: {_text(reason)}") from None


def _refused(error: urllib.error.HTTPError, part: PartFile, done: int, known: Marks | None) -> None:
    """Returns where the refusal means that the part is complete."""
    if error.code == 416 and done and known:
        if done == (content_range(error.headers)[1] or known.size):
            return
        part.discard()
        raise _PassingError("the file has become shorter than the part that had arrived")
    text = f"the server answers {error.code} {error.reason}"
    raise _PassingError(text) if error.code in _PASSING else DownloadError(text)


def _check(
    response: http.client.HTTPResponse, part: PartFile, announced: int | None, size: int | None, done: int
) -> None:
    if response.headers.get_content_type() == "text/html":
        raise DownloadError("the server sends a web page instead of a file")
    if announced is None:
        # The end of a transfer that is neither counted nor chunked cannot be told from its interruption.
        if size is None and not response.chunked:
            raise DownloadError("the server does not say how long the file is")
        return
    if announced != (size or announced) or not 0 < announced <= MAX_BYTES:
        raise DownloadError(
            f"the server's file has {announced} bytes, expected {size or f'1 to {MAX_BYTES}'}"
        )
    free = shutil.disk_usage(part.path.parent).free
    if announced - done > free:
        raise DownloadError(f"{announced - done} bytes are missing and the disk has room for {free}")


def _receive(
    response: http.client.HTTPResponse, part: PartFile, done: int, expected: int | None, progress: bool
) -> None:
    bar = tqdm(
        total=expected, initial=done, desc=part.path.name.removesuffix(".part"), unit="B", unit_scale=True,
        dynamic_ncols=True, leave=False, disable=None if progress else True,
    )  # fmt: skip
    # Without a buffer nothing that has arrived is lost when the process ends here.
    with bar, part.path.open("ab", buffering=0) as file:
        while block := _read(response):
            done += len(block)
            if done > (expected or MAX_BYTES):
                raise DownloadError(f"the server sends more than {expected or MAX_BYTES} bytes")
            _write(file, block)
            bar.update(len(block))
    if expected is not None and done < expected:
        raise _PassingError(f"the connection ended after {done} of {expected} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"the connection broke: {_text(error)}") from None


def _write(file: BinaryIO, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _text(error: object) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
