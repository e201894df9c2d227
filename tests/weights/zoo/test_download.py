from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request

import numpy as np
import pytest

from cascade_tf.weights.zoo import addresses, download, file_lock, transfer
from cascade_tf.weights.zoo.addresses import DownloadError, check_address
from cascade_tf.weights.zoo.catalog_entry import CatalogEntry, DigestPrefix
from cascade_tf.weights.zoo.download import cache_folder, cached_path, fetch
from tests.weights.file_server import serving

CONTENT = np.random.default_rng(7).bytes(50_000)
OTHER = np.random.default_rng(8).bytes(50_000)
SECONDS = 30  # no test may take longer, whatever a socket waits for


@pytest.fixture(autouse=True)
def _deadline(monkeypatch):
    """Ends a test that hangs, and keeps a proxy of the environment out of it."""

    def too_long(*_):
        raise AssertionError(f"still waiting after {SECONDS} s")

    monkeypatch.setenv("no_proxy", "*")
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        yield running


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def entry_for(url, content=CONTENT, **changes):
    entry = CatalogEntry(
        name="zoo/model", kind="detector", source="detectron2", url=url, cited="https://example.org/zoo",
        licence="MIT", sha256=sha256(content), size=len(content),
    )  # fmt: skip
    return dataclasses.replace(entry, **changes)


def get(server, folder, **changes):
    return fetch(entry_for(server.url, **changes), folder, timeout=5.0, attempts=3, wait=0.0)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def part_of(server, folder, **changes):
    return (path := cached_path(entry_for(server.url, **changes), folder)).with_name(f"{path.name}.part")


def interrupt(server, folder, after, **changes):
    """Leaves a part of ``after`` bytes."""
    server.cuts = [after]
    with pytest.raises(DownloadError, match=f"ended after {after} of 50000 bytes"):
        fetch(entry_for(server.url, **changes), folder, timeout=5.0, attempts=1)
    assert part_of(server, folder, **changes).read_bytes() == CONTENT[:after]
    server.requests.clear()


def test_a_file_arrives_whole_under_its_own_name(server, tmp_path):
    path = get(server, tmp_path)
    assert path == tmp_path / "zoo" / "model" / "model.pkl"
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == ["model.pkl"]
    assert server.asked_from == [None]


def test_what_is_there_is_not_asked_for_again(server, tmp_path):
    path = get(server, tmp_path)
    server.requests.clear()
    assert get(server, tmp_path) == path
    assert server.requests == []


class TestResume:
    def test_an_interrupted_transfer_goes_on_where_it_ended(self, server, tmp_path):
        interrupt(server, tmp_path, 20_000)
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == ["bytes=20000-"]
        assert server.requests[0]["if-range"] == '"first"'

    def test_within_one_call_too(self, server, tmp_path):
        server.cuts = [20_000, 10_000]
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == [None, "bytes=20000-", "bytes=30000-"]

    def test_a_changed_file_starts_from_the_beginning(self, server, tmp_path):
        interrupt(server, tmp_path, 20_000, sha256=sha256(OTHER))
        server.content, server.etag = OTHER, '"second"'
        assert get(server, tmp_path, sha256=sha256(OTHER)).read_bytes() == OTHER
        assert server.asked_from == ["bytes=20000-"]

    def test_a_changed_file_of_a_server_that_ignores_the_condition(self, server, tmp_path):
        interrupt(server, tmp_path, 20_000, sha256=sha256(OTHER))
        server.content, server.etag, server.if_range = OTHER, '"second"', False
        assert get(server, tmp_path, sha256=sha256(OTHER)).read_bytes() == OTHER
        assert server.asked_from == ["bytes=20000-", None]

    def test_a_changed_date_counts_where_there_is_no_tag(self, server, tmp_path):
        server.etag, server.modified = 'W/"weak"', "Mon, 01 Jan 2024 00:00:00 GMT"
        interrupt(server, tmp_path, 20_000, sha256=sha256(OTHER))
        server.content, server.modified = OTHER, "Tue, 02 Jan 2024 00:00:00 GMT"
        assert get(server, tmp_path, sha256=sha256(OTHER)).read_bytes() == OTHER
        assert server.requests[0]["if-range"] == "Mon, 01 Jan 2024 00:00:00 GMT"

    def test_a_changed_size_counts_where_there_are_no_marks(self, server, tmp_path):
        server.etag = None
        interrupt(server, tmp_path, 20_000, size=None, sha256=sha256(OTHER[:40_000]))
        server.content = OTHER[:40_000]
        assert get(server, tmp_path, size=None, sha256=sha256(OTHER[:40_000])).read_bytes() == OTHER[:40_000]
        assert server.asked_from == ["bytes=20000-", None]

    def test_a_server_without_ranges_sends_all_again(self, server, tmp_path):
        interrupt(server, tmp_path, 20_000)
        server.ranges = False
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == ["bytes=20000-"]

    def test_a_part_that_is_complete_is_taken(self, server, tmp_path):
        interrupt(server, tmp_path, 49_999)
        part_of(server, tmp_path).write_bytes(CONTENT)
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == ["bytes=50000-"]

    def test_a_part_that_is_too_long_is_not(self, server, tmp_path):
        interrupt(server, tmp_path, 49_999)
        part_of(server, tmp_path).write_bytes(CONTENT + b"more")
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == ["bytes=50004-", None]

    @pytest.mark.parametrize(
        "marks",
        [
            None,
            b"",
            b"[]",
            b"{}",
            b'{"url": "https://example.org/model.pkl", "size": 50000, "etag": null, "modified": null}',
        ],
    )
    def test_a_part_of_unknown_origin_is_not_used(self, server, tmp_path, marks):
        interrupt(server, tmp_path, 20_000)
        stored = part_of(server, tmp_path).with_name("model.pkl.part.json")
        stored.unlink() if marks is None else stored.write_bytes(marks)
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == [None]

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
    def test_what_had_arrived_before_an_interruption_is_kept(self, server, tmp_path, monkeypatch, error):
        write, written = transfer._write, []

        def failing(file, block):
            if sum(written) > 10_000:
                raise error
            written.append(len(block))
            write(file, block)

        with monkeypatch.context() as patch:
            patch.setattr(transfer, "_write", failing)
            server.pause = 0.001
            with pytest.raises(
                (KeyboardInterrupt, DownloadError), match=r"No space left on device|^$"
            ) as raised:
                get(server, tmp_path)
        kept = sum(written)
        assert part_of(server, tmp_path).read_bytes() == CONTENT[:kept]
        if raised.type is DownloadError:
            assert f"{kept} bytes have arrived and are kept" in str(raised.value)
        server.requests.clear()
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == [f"bytes={kept}-"]


class TestDigest:
    def test_a_wrong_file_is_deleted_and_both_digests_are_said(self, server, tmp_path):
        with pytest.raises(ValueError, match="does not send what was published") as error:
            get(server, tmp_path, sha256=sha256(OTHER))
        assert sha256(CONTENT) in str(error.value)
        assert sha256(OTHER) in str(error.value)
        assert "https://example.org/zoo; nobody has tried it" in str(error.value)
        assert files(tmp_path) == []

    @pytest.mark.parametrize("algorithm", ["md5", "sha256"])
    def test_first_digits(self, server, tmp_path, algorithm):
        digest = hashlib.new(algorithm, CONTENT).hexdigest()
        right = {"sha256": None, "digest_prefix": DigestPrefix(algorithm, digest[:6])}
        assert get(server, tmp_path, **right).read_bytes() == CONTENT
        wrong = {"sha256": None, "digest_prefix": DigestPrefix(algorithm, digest[1:7])}
        name = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
        expected = f"the {name} {digest}, expected {digest[1:7]} at the beginning"
        with pytest.raises(ValueError, match=expected):
            get(server, tmp_path / "new", **wrong)
        assert files(tmp_path / "new") == []

    def test_without_a_whole_digest_the_first_download_is_recorded(self, server, tmp_path):
        unknown = {"sha256": None, "size": None}
        path = get(server, tmp_path, **unknown)
        record = path.with_name("model.pkl.sha256")
        assert record.read_text() == f"{sha256(CONTENT)}  model.pkl\n"
        path.unlink()
        server.content = OTHER
        with pytest.raises(ValueError, match=f"{sha256(OTHER)}, expected {sha256(CONTENT)}") as error:
            get(server, tmp_path, **unknown)
        assert "model.pkl.sha256 says of an earlier download; delete that file if" in str(error.value)
        record.unlink()
        assert get(server, tmp_path, **unknown).read_bytes() == OTHER

    def test_a_record_that_is_none(self, server, tmp_path):
        path = get(server, tmp_path, sha256=None)
        path.with_name("model.pkl.sha256").write_text("model.pkl")
        with pytest.raises(ValueError, match="expected a SHA-256 and a file name"):
            get(server, tmp_path, sha256=None)

    def test_a_file_that_the_user_has_put_there(self, server, tmp_path):
        path = cached_path(entry_for(server.url), tmp_path)
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        assert get(server, tmp_path) == path
        for wrong, said in (
            (OTHER, f"the SHA-256 {sha256(OTHER)}, expected"),
            (OTHER[:9], "has 9 bytes, expected"),
        ):
            path.write_bytes(wrong)
            with pytest.raises(ValueError, match=said) as error:
                get(server, tmp_path)
            assert f"Delete {path} to download it again" in str(error.value)
            assert path.read_bytes() == wrong
        assert server.requests == []

    def test_a_folder_that_cannot_be_written_to_is_enough_for_what_it_holds(
        self, server, tmp_path, monkeypatch
    ):
        path = cached_path(entry_for(server.url), tmp_path)
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)

        def refuse(*_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr("cascade_tf.weights.zoo.digests.write_atomically", refuse)
        assert get(server, tmp_path, sha256=None) == path
        assert files(tmp_path) == ["model.pkl"]


class TestServers:
    @pytest.mark.parametrize("status", [500, 503, 429])
    def test_a_server_that_fails_for_a_moment(self, server, tmp_path, status):
        server.statuses = [status, status]
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert len(server.requests) == 3

    def test_a_server_that_goes_on_failing(self, server, tmp_path):
        server.statuses = [500] * 9
        with pytest.raises(DownloadError, match=r"answers 500 Internal Server Error \(3 attempts\)"):
            get(server, tmp_path)
        assert len(server.requests) == 3

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_a_file_that_has_gone_is_asked_for_once(self, server, tmp_path, status):
        server.statuses = [status] * 9
        with pytest.raises(DownloadError, match=f"answers {status} ") as error:
            get(server, tmp_path)
        assert len(server.requests) == 1
        assert server.url in str(error.value)
        assert str(cached_path(entry_for(server.url), tmp_path)) in str(error.value)

    def test_a_file_of_another_size_is_not_read(self, server, tmp_path):
        with pytest.raises(DownloadError, match="the server's file has 50000 bytes, expected 49999"):
            get(server, tmp_path, size=49_999)
        assert files(tmp_path) == []

    @pytest.mark.parametrize(("limit", "content"), [(49_999, CONTENT), (10**9, b"")])
    def test_a_size_that_no_checkpoint_has(self, server, tmp_path, monkeypatch, limit, content):
        monkeypatch.setattr(transfer, "MAX_BYTES", limit)
        server.content = content
        with pytest.raises(DownloadError, match=f"has {len(content)} bytes, expected 1 to {limit}"):
            get(server, tmp_path, size=None)

    def test_more_than_announced_is_cut_off(self, server, tmp_path):
        server.announced = 30_000
        path = get(server, tmp_path, size=None, sha256=sha256(CONTENT[:30_000]))
        assert path.read_bytes() == CONTENT[:30_000]

    def test_less_than_announced_is_an_interruption(self, server, tmp_path):
        server.announced, server.ranges = 60_000, False
        with pytest.raises(DownloadError, match="ended after 50000 of 60000 bytes"):
            get(server, tmp_path, size=None)
        assert len(server.requests) == 3

    def test_a_chunked_transfer(self, server, tmp_path):
        server.chunked = True
        assert get(server, tmp_path, size=None).read_bytes() == CONTENT

    def test_an_interrupted_chunked_transfer(self, server, tmp_path):
        server.chunked, server.cuts = True, [20_000]
        assert get(server, tmp_path, size=None).read_bytes() == CONTENT
        assert server.asked_from == [None, "bytes=20000-"]

    def test_a_stream_without_end_is_cut_off(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(transfer, "MAX_BYTES", 30_000)
        server.chunked = True
        with pytest.raises(DownloadError, match="sends more than 30000 bytes"):
            get(server, tmp_path, size=None)
        assert part_of(server, tmp_path).stat().st_size <= 30_000

    def test_a_stream_that_is_longer_than_the_file_is_cut_off(self, server, tmp_path):
        server.chunked = True
        with pytest.raises(DownloadError, match="sends more than 40000 bytes"):
            get(server, tmp_path, size=40_000)

    def test_an_end_that_cannot_be_told_from_an_interruption(self, server, tmp_path):
        server.length = False
        with pytest.raises(DownloadError, match="does not say how long the file is"):
            get(server, tmp_path, size=None)
        assert get(server, tmp_path).read_bytes() == CONTENT

    def test_a_page_instead_of_the_file(self, server, tmp_path):
        server.content_type = "text/html; charset=utf-8"
        with pytest.raises(DownloadError, match="sends a web page instead of a file"):
            get(server, tmp_path)

    def test_a_server_that_falls_silent(self, server, tmp_path):
        server.pause = 2.0
        with pytest.raises(DownloadError, match="the connection broke: timed out"):
            fetch(entry_for(server.url), tmp_path, timeout=0.3, attempts=1)
        assert part_of(server, tmp_path).read_bytes() == CONTENT[:1000]

    def test_a_disk_without_room_is_seen_before_it_is_full(self, server, tmp_path, monkeypatch):
        usage = shutil.disk_usage(tmp_path)._replace(free=49_999)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(DownloadError, match="50000 bytes are missing and the disk has room for 49999"):
            get(server, tmp_path)


class TestAddresses:
    def test_a_redirection_is_followed(self, server, tmp_path):
        server.redirect = "/files/moved.pkl"
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert len(server.requests) == 2

    def test_an_interrupted_transfer_goes_on_behind_a_redirection(self, server, tmp_path):
        server.redirect = "/files/moved.pkl"
        interrupt(server, tmp_path, 20_000)
        assert get(server, tmp_path).read_bytes() == CONTENT
        assert server.asked_from == ["bytes=20000-", "bytes=20000-"]

    @pytest.mark.parametrize("target", ["http://example.org/model.pkl", "ftp://127.0.0.1/model.pkl"])
    def test_a_redirection_to_an_open_connection_is_refused(self, server, tmp_path, target):
        server.redirect = f"{target}?key=secret"
        with pytest.raises(
            DownloadError, match=f"redirects to {target.rpartition('/')[0]}, expected https"
        ) as error:
            get(server, tmp_path)
        assert "secret" not in str(error.value)

    def test_a_redirection_to_a_file_of_this_machine_is_refused(self, server, tmp_path):
        server.redirect = "file:///etc/hostname"
        with pytest.raises(DownloadError, match="answers 302"):
            get(server, tmp_path)

    def test_redirections_in_a_circle(self, server, tmp_path):
        server.redirect = "/files/model.pkl"
        with pytest.raises(DownloadError, match="answers 302"):
            get(server, tmp_path)
        assert len(server.requests) < 10

    def test_from_https_to_http_is_refused_even_on_this_machine(self):
        request, answer = Request("https://example.org/a"), io.BytesIO()
        follow = addresses._Redirections(allow_http=True).redirect_request
        assert follow(request, answer, 302, "", {}, "https://b.org/a").full_url == "https://b.org/a"
        with pytest.raises(DownloadError, match="redirects to http://localhost, expected https"):
            follow(request, answer, 302, "", {}, "http://localhost/a")

    @pytest.mark.parametrize(
        "url",
        ["http://example.org/a.pkl", "file:///etc/passwd", "ftp://a.org/b", "https:///b.pkl", "a.pkl", ""],
    )
    def test_other_addresses_are_refused(self, url, tmp_path):
        with pytest.raises(ValueError, match="expected https"):
            fetch(entry_for(url), tmp_path)

    def test_http_is_allowed_on_request(self):
        check_address("http://example.org/a.pkl", allow_http=True)
        with pytest.raises(ValueError, match="got file://"):
            check_address("file:///a.pkl", allow_http=True)


class TestOffline:
    def check(self, url, folder, reason):
        entry = entry_for(url)
        with pytest.raises(DownloadError, match=reason) as error:
            fetch(entry, folder, timeout=2.0, attempts=2, wait=0.0)
        path = cached_path(entry, folder)
        assert f"cannot be downloaded from {url}" in str(error.value)
        assert f"put the file at {path}; the next call finds it there" in str(error.value)
        path.write_bytes(CONTENT)
        assert fetch(entry, folder) == path

    def test_nobody_listens(self, tmp_path):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.check(
            f"http://127.0.0.1:{port}/model.pkl", tmp_path, r"no answer: Connection refused \(2 attempts\)"
        )

    def test_no_network_that_knows_the_name(self, tmp_path, monkeypatch):
        def unknown(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        self.check("https://zoo.example.org/model.pkl", tmp_path, "no answer: Name or service not known")

    def test_a_server_without_a_valid_certificate(self, server, tmp_path):
        """A server that speaks no TLS at all is the nearest that needs no certificate."""
        url = server.url.replace("http:", "https:")
        self.check(url, tmp_path, "cannot be downloaded.*(SSL|record|wrong version)")


class TestTogether:
    def test_threads_share_one_transfer(self, server, tmp_path):
        server.pause = 0.005
        found, threads = [], []
        for _ in range(3):
            threads.append(threading.Thread(target=lambda: found.append(get(server, tmp_path))))
            threads[-1].start()
        for thread in threads:
            thread.join(SECONDS)
        assert [path.read_bytes() for path in found] == [CONTENT] * 3
        assert server.asked_from == [None]

    def test_a_process_waits_for_another_until_that_ends(self, server, tmp_path):
        path = cached_path(entry_for(server.url), tmp_path)
        path.parent.mkdir(parents=True)
        program = (
            "import importlib.util, pathlib, sys\n"
            "spec = importlib.util.spec_from_file_location('file_lock', sys.argv[1])\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(module)\n"
            "with module.locked(pathlib.Path(sys.argv[2])) as alone:\n"
            "    print(alone, flush=True)\n"
            "    sys.stdin.read()\n"
        )
        command = [sys.executable, "-c", program, file_lock.__file__, str(path.with_name("model.pkl.lock"))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "True\n"
            found = []
            thread = threading.Thread(target=lambda: found.append(get(server, tmp_path)))
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
            assert server.requests == []
            other.kill()
        thread.join(SECONDS)
        assert found[0].read_bytes() == CONTENT

    def test_without_locks_each_has_a_part_of_its_own(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(file_lock, "fcntl", None)
        server.pause = 0.005
        found, threads = [], []
        for _ in range(2):
            threads.append(threading.Thread(target=lambda: found.append(get(server, tmp_path))))
            threads[-1].start()
        for thread in threads:
            thread.join(SECONDS)
        assert [path.read_bytes() for path in found] == [CONTENT] * 2
        assert files(tmp_path) == ["model.pkl"]
        assert server.asked_from == [None, None]

    def test_without_locks_nothing_is_kept_and_nothing_is_promised(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(file_lock, "fcntl", None)
        server.cuts = [20_000]
        with pytest.raises(DownloadError, match="ended after 20000 of 50000 bytes") as error:
            fetch(entry_for(server.url), tmp_path, timeout=5.0, attempts=1)
        assert "kept" not in str(error.value)
        assert files(tmp_path) == []

    def test_a_file_system_without_locks(self, tmp_path, monkeypatch):
        def unsupported(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(file_lock.fcntl, "flock", unsupported)
        with file_lock.locked(tmp_path / "lock") as alone:
            assert alone is False


class TestFolder:
    def test_the_users_cache_is_the_default(self, monkeypatch):
        monkeypatch.delenv("CASCADE_TF_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
        assert cache_folder() == Path("/var/cache/me/cascade_tf/weights")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path.home() / ".cache" / "cascade_tf" / "weights"

    def test_the_environment_and_the_argument_choose_another(self, monkeypatch):
        monkeypatch.setenv("CASCADE_TF_CACHE", "~/zoo")
        assert cache_folder() == Path.home() / "zoo"
        assert cache_folder("/data/zoo") == Path("/data/zoo")

    def test_a_folder_that_cannot_be_made(self, server, tmp_path):
        (tmp_path / "zoo").write_text("a file")
        with pytest.raises(DownloadError, match=r"zoo/model cannot be made \(.*\); set CASCADE_TF_CACHE to"):
            get(server, tmp_path)
        assert server.requests == []


def test_progress_is_shown_on_a_terminal_alone(server, tmp_path, monkeypatch):
    bars = []

    class Bar(transfer.tqdm):
        def __init__(self, *arguments, **options):
            bars.append(options["disable"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(transfer, "tqdm", Bar)
    get(server, tmp_path)
    fetch(entry_for(server.url), tmp_path / "quiet", progress=False)
    assert bars == [None, True]


def test_waits_double(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=waits.append))
    server.statuses = [503] * 3
    fetch(entry_for(server.url), tmp_path, attempts=4, wait=0.5)
    assert waits == [0.5, 1.0, 2.0]


def test_nothing_is_left_half_done_by_a_failed_rename(server, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(download.os, "replace", fail)
        with pytest.raises(OSError, match=re.escape("Input/output error")):
            get(server, tmp_path)
    assert not cached_path(entry_for(server.url), tmp_path).exists()
    assert get(server, tmp_path).read_bytes() == CONTENT
