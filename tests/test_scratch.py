"""What killed runs leave is bounded."""

import os
import time

from sphreg.locks import alone
from sphreg.scratch import DAYS, tidy


def write(folder, days):
    """Work that was last gone on with so many days ago."""
    (folder / "chair").mkdir(parents=True)
    (folder / "chair/shard").write_bytes(bytes(2_000_000))
    long_ago = time.time() - days * 86400
    for path in folder / "chair/shard", folder / "chair", folder:
        os.utime(path, (long_ago, long_ago))


def test_what_nobody_went_on_with_for_long_is_removed_and_told(tmp_path, capsys):
    write(tmp_path / "old", DAYS + 1)
    write(tmp_path / "new", DAYS - 1)
    write(tmp_path / "at work", DAYS + 1)
    write(tmp_path / "gone on with", DAYS + 1)
    (tmp_path / "gone on with/chair/shard").touch()
    with alone(tmp_path / "at work"):
        tidy(tmp_path)
        assert {path.name for path in tmp_path.glob("[!.]*")} == {"new", "at work", "gone on with"}
    assert capsys.readouterr().err.startswith(f"Removing {tmp_path / 'old'} (2 MB), which a run left")
    tidy(tmp_path, days=0.0)
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_that_was_killed_before_it_began_left(tmp_path):
    for name in ".work.lock", ".other.lock", ".other.queue.lock":
        (tmp_path / name).touch()
    (tmp_path / "work").mkdir()
    tidy(tmp_path, days=0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_that_is_not_there(tmp_path):
    tidy(tmp_path / "none")
    assert not (tmp_path / "none").exists()
