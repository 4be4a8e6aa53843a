"""Downloads from a server on loopback that breaks off, changes its file and knows no ranges."""

import io
import re
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sphreg import download
from sphreg.download import fetch
from sphreg.errors import UserError


def archive(seed, size=500_000):
    """A zip archive of noise, so of about `size` bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("noise", np.random.default_rng(seed).bytes(size))
    return file.getvalue()


class Server:
    """What the handler below sends, and what it was asked for."""

    def __init__(self):
        self.content = archive(0)
        self.etag = '"one"'
        self.modified = None
        self.knows_ranges = True
        self.minds_if_range = True
        self.says_length = True
        self.status = None  # an error for every request
        self.cuts = []  # the bytes to send before the connection breaks, for each request; then no more cuts
        self.requests = []  # the Range of each

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status:
            handler.send_error(self.status)
            return
        start = 0
        tags = [tag for tag in (self.etag, self.modified) if tag]
        if wanted and self.knows_ranges and (not self.minds_if_range or handler.headers["If-Range"] in tags):
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(self.content):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            handler.send_response(200)
        body = self.content[start:]
        if self.says_length:
            handler.send_header("Content-Length", str(len(body)))
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.modified:
            handler.send_header("Last-Modified", self.modified)
        handler.end_headers()
        handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_S", 0)
    state.url = f"http://127.0.0.1:{http.server_port}/files/ModelNet10.zip"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def parts(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".zip"]


def test_a_whole_download_is_made_once(server, tmp_path):
    path = fetch(server.url, tmp_path)
    assert path.name == "ModelNet10.zip"
    assert path.read_bytes() == server.content
    assert parts(tmp_path) == []
    assert fetch(server.url, tmp_path) == path
    assert server.requests == [None]


def test_two_at_once_fetch_it_once(server, tmp_path, capfd):
    waits = threading.Event()

    def answer(handler):
        waits.wait()
        Server.answer(server, handler)

    server.answer = answer
    with ThreadPoolExecutor() as threads:
        found = [threads.submit(fetch, server.url, tmp_path) for _ in range(2)]
        while not list(tmp_path.rglob(".*.queue.lock")):
            assert not any(future.done() for future in found)
        waits.set()
        paths = {future.result() for future in found}
    assert [path.read_bytes() for path in paths] == [server.content]
    assert server.requests == [None]
    assert parts(tmp_path) == []
    assert capfd.readouterr().err.count("ModelNet10.zip: another process works on it; waiting for its end.") == 1


def test_it_goes_on_where_it_ended(server, tmp_path):
    server.cuts = [200_000, 100_000]
    assert fetch(server.url, tmp_path).read_bytes() == server.content
    # The last byte that is there is asked for again.
    assert server.requests == [None, "bytes=199999-", "bytes=299998-"]


def test_it_goes_on_in_a_later_run_too(server, tmp_path):
    server.cuts = [100_000, *[1] * (download.TRIES - 1)]
    with pytest.raises(UserError, match=r"failed \(it ended after 100000 of \d+ bytes\); run it again to go on"):
        fetch(server.url, tmp_path)
    assert sorted(parts(tmp_path)) == ["ModelNet10.zip.part", "ModelNet10.zip.part.version"]
    server.requests.clear()
    assert fetch(server.url, tmp_path).read_bytes() == server.content
    assert server.requests == ["bytes=99999-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_said_at_once(server, tmp_path):
    server.cuts = [100_000, *[1] * (download.TRIES - 1)]
    with pytest.raises(UserError, match="run it again"):
        fetch(server.url, tmp_path)
    server.requests.clear()
    (part,) = tmp_path.rglob("*.part")
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"ModelNet10.zip: it cannot be written \(No space left on device\)$"):
        fetch(server.url, tmp_path)
    assert len(server.requests) == 1
    part.unlink()
    assert fetch(server.url, tmp_path).read_bytes() == server.content


def test_a_download_that_was_complete_but_not_yet_named_is_taken(server, tmp_path):
    path = fetch(server.url, tmp_path)
    path.rename(f"{path}.part")
    path.with_name(f"{path.name}.part.version").write_text(server.etag)
    assert fetch(server.url, tmp_path).read_bytes() == server.content
    assert server.requests[1:] == [f"bytes={len(server.content) - 1}-"]


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("size", [500_000, 50_000])
def test_another_file_in_the_meantime_is_fetched_from_its_start(server, tmp_path, knows_ranges, size):
    server.cuts = [100_000, *[0] * (download.TRIES - 1)]
    with pytest.raises(UserError, match="run it again"):
        fetch(server.url, tmp_path)
    server.content, server.etag, server.knows_ranges = archive(1, size), '"two"', knows_ranges
    assert fetch(server.url, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("size", [500_000, 50_000])
def test_nor_does_a_server_mislead_that_does_not_know_if_range(server, tmp_path, size):
    server.minds_if_range = False
    server.cuts = [100_000, *[0] * (download.TRIES - 1)]
    with pytest.raises(UserError, match="run it again"):
        fetch(server.url, tmp_path)
    server.content, server.etag = archive(1, size), '"two"'
    assert fetch(server.url, tmp_path).read_bytes() == server.content


def test_a_server_without_ranges_starts_from_zero(server, tmp_path):
    server.knows_ranges = False
    server.cuts = [200_000, 100_000]
    assert fetch(server.url, tmp_path).read_bytes() == server.content
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("etag", "modified", "second"),
    [
        (None, "Thu, 01 Jan 2015 00:00:00 GMT", "bytes=199999-"),
        ('W/"weak"', "Thu, 01 Jan 2015 00:00:00 GMT", "bytes=199999-"),
        ('W/"weak"', None, None),  # nothing says that the rest belongs to the same file
        (None, None, None),
    ],
)
def test_what_names_a_version(server, tmp_path, etag, modified, second):
    server.etag, server.modified, server.cuts = etag, modified, [200_000]
    assert fetch(server.url, tmp_path).read_bytes() == server.content
    assert server.requests == [None, second]


def test_a_server_that_says_no_length(server, tmp_path):
    server.says_length = False
    assert fetch(server.url, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("says_length", [True, False])
def test_what_is_no_archive_is_not_kept(server, tmp_path, says_length):
    server.says_length = says_length
    server.content, right = b"<html>moved</html>", server.content
    with pytest.raises(UserError, match="no zip archive"):
        fetch(server.url, tmp_path)
    server.content = right
    assert fetch(server.url, tmp_path).read_bytes() == right


def test_without_a_length_a_broken_download_is_noticed_all_the_same(server, tmp_path):
    server.says_length = False
    server.cuts = [200_000]
    with pytest.raises(UserError, match="no zip archive"):
        fetch(server.url, tmp_path)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, download.TRIES)])
def test_an_answer_that_is_an_error(server, tmp_path, status, requests):
    server.status = status
    with pytest.raises(UserError, match=f"the server answers {status}") as caught:
        fetch(server.url, tmp_path)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == requests


def test_two_urls_with_one_file_name_do_not_mix(server, tmp_path):
    first = fetch(server.url, tmp_path)
    other = fetch(server.url.replace("/files/", "/other/"), tmp_path)
    assert first != other
    assert len(server.requests) == 2


def test_nobody_there(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 2)
    with pytest.raises(UserError, match="the download failed"):
        fetch("http://127.0.0.1:1/ModelNet10.zip", tmp_path)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b/c.zip", "http://127.0.0.1:port/c.zip"])
def test_what_is_no_url(url, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0)
    with pytest.raises(UserError, match=r"no URL|failed"):
        fetch(url, tmp_path)


def test_files_of_this_machine(tmp_path):
    (tmp_path / "an archive.zip").write_bytes(archive(0, 10))
    assert fetch(str(tmp_path / "an archive.zip"), tmp_path / "downloads") == tmp_path / "an archive.zip"
    for missing in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(UserError, match="there is no such file"):
            fetch(str(missing), tmp_path / "downloads")
    with pytest.raises(UserError, match="http or https"):
        fetch(f"file://{tmp_path}/an archive.zip", tmp_path / "downloads")
    assert not (tmp_path / "downloads").exists()
