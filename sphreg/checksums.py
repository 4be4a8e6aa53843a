"""Checksums of what a stage stores and another reads again, in the format that `sha256sum --check` knows."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.reading import reading

NAME = "SHA256SUMS"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` for all other files in a folder and below it, also where a kill left a part of it.

    Raises:
        UserError: it cannot be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(NAME))
    lines = [f"{digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_whole(folder / NAME, "".join(lines).encode())


def read_checksums(folder: Path) -> dict[str, str]:
    """The checksum of each file, by its path relative to the folder.

    Raises:
        UserError: they cannot be read.
    """
    path = folder / NAME
    if folder.is_dir() and not path.exists():
        raise UserError(
            f"{path}: it is missing, as an older version made this folder; run the stage again that makes it."
        )
    with reading(path, "a list of checksums"):
        lines = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        return {name: checksum for checksum, name in lines}


def read_checked(folder: Path, name: str, known: Mapping[str, str]) -> bytes:
    """The content of a file, which is what it was when it was written.

    Args:
        folder: holds it, and the checksums.
        name: of the file, relative to the folder.
        known: the checksums.

    Raises:
        UserError: it is missing or has changed.
    """
    with reading(folder / name, "a file"):
        content = (folder / name).read_bytes()
    _compare(folder, name, hashlib.sha256(content).hexdigest(), known)
    return content


def check(folder: Path, names: Iterable[str]) -> None:
    """See that files are what they were when they were written.

    Args:
        folder: holds `SHA256SUMS`.
        names: of the files, relative to the folder.

    Raises:
        UserError: one is missing or has changed, or the checksums cannot be read.
    """
    known = read_checksums(folder)
    for name in names:
        with reading(folder / name, "a file"):
            found = digest(folder / name)
        _compare(folder, name, found, known)


def check_if_any(folder: Path, names: Iterable[str]) -> None:
    """`check`, where the folder has checksums: what earlier versions wrote has none.

    Raises:
        UserError: as `check` does.
    """
    if (folder / NAME).exists():
        check(folder, names)


def _compare(folder: Path, name: str, found: str, known: Mapping[str, str]) -> None:
    if found != known.get(name):
        raise UserError(f"{folder / name}: it is not what was written ({folder / NAME}); make it again.")
