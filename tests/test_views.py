"""LMDB files of views: what is written comes back, from any process, and bad files are refused."""

import io
import multiprocessing
import os
import pickle
import resource
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

import sphreg.views
from sphreg.errors import UserError
from sphreg.views import MAP_SIZE, Views, write_views

ITEMS = [
    (f"chair_{mesh:04d}.v{view:03d}", bytes([mesh, view]) * (mesh * view)) for mesh in range(60) for view in range(50)
]


@pytest.fixture
def path(tmp_path):
    write_views(tmp_path / "train.lmdb", ITEMS)
    return tmp_path / "train.lmdb"


def encoded(array, form):
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def test_all_views_come_back(path):
    views = Views(path)
    assert len(views) == len(ITEMS)
    assert views.keys == [key for key, _ in ITEMS]
    assert all(views[key] == value for key, value in ITEMS)


def test_a_key_is_there_or_not(path):
    views = Views(path)
    assert "chair_0007.v003" in views
    assert "chair_0007.v050" not in views
    with pytest.raises(UserError, match=r"train\.lmdb: it has no view 'chair_0007\.v050'\."):
        views["chair_0007.v050"]


def test_lmdb_itself_reads_the_same(path):
    with (
        lmdb.open(str(path), subdir=False, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert [(key.decode(), value) for key, value in transaction.cursor()] == ITEMS


def test_images_are_decoded(tmp_path):
    ramp = np.add.outer(np.arange(0, 128, 4), np.arange(0, 96, 2)).astype(np.uint8)
    write_views(tmp_path / "a.lmdb", [("a", encoded(ramp, "JPEG")), ("b", encoded(255 - ramp, "JPEG"))])
    views = Views(tmp_path / "a.lmdb")
    assert views.image("a").shape == (32, 48)
    assert np.abs(views.image("a").astype(int) - ramp).max() <= 4
    both = views.images(["b", "a"])
    assert both.dtype == np.uint8
    assert np.abs(both - np.stack([255.0 - ramp, ramp])).max() <= 4


def test_images_of_one_call_have_one_size(tmp_path):
    sides = {"a": 32, "b": 24, "c": 40}
    items = [(key, encoded(np.full((side, side), 90, np.uint8), "JPEG")) for key, side in sides.items()]
    write_views(tmp_path / "a.lmdb", items)
    views = Views(tmp_path / "a.lmdb")
    for others in "b", "c":
        with pytest.raises(ValueError):
            views.images(["a", others])
    with pytest.raises(ValueError):
        views.images([])
    assert views.images(key for key in ["c"]).shape == (1, 40, 40)


def test_normals_are_decoded(tmp_path):
    colours = np.zeros((4, 6, 3), dtype=np.uint8)
    colours[1:3, 2:5] = [0, 128, 128]
    colours[3, 5] = [204, 230, 128]
    write_views(tmp_path / "a.lmdb", [("a", encoded(colours, "PNG"))])
    normals = Views(tmp_path / "a.lmdb").normals("a")
    assert normals.dtype == np.float32
    expected = np.zeros((4, 6, 3))
    expected[1:3, 2:5] = [-1, 0, 0]
    expected[3, 5] = [0.6, 0.8, 0]
    np.testing.assert_allclose(normals, expected, atol=0.01)
    np.testing.assert_array_equal(normals.any(axis=-1), colours.any(axis=-1))


def test_the_same_items_give_the_same_bytes(tmp_path):
    write_views(tmp_path / "a.lmdb", ITEMS)
    write_views(tmp_path / "b.lmdb", (item for item in ITEMS))
    write_views(tmp_path / "b.lmdb", iter(ITEMS))  # in the place of an older file
    write_views(tmp_path / "c.lmdb", ITEMS[:-1])
    assert (tmp_path / "a.lmdb").read_bytes() == (tmp_path / "b.lmdb").read_bytes()
    assert (tmp_path / "a.lmdb").read_bytes() != (tmp_path / "c.lmdb").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.lmdb", "b.lmdb", "c.lmdb"]


def test_a_file_is_no_larger_than_its_content(path):
    content = sum(len(value) for _, value in ITEMS)
    assert content < path.stat().st_size < 2 * content


def test_a_broken_write_leaves_the_old_file(path):
    old = path.read_bytes()

    def broken():
        yield from ITEMS[:1500]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_views(path, broken())
    assert path.read_bytes() == old
    write_views(path, ITEMS)
    assert path.read_bytes() == old


def test_a_reader_sees_the_new_file(path):
    views = Views(path)
    write_views(path, [("a", b"new")])
    assert views.keys == ["a"]


def test_no_items_are_an_empty_file(tmp_path):
    write_views(tmp_path / "a.lmdb", [])
    assert len(Views(tmp_path / "a.lmdb")) == 0
    assert Views(tmp_path / "a.lmdb").keys == []


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"]])
def test_keys_have_to_ascend(tmp_path, keys):
    with pytest.raises(ValueError, match="not in ascending order at 'a'"):
        write_views(tmp_path / "a.lmdb", [(key, b"") for key in keys])


def test_reading_changes_nothing(path):
    before = path.read_bytes()
    for views in Views(path), Views(path):
        assert views[ITEMS[-1][0]] == ITEMS[-1][1]
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # no lock file


def test_another_spelling_of_the_path_is_the_same_file(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    (path.parent / "link").symlink_to(path.parent)
    for spelling in path, path.relative_to(path.parent), path.parent / "link" / path.name:
        assert len(Views(spelling)) == len(ITEMS)


def read(views):
    return views[ITEMS[777][0]]


def test_views_can_be_pickled(path):
    views = Views(path)
    assert read(views) == ITEMS[777][1]
    packed = pickle.dumps(views)
    assert len(packed) < 1000
    assert read(pickle.loads(packed)) == ITEMS[777][1]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_can_read(path, method):
    views = Views(path)
    assert read(views) == ITEMS[777][1]
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(read, [views] * 4)) == [ITEMS[777][1]] * 4
    assert read(views) == ITEMS[777][1]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_inherits_open_views_can_read(path):
    views = Views(path)
    read(views)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(read(views)))
    child.start()
    assert receiver.poll(300)
    assert receiver.recv() == ITEMS[777][1]
    child.join()
    assert read(views) == ITEMS[777][1]


def test_threads_can_share_views(path):
    views = pickle.loads(pickle.dumps(Views(path)))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda item: views[item[0]], ITEMS)) == [value for _, value in ITEMS]


def test_threads_may_read_while_the_file_is_replaced(path):
    views = Views(path)
    generations = [[(key, bytes([number]) * 2000) for key, _ in ITEMS[:50]] for number in range(30)]
    write_views(path, generations[0])
    newest, done = 0, threading.Event()

    def look():
        """Whether each value is a whole one, of the newest file before it was read or of a later one."""
        fine = 0
        while not done.is_set() or not fine:
            for key, _ in ITEMS[:50]:
                least = newest
                value = views[key]
                assert value == value[:1] * 2000 and least <= value[0]
                fine += 1
        return fine

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(look) for _ in range(4)]
        try:
            for newest_now, items in enumerate(generations):
                write_views(path, items)
                newest = newest_now
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
    assert views[ITEMS[0][0]] == bytes([29]) * 2000


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_another_name_stays_the_older_file(path, link):
    link(path, path.with_name("other.lmdb"))
    views, other = Views(path), Views(path.with_name("other.lmdb"))
    write_views(path.with_name("other.lmdb"), [("a", b"new")])
    assert other.keys == ["a"] and read(views) == ITEMS[777][1]
    assert read(Views(path)) == ITEMS[777][1]


def test_a_file_is_closed_with_its_last_views(path):
    views = Views(path)
    other = Views(path)
    for last in views, other:
        assert read(last) == ITEMS[777][1]
        with pytest.raises(lmdb.Error, match="already open"):
            lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    del views, other, last
    lmdb.open(str(path), subdir=False, readonly=True, lock=False).close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_children_and_copies_see_the_new_file(path):
    views = Views(path)
    assert read(views) == ITEMS[777][1]
    copy = pickle.dumps(views)
    write_views(path, [(ITEMS[777][0], b"new")])
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        assert pool.submit(read, views).result() == b"new"  # before this process looked for the new file
    assert read(pickle.loads(copy)) == read(views) == b"new"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"train\.lmdb: there is no such file"):
        Views(tmp_path / "train.lmdb")
    with pytest.raises(UserError, match="there is no such file"):
        Views(tmp_path)


@pytest.mark.parametrize("size", [0, 100, 4096, 8192, 100_000, -1])
def test_a_file_that_was_cut_short_is_refused(path, size):
    whole = path.read_bytes()
    cut = path.with_name("cut.lmdb")
    cut.write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"cut\.lmdb: it is (no LMDB file|cut short)"):
        Views(cut)


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "a.lmdb").write_bytes(b"hello " * 10_000)
    with pytest.raises(UserError, match=r"a\.lmdb: it is no LMDB file"):
        Views(tmp_path / "a.lmdb")


def test_the_map_grows_and_the_bytes_are_those_of_one_that_did_not(tmp_path, monkeypatch):
    monkeypatch.setattr(sphreg.views, "FIRST_MAP", 1 << 16)
    monkeypatch.setattr(sphreg.views, "TRANSACTION", 100)
    write_views(tmp_path / "a.lmdb", ITEMS)
    with lmdb.open(str(tmp_path / "b.lmdb"), subdir=False, lock=False, map_size=MAP_SIZE) as environment:
        for start in range(0, len(ITEMS), 100):
            with environment.begin(write=True) as transaction:
                for key, value in ITEMS[start : start + 100]:
                    transaction.put(key.encode(), value, append=True)
    assert (tmp_path / "a.lmdb").read_bytes() == (tmp_path / "b.lmdb").read_bytes()


def limited(path, room, sender):
    """Write with so many bytes of address space beside what this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        write_views(path, ITEMS)
        sender.send(len(Views(path)))
    except UserError as error:
        sender.send(str(error))


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("room", [1 << 28, 1 << 20])
def test_a_limit_of_address_space(tmp_path, room):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    path = tmp_path / "a.lmdb"
    child = multiprocessing.get_context("fork").Process(target=limited, args=(path, room, sender))
    child.start()
    assert receiver.poll(300)
    said = receiver.recv()
    child.join()
    if room > sphreg.views.FIRST_MAP:
        assert said == len(ITEMS)
    else:
        assert said.startswith(f"{path}: it cannot be written (") and said.endswith("is the address space full?).")


def test_a_key_that_is_no_text(path):
    path.write_bytes(path.read_bytes().replace(b"chair_0007.v003", b"chair_0007.v00\xff"))
    with pytest.raises(UserError, match=r"train\.lmdb: it is damaged \(.*utf-8"):
        _ = Views(path).keys


@pytest.mark.parametrize("root", [1 << 20, 0])
def test_pages_that_lmdb_does_not_find(path, root):
    content = bytearray(path.read_bytes())
    for page in 0, 1:
        start = page * resource.getpagesize() + 128  # of the root of the tree, in both pages that describe the file
        content[start : start + 8] = root.to_bytes(8, "little")
    path.write_bytes(content)
    views = Views(path)
    for read_it in (lambda: views.keys, lambda: views[ITEMS[0][0]], lambda: views.images([ITEMS[0][0]])):
        with pytest.raises(UserError, match=r"train\.lmdb: it is damaged \("):
            read_it()


def test_images_of_a_key_that_is_not_there(tmp_path):
    write_views(tmp_path / "a.lmdb", [("a", encoded(np.zeros((8, 8), np.uint8), "JPEG"))])
    for keys in ["b"], ["a", "b"]:
        with pytest.raises(UserError, match=r"a\.lmdb: it has no view 'b'\.$"):
            Views(tmp_path / "a.lmdb").images(keys)
