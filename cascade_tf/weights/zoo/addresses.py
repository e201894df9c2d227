"""Addresses that files may be fetched from: HTTPS, also after a redirection."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class DownloadError(OSError):
    """A file could not be fetched or written; the message says what is kept for the next call."""


def check_address(url: str, allow_http: bool = False) -> None:
    """Refuses what is neither HTTPS nor a server on this machine.

    >>> check_address("https://example.org/model.pkl")
    >>> check_address("http://example.org/model.pkl")
    Traceback (most recent call last):
    ValueError: address: got http://example.org, expected https

    Args:
        url: address of a file.
        allow_http: whether HTTP without encryption is allowed for other machines, too.

    Raises:
        ValueError: another scheme.
    """
    parts = urlsplit(url)
    plain = parts.scheme == "http" and (allow_http or parts.hostname in _LOOPBACK)
    if not parts.hostname or not (plain or parts.scheme == "https"):
        raise ValueError(f"address: got {parts.scheme}://{parts.hostname or ''}, expected https")


def opener(allow_http: bool = False) -> urllib.request.OpenerDirector:
    """Opens addresses, through the environment's proxy if there is one, and follows safe redirections.

    A redirection must lead to an address that ``check_address`` takes, and never from HTTPS to HTTP.

    Args:
        allow_http: as for ``check_address``.
    """
    return urllib.request.build_opener(_Redirections(allow_http))


class _Redirections(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, allow_http: bool):
        self.allow_http = allow_http

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        target = urlsplit(newurl)
        try:
            check_address(newurl, self.allow_http)
            safe = target.scheme == "https" or req.type != "https"
        except ValueError:
            safe = False
        if not safe:
            fp.close()
            # The rest of the address may hold somebody's key.
            raise DownloadError(
                f"the server redirects to {target.scheme}://{target.hostname}, expected https"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
