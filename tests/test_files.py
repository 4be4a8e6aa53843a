"""Folders that are replaced as a whole."""

import os
import re
import shutil

import pytest

from sphreg.errors import UserError
from sphreg.files import link_files, whole_folder
from stages import check
from tests.settings import PARAMS


def replace(old, new):
    with whole_folder(old) as folder:
        link_files(new, folder)


def write(folder, text):
    (folder / "chair").mkdir(parents=True)
    (folder / "chair/x").write_text(text)
    (folder / "index").write_text(text)
    return folder


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def refuse(*_, **__):
    raise OSError(18, "Invalid cross-device link")


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_replaces_another_and_stays(tmp_path, monkeypatch, links):
    old, new = write(tmp_path / "data/old", "old"), write(tmp_path / "new", "new")
    (old / "more").touch()
    write(tmp_path / "data/old.partial", "of a kill")
    write(tmp_path / "data/old.former", "of a kill")
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    replace(old, new)
    assert texts(old) == texts(new) == {"chair/x": "new", "index": "new"}
    assert (old / "chair/x").samefile(new / "chair/x") == links
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["old"]


def test_what_lies_elsewhere_behind_a_link_stays_as_it_is(tmp_path):
    """As in the cache of DVC."""
    old, new, cache = write(tmp_path / "old", "old"), write(tmp_path / "new", "new"), write(tmp_path / "cache", "old")
    (old / "index").unlink()
    (old / "index").symlink_to(cache / "index")
    (old / "chair/x").unlink()
    (old / "chair/x").hardlink_to(cache / "chair/x")
    replace(old, new)
    assert set(texts(old).values()) == {"new"}
    assert set(texts(cache).values()) == {"old"}


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    old, new = write(tmp_path / "old", "old"), write(tmp_path / "new", "new")
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(UserError, match=re.escape(f"{old}: it cannot be written (Invalid cross-device link).")):
        replace(old, new)
    assert set(texts(old).values()) == {"old"}
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new"}


def test_what_check_writes_is_not_written_through_links(tmp_path):
    """As those to a cache of DVC whose type is hardlink or symlink. A file of an older version makes way, too."""
    (tmp_path / "cache").write_text("another")
    for number, link in enumerate((os.link, os.symlink)):
        out = tmp_path / f"checked{number}"
        out.mkdir()
        link(tmp_path / "cache", out / "meshes")
        check.main(PARAMS, out)
        assert (tmp_path / "cache").read_text() == "another"
        assert "furniture" in (out / "meshes").read_text()
    out = tmp_path / "file"
    out.write_text("All settings are known and allowed.")
    check.main(PARAMS, out)
    assert "furniture" in (out / "meshes").read_text()
