"""Folders of unfinished work, which a killed run goes on from: they do not become ever more."""

import shutil
import sys
import time
from pathlib import Path

from sphreg.locks import alone, wanted

DAYS = 14


def tidy(scratch: Path, days: float = DAYS) -> None:
    """Remove the folders in `scratch` that nobody works on, and nothing was written to for so many days; and say so.

    Whoever works on one holds its lock; see `alone`.
    """
    folders = {path for path in scratch.glob("[!.]*") if path.is_dir()}
    for folder in folders | {lock.with_name(lock.name[1:].split(".")[0]) for lock in scratch.glob(".*.lock")}:
        with alone(folder, wait=False) as free:
            if not free or wanted(folder) or not folder.exists():  # which removes the locks that kills left
                continue
            files = [path.stat() for path in (folder, *folder.rglob("*"))]
            if max(file.st_mtime for file in files) > time.time() - days * 86400:
                continue
            size = sum(file.st_size for file in files) / 1e6
            print(f"Removing {folder} ({size:.0f} MB), which a run left that was not gone on with.", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
