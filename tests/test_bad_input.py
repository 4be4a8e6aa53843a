"""Input that is odd or wrong, through the stage `meshes`: the right mesh, or a sentence, and earlier results intact."""

import csv
import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

import stages
from sphreg import download, modelnet10
from sphreg.errors import UserError
from stages import meshes
from tests.settings import FILE

ROOT = Path(__file__).parents[1]
SOURCES = ("folder", "modelnet10")
NAMES = ("train/first", "train/second", "test/third")
POINTS = [(0, 0, 0), (4, 0, 0), (0, 4, 0)]


def off(points, faces):
    rows = [" ".join(map(repr, point)) for point in points]
    rows += [" ".join(map(str, [len(face), *face])) for face in faces]
    return "\n".join(["OFF", f"{len(points)} {len(faces)} 0", *rows, ""]).encode()


def triangle(size):
    return off([(0, 0, 0), (size, 0, 0), (0, 1, 1)], [(0, 1, 2)])


def digests(folder):
    """The checksum of each file in a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()
    }


class Stage:
    """The stage in a folder with a params.yaml and three good meshes, as files of the user's and in an archive."""

    out = Path("data/meshes")

    def __init__(self):
        self.meshes = {name: triangle(size) for size, name in enumerate(NAMES, 1)}
        self.save()

    def set(self, source, **settings):
        params = yaml.safe_load(FILE.read_text())
        params["meshes"] |= {"source": source, "categories": None, "on_bad": "fail"}
        params["meshes"]["folder"]["path"] = "own"
        params["meshes"]["modelnet10"]["archive"] = "ModelNet10.zip"
        params["meshes"][source] |= settings
        Path("params.yaml").write_text(yaml.safe_dump(params))

    def save(self, *members):
        """Write the meshes, and to the archive `members` besides, each with 100 bytes."""
        shutil.rmtree("own", ignore_errors=True)
        with zipfile.ZipFile("ModelNet10.zip", "w") as archive:
            for name, content in self.meshes.items():
                path = Path(f"own/chair/{name}.off")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                archive.writestr(f"ModelNet10/chair/{name}.off", content)
            for member in members:
                archive.writestr(member, bytes(100))

    def run(self):
        """Returns what it ends with: a sentence, or None."""
        try:
            stages.run.__wrapped__(meshes.main)  # without what makes a status of the sentence
        except UserError as error:
            return str(error)

    def fails(self):
        """The sentence; nothing has changed, and nothing is left in the way."""
        before = digests(self.out)
        sentence = self.run()
        assert sentence
        assert digests(self.out) == before
        assert not self.left()
        return sentence

    def left(self):
        """What lies about that is no result."""
        folders = (Path(".scratch/meshes"), Path("data"))
        return [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path != self.out]

    def index(self):
        with (self.out / "index.csv").open(newline="", encoding="utf-8") as file:
            return {row["mesh"]: row for row in csv.DictReader(file)}

    def mesh(self, name):
        """Vertices and faces of a mesh of the dataset, word by word."""
        words = (self.out / self.index()[name]["path"]).read_text().split()
        n = int(words[1])
        numbers = np.array(words[4:], dtype=float)
        return numbers[: 3 * n].reshape(n, 3), numbers[3 * n :].reshape(-1, 4)[:, 1:].astype(int)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "argv", ["meshes", "--out", "data/meshes"])
    monkeypatch.setattr(modelnet10, "COUNTS", {"chair": (2, 1)})
    return Stage()


def area(vertices, faces):
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


@pytest.mark.parametrize("source", SOURCES)
def test_a_face_of_20_corners(stage, source):
    circle = [(np.cos(a).item(), np.sin(a).item(), 0.0) for a in np.arange(20) * np.pi / 10]
    stage.meshes["train/first"] = off(circle, [range(20)])
    stage.save()
    stage.set(source)
    assert stage.run() is None
    vertices, faces = stage.mesh("first")
    np.testing.assert_allclose(vertices, circle, rtol=0, atol=1e-10)
    assert faces.shape == (18, 3)
    assert area(vertices, faces) == pytest.approx(10 * np.sin(np.pi / 10), abs=1e-8)


@pytest.mark.parametrize("scale", [1, 1e30, 1e-30])
@pytest.mark.parametrize("source", SOURCES)
def test_a_single_triangle_of_any_size(stage, source, scale):
    stage.meshes["train/first"] = off(np.multiply(POINTS, scale).tolist(), [(0, 1, 2)])
    stage.save()
    stage.set(source)
    assert stage.run() is None
    assert (stage.out / "chair/train/first.off").read_bytes() == (
        b"OFF\n3 1 0\n-0.7071067812 -0.7071067812 0.0000000000\n0.7071067812 -0.7071067812 0.0000000000\n"
        b"-0.7071067812 0.7071067812 0.0000000000\n3 0 1 2\n"
    )


def test_300_000_faces(stage):
    """A flat grid of 300 x 500 squares, whose bounding box has a half diagonal of sqrt(85000)."""
    x, y = np.meshgrid(np.arange(301), np.arange(501))
    corner = np.arange(301 * 501).reshape(501, 301)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 7)], axis=1)
    stage.meshes["train/first"] = off(points.tolist(), faces.tolist())
    stage.save()
    stage.set("folder")
    assert stage.run() is None
    row = stage.index()["first"]
    assert (row["vertices"], row["faces"]) == (str(301 * 501), "300000")
    vertices, found = stage.mesh("first")
    np.testing.assert_array_equal(found, faces)
    np.testing.assert_allclose(vertices, (points - [150, 250, 7]) / np.sqrt(85000), rtol=0, atol=1e-10)


ODD_NAMES = [
    *["a chair", " a chair", "gro\u0308ßer", "größer".upper(), "Стул 椅子 🪑", "e\u0301.v001", "v1.2.off"],
    *["a, b", 'the "best"', "it's", "-n", "%s %d", "{0}", "100%", "a;b|c", "$HOME", "~", "#1", "=1+1", "a\\b", "CON"],
]


@pytest.mark.parametrize("source", SOURCES)
def test_odd_names(stage, source, monkeypatch):
    names = [name for name in ODD_NAMES if source == "folder" or "\\" not in name]
    stage.meshes |= {f"train/{name}": triangle(size) for size, name in enumerate(names, 4)}
    monkeypatch.setattr(modelnet10, "COUNTS", {"chair": (2 + len(names), 1)})
    stage.save()
    stage.set(source)
    assert stage.run() is None
    index = stage.index()
    assert sorted(index) == sorted(["first", "second", "third", *names])
    for size, name in enumerate(names, 4):
        assert index[name]["path"] == f"chair/train/{name}.off"
        (a, b, c), faces = stage.mesh(name)
        assert np.linalg.norm(b - a) / np.linalg.norm(c - a) == pytest.approx(size / np.sqrt(2), rel=1e-8)
        assert faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (
            np.random.default_rng(0).bytes(1000),
            "has no OFF header: the word OFF, maybe after C, N or ST, then the numbers of vertices, faces and edges",
        ),
        (
            b"OFF\n",
            "has no OFF header: the word OFF, maybe after C, N or ST, then the numbers of vertices, faces and edges",
        ),
        (
            b"OFF\n3 1 0\n",
            "has 0 lines after its header, which counts 3 vertices and 1 faces: it is damaged or cut short",
        ),
        (
            off(POINTS, [(0, 1, 2)]).replace(b"3 1 0", b"3 999999999999999999 0"),
            "has 4 lines after its header, which counts 3 vertices and 999999999999999999 faces: "
            "it is damaged or cut short",
        ),
        (
            off(POINTS, [(0, 1, 2)]).replace(b"3 1 0", b"-3 1 0"),
            "has a negative count in its header: -3 vertices, 1 faces",
        ),
        (
            off(POINTS, [(0, 1, 2)]).replace(b"3 1 0", b"3 -1 0"),
            "has a negative count in its header: 3 vertices, -1 faces",
        ),
        (off(POINTS, [(0, 1, 2), (0, 1)]), "line 7: face of 2 corners, allowed: 3 and more"),
        (off(POINTS, [(0, 1, 3)]), "line 6: face with vertex 3, allowed: 0 to 2"),
        (off(POINTS, [(0, 1, -1)]), "line 6: face with vertex -1, allowed: 0 to 2"),
        (off([*POINTS[:2], (0, np.nan, 1)], [(0, 1, 2)]), "line 5: vertex with a NaN or infinite coordinate"),
        (off([(np.inf, 0, 1), *POINTS[:2]], [(0, 1, 2)]), "line 3: vertex with a NaN or infinite coordinate"),
        (off([(1e30, 1e30, 1e30)] * 3, [(0, 1, 2)]), "has zero extent: all its vertices are one point"),
        (off([(0, 0, 0), (1, 1, 1), (2, 2, 2)], [(0, 1, 2)]), "has no area: its faces are lines or points"),
    ],
)
def test_a_bad_mesh(stage, source, content, reason):
    stage.set(source)
    assert stage.run() is None
    stage.meshes["train/second"] = content
    stage.save()
    file = {"folder": "chair/train/second.off", "modelnet10": "ModelNet10/chair/train/second.off"}[source]
    assert stage.fails().splitlines() == [
        "1 of 3 meshes cannot be used (meshes.on_bad=skip leaves them out):",
        f"{file}: {reason}",
    ]


def test_two_meshes_of_one_name(stage):
    stage.set("folder")
    assert stage.run() is None
    shutil.copy("own/chair/train/first.off", "own/chair/test/first.off")
    assert stage.fails().splitlines()[1:] == [
        "chair/test/first.off: has the name of chair/train/first.off, and a name stands for one mesh",
    ]


@pytest.mark.parametrize("name", ["all", "macro", "macro_fifth"])
def test_a_category_that_is_called_as_a_row_of_the_results(stage, name):
    stage.set("folder")
    assert stage.run() is None
    Path("own/chair").rename(f"own/{name}")
    assert stage.fails() == f"own/{name}: results have a row of that name beside the categories, allowed: any other"


def link():
    info = zipfile.ZipInfo("ModelNet10/chair/train/link.off")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("ModelNet10/chair/train/../../../../evil.off", "its path leaves the archive's folder"),
        (link(), "it is a symbolic link"),
    ],
    ids=["..", "link"],
)
def test_an_archive_that_reaches_out_of_its_folder(stage, tmp_path, member, reason):
    stage.set("modelnet10")
    assert stage.run() is None
    stage.save(member)
    before = sorted(tmp_path.parent.iterdir())
    name = member if isinstance(member, str) else member.filename
    assert stage.fails() == f"ModelNet10.zip: the member {name!r} is refused: {reason}"
    assert sorted(tmp_path.parent.iterdir()) == before


def test_an_archive_with_a_member_that_claims_100_gb(stage):
    stage.set("modelnet10")
    assert stage.run() is None
    with zipfile.ZipFile("ModelNet10.zip", "a") as archive:
        archive.writestr("ModelNet10/chair/train/large.off", b"OFF\n")
        archive.filelist[-1].file_size = 100 * 10**9
    with zipfile.ZipFile("ModelNet10.zip") as archive:
        assert archive.infolist()[-1].file_size == 100 * 10**9
    assert stage.fails() == (
        "ModelNet10.zip: the member 'ModelNet10/chair/train/large.off' is refused: it has more than 268435456 bytes"
    )


def test_an_archive_that_was_cut_short(stage):
    stage.set("modelnet10")
    assert stage.run() is None
    path = Path("ModelNet10.zip")
    path.write_bytes(path.read_bytes()[:-100])
    assert stage.fails() == "ModelNet10.zip: it is no zip archive, or is damaged (File is not a zip file)"


@pytest.fixture
def server(monkeypatch):
    """Sends the first 200 bytes of ModelNet10.zip each time, and says that there are more."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = Path("ModelNet10.zip").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:200])

        def log_message(self, *args):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_S", 0)
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/ModelNet10.zip"
        http.shutdown()
        thread.join()


def test_a_download_that_is_cut_short(stage, server):
    stage.set("modelnet10")
    assert stage.run() is None
    stage.set("modelnet10", archive=server)
    size = Path("ModelNet10.zip").stat().st_size
    assert stage.fails() == (
        f"{server}: the download failed (it ended after 200 of {size} bytes); run it again to go on where it ended"
    )


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("data", "data/meshes: it cannot be written (File exists)."),
        ("data/meshes", "data/meshes: it is there and is no dataset of meshes, so it is not replaced"),
    ],
)
def test_an_output_path_below_a_regular_file_or_at_one(stage, file, sentence):
    stage.set("folder")
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("a letter")
    before = digests(Path())
    assert stage.run() == sentence
    assert digests(Path()) == before


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (".scratch", r".scratch/downloads/\w+/ModelNet10.zip: it cannot be written \(Not a directory\)\."),
        (".scratch/downloads", r".scratch/downloads/\w+/ModelNet10.zip: it cannot be written \(Not a directory\)\."),
    ],
)
def test_a_regular_file_in_the_place_of_the_scratch_folder(stage, server, file, sentence):
    stage.set("modelnet10")
    assert stage.run() is None
    shutil.rmtree(file, ignore_errors=True)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("a letter")
    stage.set("modelnet10", archive=server)
    assert re.fullmatch(sentence, stage.fails())


def full(path):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize("source", SOURCES)
def test_a_disk_that_is_full_at_any_moment(stage, source, monkeypatch):
    stage.set(source)
    assert stage.run() is None
    for size, name in enumerate(NAMES, 10):
        stage.meshes[name] = triangle(size)
    stage.save()
    write = Path.write_bytes
    left = 0

    def write_while_there_is_room(path, content):
        nonlocal left
        left -= 1
        write(path, content if left >= 0 else content[: len(content) // 2])
        if left < 0:
            raise full(path)

    monkeypatch.setattr(Path, "write_bytes", write_while_there_is_room)
    for room in range(6):  # three meshes, their index, a note on their source and the checksums
        left = room
        sentence = stage.fails()
        assert sentence.endswith(": it cannot be written (No space left on device).")
        assert sentence.startswith("data/meshes.partial/")
        assert left == -1
    left = 6
    assert stage.run() is None
    assert left == 0
    assert (stage.out / "chair/train/first.off").read_text().startswith("OFF\n3 1 0\n")
    assert not stage.left()


def by_command(*prefix):
    """The stage as a user runs it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*prefix, sys.executable, "-m", "stages.meshes", "--out", "data/meshes"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_ends_with_status_1_and_says_why(stage):
    stage.set("folder")
    assert stage.run() is None
    before = digests(stage.out)
    (Path("own/chair/train") / "größer.off").write_bytes(off(POINTS, [(0, 1)]))
    ended = by_command()
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-2:] == [
        "1 of 4 meshes cannot be used (meshes.on_bad=skip leaves them out):",
        "chair/train/größer.off: line 6: face of 2 corners, allowed: 3 and more",
    ]
    assert "Traceback" not in ended.stderr
    assert digests(stage.out) == before
    assert not stage.left()


@pytest.mark.skipif(os.name != "posix", reason="only there a process can be denied large files")
def test_the_command_where_the_disk_takes_no_large_file(stage):
    stage.set("folder")
    assert stage.run() is None
    before = digests(stage.out)
    corner = np.arange(1000)
    points = np.stack([corner, corner**2, corner % 7], axis=1).tolist()
    stage.meshes["train/second"] = off(points, [(i, i + 1, i + 2) for i in range(998)])
    stage.save()
    ended = by_command("sh", "-c", 'ulimit -f 8; exec "$0" "$@"')
    assert ended.returncode == 1
    *_, sentence = ended.stderr.splitlines()
    assert sentence.startswith("data/meshes.partial/")
    assert sentence.endswith("/chair/train/second.off: it cannot be written (File too large).")
    assert "Traceback" not in ended.stderr
    assert digests(stage.out) == before
    assert not stage.left()
    assert by_command().returncode == 0
    assert stage.index()["second"]["faces"] == "998"
