"""What is stored is what is read."""

import subprocess

import pytest

from sphreg.checksums import check, read_checksums, write_checksums
from sphreg.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "chair").mkdir()
    (tmp_path / "a b.csv").write_bytes(b"1,2\n")
    (tmp_path / "chair/x.off").write_bytes(b"")
    write_checksums(tmp_path)
    return tmp_path


def test_sha256sum_agrees(folder):
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert list(read_checksums(folder)) == ["a b.csv", "chair/x.off"]


def test_the_same_files_give_the_same_list(folder):
    before = (folder / "SHA256SUMS").read_bytes()
    write_checksums(folder)
    assert (folder / "SHA256SUMS").read_bytes() == before


def test_what_did_not_change_is_right(folder):
    check(folder, ["a b.csv", "chair/x.off"])


@pytest.mark.parametrize("content", [b"1,3\n", b"", None])
def test_what_changed_is_said(folder, content):
    file = folder / "a b.csv"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"a b\.csv: it (is not what was written|cannot be read)"):
        check(folder, ["a b.csv"])


def test_a_file_that_nobody_wrote(folder):
    (folder / "new.csv").write_bytes(b"1,2\n")
    with pytest.raises(UserError, match=r"new\.csv: it is not what was written"):
        check(folder, ["new.csv"])


@pytest.mark.parametrize("content", [b"\xff\n", b"0123\n"])
def test_a_damaged_list(folder, content):
    (folder / "SHA256SUMS").write_bytes(content)
    with pytest.raises(UserError, match=r"SHA256SUMS: it is not a list of checksums"):
        check(folder, ["a b.csv"])
