"""The archive: its counts, its limits, and archives that mean harm."""

import contextlib
import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphreg import modelnet10
from sphreg.errors import UserError
from sphreg.modelnet10 import COUNTS, choose, read

TRIANGLE = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
ALL = {"train": None, "test": None}


def official_names():
    return [
        f"ModelNet10/{category}/{split}/{category}_{number:04d}.off"
        for category, (train, test) in COUNTS.items()
        for split, numbers in (("train", range(1, train + 1)), ("test", range(train + 1, train + test + 1)))
        for number in numbers
    ]


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """An archive with all the names of the official one, and the files that a Mac adds."""
    path = tmp_path_factory.mktemp("official") / "ModelNet10.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ModelNet10/", b"")
        archive.writestr("ModelNet10/README.txt", b"Princeton")
        archive.writestr("ModelNet10/chair/.DS_Store", b"")
        archive.writestr("ModelNet10/chair/train/._chair_0001.off", b"Mac OS X")
        archive.writestr("__MACOSX/ModelNet10/chair/train/._chair_0001.off", b"Mac OS X")
        archive.writestr("__MACOSX/ModelNet10/chair/train/chair_9999.off", b"Mac OS X")
        for name in reversed(official_names()):
            archive.writestr(name, TRIANGLE)
    return path


@pytest.fixture
def small(monkeypatch):
    """The official counts, for an archive of three meshes."""
    monkeypatch.setattr(modelnet10, "COUNTS", {"chair": (2, 1)})
    return [f"ModelNet10/chair/{name}.off" for name in ("train/chair_0001", "train/chair_0002", "test/chair_0003")]


def zipped(path, members, **options):
    """Write an archive; a member is a name or a ZipInfo."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member in members:
            archive.writestr(member, TRIANGLE)
    return path


def test_the_official_counts():
    """From the dataset's page: 3,991 meshes for training and 908 for test, in ten categories."""
    assert len(COUNTS) == 10
    assert [sum(counts) for counts in zip(*COUNTS.values(), strict=True)] == [3991, 908]


def test_all_of_the_official_archive(official):
    members = choose(official, list(COUNTS), ALL)
    assert [member.file for member in members] == official_names()
    assert members[0] == ("bathtub", "train", "bathtub_0001", "ModelNet10/bathtub/train/bathtub_0001.off")


def test_the_first_of_some_categories(official):
    members = choose(official, ["chair", "toilet"], {"train": 2, "test": 1})
    assert [member.mesh for member in members] == [
        *["chair_0001", "chair_0002", "chair_0890"],
        *["toilet_0001", "toilet_0002", "toilet_0345"],
    ]


def test_counts_that_differ_are_all_named(tmp_path):
    names = [name for name in official_names() if "/chair/" in name or "/sofa/" in name]
    missing = {"ModelNet10/chair/train/chair_0005.off", "ModelNet10/sofa/test/sofa_0700.off"}
    path = zipped(tmp_path / "a.zip", [*[name for name in names if name not in missing], "ModelNet10/sofa/test/x.off"])
    assert len(choose(path, ["sofa"], {"train": None, "test": 3})) == 683
    with pytest.raises(UserError) as caught:
        choose(path, ["chair", "desk"], {"train": 1, "test": 1})
    assert str(caught.value).splitlines() == [
        f"{path}: chair/train has 888 meshes, ModelNet10 has 889",
        f"{path}: desk/train has 0 meshes, ModelNet10 has 200",
        f"{path}: desk/test has 0 meshes, ModelNet10 has 86",
    ]


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def of_type(name, compression):
    info = zipfile.ZipInfo(name)
    info.compress_type = compression
    return info


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("/ModelNet10/chair/train/chair_0001.off", "its path leaves"),
        ("../chair_0001.off", "its path leaves"),
        ("ModelNet10/chair/train/../../../chair_0001.off", "its path leaves"),
        ("ModelNet10/../../etc/passwd", "its path leaves"),
        ("ModelNet10\\..\\..\\passwd", "its path leaves"),
        ("\\\\server\\share", "its path leaves"),
        ("C:\\Windows\\system.ini", "its path leaves"),
        ("C:/Windows/system.ini", "its path leaves"),
        (link("ModelNet10/chair/train/chair_0004.off"), "symbolic link"),
        (link("ModelNet10/link"), "symbolic link"),
        (of_type("ModelNet10/x", zipfile.ZIP_LZMA), "compressed in an unusual way"),
        (of_type("ModelNet10/x", zipfile.ZIP_BZIP2), "compressed in an unusual way"),
    ],
)
def test_a_member_that_no_archive_of_meshes_has(small, tmp_path, member, reason):
    assert len(choose(zipped(tmp_path / "good.zip", small), ["chair"], ALL)) == 3
    path = zipped(tmp_path / "bad.zip", [*small, member])
    with pytest.raises(UserError, match=reason) as caught:
        choose(path, ["chair"], ALL)
    assert str(path) in str(caught.value)


def test_an_encrypted_member(small, tmp_path):
    path = zipped(tmp_path / "a.zip", small)
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(signature) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        choose(path, ["chair"], ALL)


def test_a_member_that_is_too_large(small, tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", small)
    monkeypatch.setattr(modelnet10, "LARGEST_MESH", len(TRIANGLE))
    choose(path, ["chair"], ALL)
    monkeypatch.setattr(modelnet10, "LARGEST_MESH", len(TRIANGLE) - 1)
    with pytest.raises(UserError, match="more than"):
        choose(path, ["chair"], ALL)
    with zipfile.ZipFile(path) as archive, pytest.raises(UserError, match="more than"):
        read(archive, small[0])


def test_an_archive_that_is_too_large(small, tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", [*small, "ModelNet10/more", "ModelNet10/more.2"])
    monkeypatch.setattr(modelnet10, "LARGEST_SUM", 5 * len(TRIANGLE))
    choose(path, ["chair"], ALL)
    monkeypatch.setattr(modelnet10, "LARGEST_SUM", 5 * len(TRIANGLE) - 1)
    with pytest.raises(UserError, match="unpack to more than"):
        choose(path, ["chair"], ALL)


def test_a_bomb_whose_header_lies(small, tmp_path, monkeypatch):
    """Zeros shrink a thousandfold. What the header promises is what comes out at most, and then the checksum fails."""
    monkeypatch.setattr(modelnet10, "LARGEST_MESH", 2**20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in small:
            archive.writestr(name, bytes(50 * 2**20))
    with pytest.raises(UserError, match="more than"):
        choose(path, ["chair"], ALL)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 50 * 2**20), struct.pack("<I", 100)))
    assert len(choose(path, ["chair"], ALL)) == 3
    with zipfile.ZipFile(path) as archive, pytest.raises(UserError, match="damaged in the archive"):
        read(archive, small[0])


def test_a_damaged_member(small, tmp_path):
    path = zipped(tmp_path / "a.zip", small)
    path.write_bytes(path.read_bytes().replace(b"1 0 0\n", b"2 0 0\n", 1))
    with zipfile.ZipFile(path) as archive:
        with pytest.raises(UserError, match="damaged in the archive"):
            read(archive, small[0])
        assert read(archive, small[1]) == TRIANGLE


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive(tmp_path, data):
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match="no zip archive"):
        choose(path, ["chair"], ALL)
    with pytest.raises(UserError, match="no zip archive"):
        choose(tmp_path / "none.zip", ["chair"], ALL)


def good_archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in official_names()[:2]:
            archive.writestr(name, TRIANGLE)
    return file.getvalue()


GOOD = good_archive()


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damage_is_an_error_for_the_user(tmp_path_factory, changes):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    try:
        choose(path, [], ALL)
    except UserError:
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with contextlib.suppress(UserError):
                assert read(archive, info.filename) == TRIANGLE
