"""Fetch a zip archive once, and go on where a broken download ended."""

import errno
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from sphreg.errors import UserError
from sphreg.locks import alone

TRIES = 5
PAUSE_S = 1.0
TIMEOUT_S = 60.0
CHUNK = 2**18
# What no second try mends. A network has errors of its own.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def fetch(archive: str, downloads: Path) -> Path:
    """Where the archive lies: a local file, or what a URL gives, or gave before.

    Args:
        archive: an http or https URL, or the path of a file.
        downloads: a folder that keeps downloads, finished and broken off, from run to run.

    Raises:
        UserError: there is no such file, the URL gives no zip archive, or the disk does not take it.
    """
    if "://" not in archive:
        if not Path(archive).is_file():
            raise UserError(f"{archive}: there is no such file, allowed: a zip archive or its URL")
        return Path(archive)
    if not archive.lower().startswith(("http://", "https://")):
        raise UserError(f"{archive}: allowed is a URL of http or https, or a file")
    # Another URL is another archive, also where the name of the file is the same.
    folder = downloads / hashlib.sha256(archive.encode()).hexdigest()[:12]
    target = folder / PurePosixPath(re.split("[?#]", archive)[0]).name
    if not target.is_file():
        with alone(target):
            try:
                if not target.is_file():  # another process may have fetched it
                    _download(archive, target)
            except OSError as error:
                raise UserError(f"{target}: it cannot be written ({error.strerror})") from error
    return target


def _download(url: str, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    part.touch()
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S)
        try:
            total = _continue(url, part)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # it has less than was fetched before, so that was another file
                _forget(part)
            elif error.code < 500:
                raise UserError(f"{url}: {reason}") from None
        except (ValueError, http.client.InvalidURL) as error:
            raise UserError(f"{url}: it is no URL ({error})") from None
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in DISK:
                raise
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            size = part.stat().st_size
            if total is None or size == total:
                break
            reason = f"it ended after {size} of {total} bytes"
    else:
        raise UserError(f"{url}: the download failed ({reason}); run it again to go on where it ended")
    if not zipfile.is_zipfile(part):
        _forget(part)
        raise UserError(f"{url}: what comes from there is no zip archive")
    os.replace(part, target)
    _version(part).unlink(missing_ok=True)


def _continue(url: str, part: Path) -> int | None:
    """Fetch what `part` lacks, or all where the file has changed or the server sends no rest; returns the full size."""
    request = urllib.request.Request(url)
    start = 0
    if _version(part).is_file():
        # The last byte is asked for again: no server sends the rest of a file that is there whole.
        start = max(part.stat().st_size - 1, 0)
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", _version(part).read_text())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        tag = _tag(response.headers)
        if response.status != 206:
            start = 0
            _forget(part)
            if tag:
                _version(part).write_text(tag)
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-") or (
            tag and tag != _version(part).read_text()
        ):
            _forget(part)
            raise http.client.HTTPException("the server sent another part than the one asked for")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        bar = tqdm(desc=part.stem, total=total, initial=start, unit="B", unit_scale=True, delay=1)
        with bar, part.open("r+b") as file:
            file.seek(start)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return total


def _version(part: Path) -> Path:
    """The file that says which version of the file on the server `part` is a piece of."""
    return part.with_name(f"{part.name}.version")


def _tag(headers: Message) -> str | None:
    """What tells one version from the next: a strong ETag, or the date of the last change."""
    etag = headers.get("ETag", "")
    return headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag


def _forget(part: Path) -> None:
    part.write_bytes(b"")
    _version(part).unlink(missing_ok=True)
