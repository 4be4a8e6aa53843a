"""The stage's work from end to end: each source, its index, and what is wrong in it, all at once."""

import csv
import hashlib
import json
import logging
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sphreg import furniture, modelnet10
from sphreg.checksums import check, read_checksums
from sphreg.config import Meshes
from sphreg.errors import UserError
from sphreg.formats import read_mesh
from sphreg.meshes import decode_normalised, normalise
from sphreg.sources import build
from stages import meshes

COLUMNS = ["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"]


def settings(
    source, categories=None, on_bad="fail", up="z", path="none", archive="none.zip", train=None, test=None, sha256=None
):
    return Meshes.model_validate(
        {
            "source": source,
            "categories": categories,
            "on_bad": on_bad,
            "furniture": {"seed": 0, "train": train or 1, "test": test or 1},
            "modelnet10": {"archive": str(archive), "sha256": sha256, "train": train, "test": test},
            "folder": {"path": str(path), "up": up},
        }
    )


@pytest.fixture
def made(tmp_path):
    """Builds a dataset and returns its folder."""

    def make(wanted, name="out"):
        build(wanted, tmp_path / name, tmp_path / "downloads")
        return tmp_path / name

    return make


@pytest.fixture
def own(tmp_path):
    """A folder of the user's: writes a box of some size to it, or any bytes."""

    def write(name, content=1.0):
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, float):
            mesh = trimesh.creation.box(extents=[content, 2, 3])
            content = mesh.export(file_type=path.suffix[1:].lower())
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    write.path = tmp_path / "own"
    return write


def index(folder):
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder):
    """The checksum of each file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_index_and_the_meshes_of_a_folder(made, own):
    own("chair/train/b.off", 1.0)
    own("chair/train/A chair, größer.OBJ", 1.1)
    own("chair/test/c.stl", 1.2)
    own("bed/test/d.ply", 1.3)
    own("bed/train/e.Glb", 1.4)
    for other in ("README.md", "chair/notes.txt", "chair/train/.hidden.off", "chair/train/b.mtl", ".git/train/x.off"):
        own(other, b"not a mesh")
    (own.path / "chair/train/folder").mkdir()
    (own.path / "chair/validation").mkdir()
    out = made(settings("folder", path=own.path))
    rows = index(out)
    assert list(rows[0]) == COLUMNS
    assert [(row["category"], row["split"], row["mesh"], row["source"], row["path"]) for row in rows] == [
        ("bed", "train", "e", "bed/train/e.Glb", "bed/train/e.off"),
        ("bed", "test", "d", "bed/test/d.ply", "bed/test/d.off"),
        ("chair", "train", "A chair, größer", "chair/train/A chair, größer.OBJ", "chair/train/A chair, größer.off"),
        ("chair", "train", "b", "chair/train/b.off", "chair/train/b.off"),
        ("chair", "test", "c", "chair/test/c.stl", "chair/test/c.off"),
    ]
    for row in rows:
        mesh = decode_normalised((out / row["path"]).read_bytes())
        assert (len(mesh.vertices), len(mesh.faces)) == (int(row["vertices"]), int(row["faces"]))
        assert len(mesh.faces) == 12
        assert row["problem"] == ""
        expected = normalise(read_mesh(own.path / row["source"]), "z")
        np.testing.assert_allclose(mesh.vertices, expected.vertices, rtol=0, atol=1e-10)
    assert set(files(out)) == {"SHA256SUMS", "index.csv", "source.json", *[row["path"] for row in rows]}
    assert json.loads((out / "source.json").read_text()) == {"source": "folder", "path": str(own.path), "up": "z"}


def test_a_folder_that_is_called_a_mesh_is_named(made, own):
    own("chair/train/a.off", 1.0)
    own("chair/test/b.off", 1.1)
    (own.path / "chair/test/c.obj").mkdir()
    with pytest.raises(UserError, match=r"chair/test/c\.obj: cannot be read: it is no regular file"):
        made(settings("folder", path=own.path))


def test_some_categories_only(made, own):
    for name in ("chair/train/a.off", "chair/test/b.off", "bed/train/c.off", "bed/test/d.off", "sofa/train/e.off"):
        own(name, float(ord(name[-5])))
    rows = index(made(settings("folder", ["chair", "bed", "chair"], path=own.path)))
    assert [row["mesh"] for row in rows] == ["c", "d", "a", "b"]


def test_y_up(made, own):
    own("chair/train/a.off", "OFF\n3 1 0\n0 0 0\n0 4 0\n0 0 1\n3 0 1 2\n")
    own("chair/test/b.off", "OFF\n3 1 0\n0 0 0\n0 5 0\n0 0 1\n3 0 1 2\n")
    out = made(settings("folder", path=own.path, up="y"))
    mesh = decode_normalised((out / "chair/train/a.off").read_bytes())
    bottom, top, front = mesh.vertices
    np.testing.assert_allclose(top - bottom, [0, 0, 8 / np.sqrt(17)], atol=1e-9)
    np.testing.assert_allclose(front - bottom, [0, -2 / np.sqrt(17), 0], atol=1e-9)


def test_all_bad_files_are_named_at_once_and_nothing_is_written(made, own, tmp_path):
    own("chair/train/good.off", 1.0)
    own("chair/test/good too.off", 1.1)
    own("chair/train/empty.off", b"")
    own("chair/test/cut.stl", trimesh.creation.box().export(file_type="stl")[:-10])
    own("chair/test/point.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    own("chair/test/good.obj", 1.2)
    own("sofa/train/sofa.off", 1.3)
    (own.path / "sofa/train/gone.off").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError) as caught:
        made(settings("folder", path=own.path))
    title, *lines = str(caught.value).splitlines()
    assert title.startswith("5 of 8 meshes cannot be used")
    assert lines == [
        "chair/train/empty.off: is empty",
        "chair/test/cut.stl: is no STL file, or is damaged or cut short",
        "chair/test/good.obj: has the name of chair/train/good.off, and a name stands for one mesh",
        "chair/test/point.obj: has zero extent: all its vertices are one point",
        "sofa/train/gone.off: cannot be read: No such file or directory",
    ]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_skipped_meshes_stand_in_the_index(made, own):
    own("chair/train/good.off", 1.0)
    own("chair/train/good.obj", 1.1)
    own("chair/test/good too.off", 1.2)
    own("chair/test/bad.off", b"OFF\n1 1 0\n")
    out = made(settings("folder", path=own.path, on_bad="skip"))
    rows = index(out)
    assert [(row["source"], row["path"], row["vertices"], row["faces"]) for row in rows] == [
        ("chair/train/good.obj", "chair/train/good.off", "8", "12"),
        ("chair/train/good.off", "", "", ""),
        ("chair/test/bad.off", "", "", ""),
        ("chair/test/good too.off", "chair/test/good too.off", "8", "12"),
    ]
    assert [bool(row["problem"]) for row in rows] == [False, True, True, False]
    assert set(files(out)) == {
        "SHA256SUMS",
        "index.csv",
        "source.json",
        "chair/train/good.off",
        "chair/test/good too.off",
    }


def test_categories_may_count_their_meshes_alike(made, own):
    for i, name in enumerate(["bed/train/1", "bed/test/2", "chair/train/1", "chair/test/2", "chair/test/3"]):
        own(f"{name}.off", 1.0 + i / 10)
    rows = index(made(settings("folder", path=own.path)))
    assert [(row["mesh"], row["path"]) for row in rows] == [
        ("bed_1", "bed/train/bed_1.off"),
        ("bed_2", "bed/test/bed_2.off"),
        ("chair_1", "chair/train/chair_1.off"),
        ("3", "chair/test/3.off"),
        ("chair_2", "chair/test/chair_2.off"),
    ]


def test_a_category_of_which_nothing_is_left_is_told_of(made, own, caplog):
    for name in ("chair/train/a.off", "chair/test/b.off"):
        own(name, float(ord(name[-5])))
    own("sofa/train/c.off", b"")
    with caplog.at_level(logging.WARNING):
        made(settings("folder", path=own.path, on_bad="skip"))
    assert caplog.messages == [f"{own.path}/sofa has no mesh for test", "no mesh of sofa is left"]


def test_files_of_other_kinds_are_told_of(made, own, caplog):
    for name in ("chair/train/a.off", "chair/test/b.off"):
        own(name, float(ord(name[-5])))
    for other in (
        "chair/train/a.FBX",
        "chair/train/a.mtl",
        "chair/test/b.fbx",
        "chair/test/LICENSE",
        "chair/test/.hidden",
    ):
        own(other, b"not a mesh")
    (own.path / "chair/train/more").mkdir()
    with caplog.at_level(logging.WARNING):
        made(settings("folder", path=own.path))
    assert caplog.messages == [
        "5 files or folders beside the meshes are passed over (.fbx, .mtl, folder, no suffix), "
        "read are: .off, .obj, .ply, .stl, .glb"
    ]


def test_skipping_may_not_leave_a_split_empty(made, own):
    own("chair/train/good.off", 1.0)
    own("chair/test/bad.off", b"")
    with pytest.raises(UserError, match="no mesh for test is left"):
        made(settings("folder", path=own.path, on_bad="skip"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text(made, own):
    own("chair/train/a.off", 1.0)
    own("chair/test/b.off", 1.1)
    shutil.copy(own.path / "chair/train/a.off", os.fsencode(own.path) + b"/chair/train/\xff.off")
    own("chair/train/two\nlines.off", 1.2)
    with pytest.raises(UserError) as caught:
        made(settings("folder", path=own.path))
    assert len(str(caught.value).encode().splitlines()) == 3
    rows = index(made(settings("folder", path=own.path, on_bad="skip")))
    assert [row["mesh"] for row in rows] == ["\\udcff", "a", "two\\nlines", "b"]


@pytest.mark.parametrize(
    ("names", "categories", "reason"),
    [
        ([], None, "has no category, allowed: a folder with CATEGORY"),
        (["a.off", "chair/b.off"], None, "has no category, allowed: a folder with CATEGORY"),
        (["chair/train/a.off"], None, "has no mesh for test, allowed"),
        (["chair/test/a.off", "chair/train/a.txt"], None, "has no mesh for train, allowed"),
        (["chair/train/a.off", "chair/test/b.off"], ["chair", "lamp"], "has 'lamp', allowed: chair"),
        (["chair/train/a.off", "sofa/test/b.off"], ["sofa"], "has no mesh for train"),
        (["chair/train/a.off", "chair/test/b.off", "sofa/train/c.txt"], None, "sofa has no mesh, allowed"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise(made, own, names, categories, reason):
    own.path.mkdir()
    for name in names:
        own(name, 1.0 if name.endswith("off") else b"")
    with pytest.raises(UserError, match=reason):
        made(settings("folder", categories, path=own.path))


def test_a_folder_that_is_not_there(made, tmp_path):
    with pytest.raises(
        UserError, match=r"meshes.folder.path is .*no folder to read .*, allowed: a folder with CATEGORY/{train,test}"
    ):
        made(settings("folder", path=tmp_path / "nowhere"))


def test_a_category_without_one_of_the_splits_is_told_of(made, own, caplog):
    for name in ("chair/train/a.off", "chair/test/b.off", "sofa/train/c.off"):
        own(name, float(ord(name[-5])))
    with caplog.at_level(logging.WARNING):
        assert len(index(made(settings("folder", path=own.path)))) == 3
    assert caplog.messages == [f"{own.path}/sofa has no mesh for test"]


def test_a_mesh_for_training_and_test_is_told_of(made, own, caplog):
    own("chair/train/a.off", 1.0)
    own("chair/train/b.off", 1.0)
    own("chair/test/c.ply", 1.1)
    own("chair/test/d.off", 1.0)
    with caplog.at_level(logging.WARNING):
        made(settings("folder", path=own.path))
    assert caplog.messages == ["1 meshes are both for training and for test: chair/test/d.off is chair/train/a.off"]


def test_the_same_bytes_every_time(made, own):
    for name in ("chair/train/a.off", "chair/test/b.glb", "sofa/train/c.stl"):
        own(name, float(ord(name[-5])))
    first = files(made(settings("folder", path=own.path)))
    assert files(made(settings("folder", path=own.path), "again")) == first


def test_all_files_have_their_checksums(made, own):
    own("chair/train/a.off", 1.0)
    own("chair/test/b.off", 1.1)
    out = made(settings("folder", path=own.path))
    known = read_checksums(out)
    assert known == {name: checksum for name, checksum in files(out).items() if name != "SHA256SUMS"}
    check(out, known)


def test_own_meshes_that_are_not_in_a_copy_of_the_repository(own, tmp_path, monkeypatch, capsys):
    """An experiment runs in such a copy, with what git and DVC track."""
    own("chair/train/a.off", 1.0)
    own("chair/test/b.off", 1.1)
    (tmp_path / "copy/own").mkdir(parents=True)
    (tmp_path / "copy/own/README.md").touch()
    monkeypatch.setattr(meshes, "SCRATCH", tmp_path / ".scratch")
    monkeypatch.chdir(tmp_path / "copy")
    said = "own: this experiment runs in a copy of the repository, which lacks {} of 2 meshes, as chair/test/b.off; "
    with pytest.raises(UserError, match=said.format(2)):
        meshes._check_copy(Path("own"))
    meshes._check_copy(own.path)  # an absolute path is the same folder
    shutil.copytree(own.path / "chair/train", "own/chair/train")
    meshes._check_copy(Path("own"))
    assert capsys.readouterr().err.startswith(said.format(1))
    shutil.copytree(own.path / "chair/test", "own/chair/test")
    meshes._check_copy(Path("own"))
    assert capsys.readouterr().err == ""


def test_an_old_dataset_is_replaced_and_anything_else_is_not(made, own, tmp_path):
    own("chair/train/a.off", 1.0)
    own("chair/test/b.off", 1.1)
    out = made(settings("folder", path=own.path))
    (out / "stale.off").touch()
    assert "stale.off" not in files(made(settings("folder", path=own.path)))
    (tmp_path / "letters").mkdir()
    made(settings("folder", path=own.path), "letters")
    shutil.rmtree(tmp_path / "letters")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/to my aunt.txt").touch()
    with pytest.raises(UserError, match="not replaced"):
        made(settings("folder", path=own.path), "letters")
    assert files(tmp_path / "letters")


def test_furniture(made):
    out = made(settings("furniture", ["sofa", "chair"], train=2, test=1))
    rows = index(out)
    assert [(row["category"], row["split"], row["mesh"]) for row in rows] == [
        (category, split, f"{category}_{number}")
        for category in ("chair", "sofa")
        for split, number in (("train", "0001"), ("train", "0002"), ("test", "0003"))
    ]
    assert json.loads((out / "source.json").read_text()) == {"source": "furniture", "seed": 0, "train": 2, "test": 1}
    assert files(out) == files(made(settings("furniture", ["sofa", "chair"], train=2, test=1), "again"))
    assert {row["category"] for row in index(made(settings("furniture"), "all"))} == set(furniture.CATEGORIES)
    with pytest.raises(UserError, match=r"meshes.categories has 'lamp', allowed: bathtub, bed"):
        made(settings("furniture", ["lamp"]))


@pytest.fixture
def archive(modelnet10, tmp_path, monkeypatch):
    """The real meshes in an archive like the official one."""
    counts = {}
    path = tmp_path / "ModelNet10.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for mesh in sorted(modelnet10.glob("*/*/*.off")):
            category, split, _ = mesh.relative_to(modelnet10).parts
            zipped.write(mesh, f"ModelNet10/{category}/{split}/{mesh.name}")
            counts.setdefault(category, {"train": 0, "test": 0})[split] += 1
    monkeypatch.setattr("sphreg.modelnet10.COUNTS", {name: tuple(count.values()) for name, count in counts.items()})
    return path


def test_real_meshes_come_out_of_an_archive_as_out_of_a_folder(made, modelnet10: Path, archive):
    from_archive = made(settings("modelnet10", archive=archive), "archive")
    from_folder = made(settings("folder", path=modelnet10), "folder")
    meshes = files(from_archive)
    assert {name: file for name, file in meshes.items() if name.endswith(".off")} == {
        name: file for name, file in files(from_folder).items() if name.endswith(".off")
    }
    assert len(index(from_archive)) == len(list(modelnet10.glob("*/*/*.off"))) >= 25
    facts = json.loads((from_archive / "source.json").read_text())
    assert facts == {
        "source": "modelnet10",
        "archive": str(archive),
        "train": None,
        "test": None,
        "bytes": archive.stat().st_size,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }


def test_the_checksum_of_the_archive(made, archive, tmp_path):
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    facts = [
        (made(settings("modelnet10", archive=archive, sha256=one)) / "source.json").read_text()
        for one in (right.upper(), None)
    ]
    assert facts[0] == facts[1]
    wrong = right[1:] + right[0]
    with pytest.raises(UserError) as caught:
        made(settings("modelnet10", archive=archive, sha256=wrong), "wrong")
    assert str(caught.value).startswith(f"{archive}: its SHA-256 is {right}, and meshes.modelnet10.sha256 is {wrong}; ")
    assert not (tmp_path / "wrong").exists()


def test_limits_and_categories_of_the_archive(made, archive):
    rows = index(made(settings("modelnet10", ["bathtub", "bed"], archive=archive, train=2, test=1)))
    assert [row["mesh"] for row in rows] == [
        *["bathtub_0001", "bathtub_0002", "bathtub_0107"],
        *["bed_0001", "bed_0002", "bed_0563"],
    ]
    assert rows[0]["source"] == "ModelNet10/bathtub/train/bathtub_0001.off"
    with pytest.raises(UserError, match=r"meshes.categories has 'lamp', allowed: bathtub"):
        made(settings("modelnet10", ["lamp"], archive=archive))


def test_a_bad_mesh_in_the_archive_may_be_skipped(made, tmp_path, monkeypatch):
    monkeypatch.setattr(modelnet10, "COUNTS", {"chair": (2, 1)})
    path = tmp_path / "a.zip"
    good = trimesh.creation.box().export(file_type="off")
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("ModelNet10/chair/train/chair_0001.off", good[:-9])
        zipped.writestr("ModelNet10/chair/train/chair_0002.off", good)
        zipped.writestr("ModelNet10/chair/test/chair_0003.off", good.replace("0.5", "0.7"))
    rows = index(made(settings("modelnet10", archive=path, on_bad="skip")))
    assert [bool(row["path"]) for row in rows] == [False, True, True]
