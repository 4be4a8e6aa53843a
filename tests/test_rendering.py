"""The views of a dataset: what they are, and that neither a kill nor a full disk spoils them."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import trimesh
import yaml
from PIL import Image
from safetensors.numpy import load, load_file
from scipy.spatial.transform import Rotation

from sphreg.checksums import read_checksums, write_checksums
from sphreg.config import Execution, Render
from sphreg.config import load as load_params
from sphreg.errors import UserError
from sphreg.locks import alone
from sphreg.pack import pack
from sphreg.render import dataset
from sphreg.render.camera import Camera
from sphreg.render.engine import choose_engine, open_engine
from sphreg.render.index import read_index
from sphreg.render.sampling import rotations
from sphreg.render.work import plan, render_mesh
from sphreg.views import Views
from tests.settings import PARAMS
from tests.shapes import FOV, SIZE, asymmetric, box, normalised, overlap, silhouette, transposed

ROOT = Path(__file__).parents[1]
SETTINGS = Render(
    engine="numba",
    seed=3,
    size=SIZE,
    fov_deg=FOV,
    train_views=6,
    test_views=4,
    train_normals=6,
    test_normals=2,
    jpeg_quality=95,
)
HERE = Execution(workers=2, scheduler=None)
MESHES = {
    "chair_0002": ("chair", "train", box(1, 2, 3)),
    "chair_0001": ("chair", "train", asymmetric()),
    "vase_0001": ("vase", "train", normalised(trimesh.creation.icosphere(subdivisions=3))),
    "chair_0003": ("chair", "test", box(3, 1, 1)),
    "vase_0002": ("vase", "test", normalised(trimesh.creation.cone(1, 2))),
}


def write_meshes(folder, meshes):
    rows = []
    for name, (category, split, (vertices, faces)) in meshes.items():
        path = folder / category / split / f"{name}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["OFF", f"{len(vertices)} {len(faces)} 0"]
        lines += [" ".join(f"{number:.10f}" for number in row) for row in vertices.tolist()]
        lines += ["3 " + " ".join(map(str, row)) for row in faces.tolist()]
        path.write_text("\n".join(lines) + "\n")
        rows.append([name, category, split, path.relative_to(folder), len(vertices), len(faces), "x", ""])
    rows.append(["bad", "chair", "train", "", "", "", "x", "has no faces"])
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"])
        table.writerows(rows)
    (folder / "source.json").write_text('{"source": "folder"}')
    write_checksums(folder)
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The folders of meshes and of shards."""
    root = tmp_path_factory.mktemp("rendered")
    meshes, out = write_meshes(root / "meshes", MESHES), root / "shards"
    dataset.render_dataset(meshes, out, SETTINGS, HERE, root / "scratch")
    assert not any((root / "scratch").iterdir())
    return meshes, out


def test_there_is_a_shard_per_mesh_and_a_note_on_the_engine(rendered):
    _, out = rendered
    names = {f"{category}/{split}/{name}.safetensors" for name, (category, split, _) in MESHES.items()}
    assert set(contents(out)) == names | {"engine.json", "SHA256SUMS"}
    assert json.loads((out / "engine.json").read_text()) == choose_engine("numba")


def test_neither_order_nor_workers_nor_other_meshes_matter(rendered):
    meshes, out = rendered
    job = plan(SETTINGS)
    for entry in reversed(read_index(meshes)):
        shard = render_mesh(job, entry.mesh, entry.split, (meshes / entry.path).read_bytes())
        assert entry.shard(out).read_bytes() == shard


def test_both_engines_make_a_dataset(rendered, tmp_path):
    meshes, out = rendered
    settings = SETTINGS.model_copy(update={"engine": "pyrender"})
    dataset.render_dataset(meshes, tmp_path / "out", settings, HERE, tmp_path / "scratch")
    ours, theirs = contents(tmp_path / "out"), contents(out)
    assert ours.keys() == theirs.keys()
    assert json.loads(ours.pop("engine.json"))["engine"] == "pyrender"
    del ours["SHA256SUMS"]
    for name in ours:
        one, other = load(ours[name]), load(theirs[name])
        assert one.keys() == other.keys()
        np.testing.assert_array_equal(one["quaternions"], other["quaternions"])
        a, b = (decoded(shard["v001.png"]).astype(int) for shard in (one, other))
        assert np.mean(np.abs(a - b) > 1) < 0.001


def decoded(file):
    return np.array(Image.open(io.BytesIO(file.tobytes())))


@pytest.mark.parametrize(("name", "views", "with_normals"), [("chair_0001", 6, 6), ("vase_0002", 4, 2)])
def test_what_is_in_a_shard(rendered, name, views, with_normals):
    category, split, (vertices, faces) = MESHES[name]
    quaternions = rotations(SETTINGS.seed, name, views)
    engine = open_engine(Camera(SIZE, FOV), choose_engine("numba"))
    pictures = engine.render(vertices.round(10), faces, Rotation.from_quat(quaternions).as_matrix())
    shard = load_file(rendered[1] / category / split / f"{name}.safetensors")
    assert len(shard) == views + with_normals + 1
    for number, (image, colours) in enumerate(pictures, start=1):
        assert np.abs(decoded(shard[f"v{number:03d}.jpg"]).astype(int) - image).mean() < 2
        if number <= with_normals:
            np.testing.assert_array_equal(decoded(shard[f"v{number:03d}.png"]), colours)
    np.testing.assert_array_equal(shard["quaternions"], quaternions)


def test_masks_of_the_packed_dataset_agree_with_its_table(rendered, tmp_path):
    meshes, out = rendered
    pack(out, meshes, tmp_path, SETTINGS)
    right, wrong, lit = [], [], []
    for split, count in ("train", 18), ("test", 4):
        images, normals = Views(tmp_path / f"{split}.lmdb"), Views(tmp_path / f"{split}.normals.lmdb")
        assert len(normals) == count
        with (tmp_path / f"{split}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["key"] in normals]
        for row in rows:
            quaternion = np.array([float(row[f"q{axis}"]) for axis in "xyzw"])
            mask = normals.normals(row["key"]).any(axis=-1)
            expected = silhouette(*MESHES[row["mesh"]][2], quaternion)
            right.append(overlap(mask, expected))
            lit.append(overlap(images.image(row["key"]) < 243, expected))
            if row["mesh"] == "chair_0001":
                wrong.append(overlap(mask, silhouette(*MESHES[row["mesh"]][2], transposed(quaternion))))
    assert np.mean(right) >= 0.99
    assert np.mean(lit) >= 0.9  # the anti-aliased pixels of the edge belong to both sides
    assert np.mean(wrong) < 0.75


def test_what_the_finished_shards_depend_on(rendered, tmp_path):
    meshes, _ = rendered
    entries, job = read_index(meshes), plan(SETTINGS)

    def fingerprint(folder=meshes, engine=None, software=None, **changes):
        other = type(job)(SETTINGS.model_copy(update=changes), engine or job.engine, software or job.software)
        return dataset._fingerprint(read_checksums(folder), entries, other)

    assert fingerprint(engine={"engine": "a"}) != fingerprint()
    assert dataset._fingerprint(read_checksums(meshes), entries, plan(SETTINGS)) == fingerprint()
    other = write_meshes(tmp_path, MESHES | {"vase_0002": ("vase", "test", box(1, 1, 1))})
    changed = [
        fingerprint(seed=4),
        fingerprint(jpeg_quality=90),
        fingerprint(other),
        fingerprint(software={"numpy": "1"}),
    ]
    assert len({fingerprint(), *changed}) == 5


def test_a_mesh_that_cannot_be_rendered_is_named(tmp_path):
    line = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]]), np.array([[0, 1, 2]])
    meshes = write_meshes(tmp_path / "meshes", {"line_0001": ("line", "test", line)})
    with pytest.raises(UserError, match=r"mesh line_0001 cannot be rendered: no face of the mesh has an area\."):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")
    assert not (tmp_path / "out").exists()


def test_a_missing_mesh_is_named(tmp_path):
    meshes = write_meshes(tmp_path / "meshes", MESHES)
    (meshes / "vase" / "test" / "vase_0002.off").unlink()
    with pytest.raises(UserError, match=r"vase_0002\.off: it cannot be read \(No such file"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")


def test_a_mesh_that_is_not_what_was_written_is_named(tmp_path):
    meshes = write_meshes(tmp_path / "meshes", MESHES)
    path = meshes / "vase/test/vase_0002.off"
    shutil.copy(path, tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"vase_0002\.off: it is not what was written"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")
    write_checksums(meshes)
    with pytest.raises(
        UserError, match=r"mesh vase_0002 cannot be rendered: says 34 vertices and 64 faces in its header"
    ):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")
    assert not (tmp_path / "out").exists()


def test_meshes_of_an_older_version(tmp_path):
    meshes = write_meshes(tmp_path / "meshes", MESHES)
    (meshes / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match=r"SHA256SUMS: it is missing, as an older version made this folder; run the"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("chair_0001", "chair_0002", "line 3: chair_0002: a mesh of this name is there twice"),
        (",test,", ",best,", "line 5: chair_0003: its split is neither train nor test"),
        (",12,", ",,", "line 2: chair_0002: its number of faces is missing"),
        (",12,", ",-12,", "line 2: faces is -12.0, allowed: a whole number of at least 1"),
        (",12,", ",many,", "line 2: faces is 'many', allowed: a whole number of at least 1"),
        (",x,\n", ",x,has no faces\n", "line 2: chair_0002: it needs either a path or a problem"),
        ("split", "spilt", "it has no column 'split'"),
        (",,,,x,has no faces", "", "line 7: bad: it needs either a path or a problem"),
    ],
)
def test_a_damaged_index(rendered, tmp_path, old, new, reason):
    text = (rendered[0] / "index.csv").read_text()
    (tmp_path / "index.csv").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=rf"index\.csv[:,] {reason}"):
        read_index(tmp_path)


class InThreads:
    """In the place of workers, for two runs in one process. The first waits until the second waits for it."""

    def __init__(self, scratch):
        self.scratch, self.drawn = scratch, []

    @contextmanager
    def __call__(self, _):
        yield self

    def once(self, function, *arguments):
        return function(*arguments)

    def each(self, function, tasks, arguments):
        for task in tasks:
            if not self.drawn:
                wait_for(lambda: list(self.scratch.glob(".*.queue.lock")))
            self.drawn.append(task.mesh)
            yield task, function(*arguments(task))


def test_two_at_once_draw_each_mesh_once_and_both_have_all(rendered, tmp_path, monkeypatch, capfd):
    meshes, right = rendered
    pool = InThreads(tmp_path / "scratch")
    monkeypatch.setattr(dataset, "workers", pool)
    with ThreadPoolExecutor() as threads:
        outs = [tmp_path / "one", tmp_path / "other"]
        list(threads.map(lambda out: dataset.render_dataset(meshes, out, SETTINGS, HERE, pool.scratch), outs))
    assert sorted(pool.drawn) == sorted(MESHES)
    assert [contents(out) == contents(right) for out in outs] == [True, True]
    assert list(pool.scratch.iterdir()) == []
    assert capfd.readouterr().err.count("another process works on it; waiting for its end") == 1


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-1], lambda content: content[100:]])
def test_a_shard_that_is_damaged_is_drawn_again(rendered, tmp_path, damage):
    meshes, right = rendered
    work = tmp_path / "scratch" / dataset._fingerprint(read_checksums(meshes), read_index(meshes), plan(SETTINGS))
    shutil.copytree(right, work)
    shard = work / "chair/train/chair_0001.safetensors"
    shard.write_bytes(damage(shard.read_bytes()))
    dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, HERE, tmp_path / "scratch")
    assert contents(tmp_path / "out") == contents(right)


def test_other_software_is_named(rendered):
    entry = read_index(rendered[0])[0]
    job = plan(SETTINGS)
    other = type(job)(job.settings, job.engine, job.software | {"numpy": "1.0"})
    sentence = rf"has numpy 1\.0, not {np.__version__}; install the same everywhere"
    with pytest.raises(UserError, match=sentence):
        render_mesh(other, entry.mesh, entry.split, (rendered[0] / entry.path).read_bytes())


def test_what_is_something_else_is_not_replaced(rendered, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    alone = Execution(workers=1, scheduler=None)
    for out in tmp_path, tmp_path / "thesis.tex":
        with pytest.raises(UserError, match="holds no rendered views, so it is not replaced"):
            dataset.render_dataset(rendered[0], out, SETTINGS, alone, tmp_path / "scratch")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        dataset.render_dataset(rendered[0], tmp_path / "thesis.tex" / "out", SETTINGS, alone, tmp_path / "scratch")
    with pytest.raises(UserError, match=r"thesis\.tex.*cannot be written"):
        dataset.render_dataset(rendered[0], tmp_path / "out", SETTINGS, alone, tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_without_a_folder_for_what_numba_compiles(rendered, tmp_path):
    """The package where nothing can be written, and no home."""
    (tmp_path / "sphreg").mkdir()
    shutil.copytree(
        ROOT / "sphreg", tmp_path / "sphreg", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in (tmp_path / "sphreg/render/__pycache__", tmp_path / "cache"):
        folder.touch()  # where a folder should be, as root may write anywhere
    code = "from sphreg.render import pixels, raster; print(raster.__file__, type(pixels._reduce._cache).__name__)"
    homes = {"HOME": str(tmp_path / "cache"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = os.environ | homes | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}/sphreg/render/raster.py NullCache\n", done.stderr


# The stages as processes of their own, which are killed, and whose files may not grow.


def write_project(folder, count):
    """Settings and meshes, so that the stages can run in a folder: `count` meshes, of which each takes a while."""
    params = PARAMS.model_dump()
    params["render"] = SETTINGS.model_dump() | {"train_views": 400, "train_normals": 100}
    params["execution"]["workers"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_meshes(folder / "meshes", {f"chair_{n:04d}": ("chair", "train", box(1, 2, 3 + n)) for n in range(count)})
    return folder


def stage(name, project, limit="unlimited"):
    """Start a stage whose files may have so many KiB."""
    options = {"render": "--out shards", "pack": "--shards shards --out so3"}[name]
    command = f"ulimit -f {limit}; exec {sys.executable} -m stages.{name} --meshes meshes {options}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(project)}
    return subprocess.Popen(["bash", "-c", command], cwd=project, env=environment, stderr=subprocess.PIPE, text=True)


def end(process):
    """The status of a stage and what it said."""
    said = process.communicate(timeout=300)[1]
    return process.returncode, said


def wait_for(happened):
    for _ in range(15_000):  # five minutes, on a busy machine
        if happened():
            return
        time.sleep(0.02)
    raise TimeoutError


def killed(project, name, happened):
    """Kill a stage once something happened; its processes have to end with it."""
    process = stage(name, project)
    wait_for(happened)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    assert end(process)[0] == -signal.SIGKILL
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_a_killed_render_goes_on_where_it_stopped(tmp_path):
    project = write_project(tmp_path, 20)

    def shards():
        return sorted(project.glob(".scratch/render/*/chair/train/*.safetensors"))

    killed(project, "render", lambda: len(shards()) >= 3)
    first = {path.name: path.stat() for path in shards()}
    killed(project, "render", lambda: len(shards()) >= len(first) + 2)
    assert len(first) < len(shards()) < 20
    assert end(stage("render", project))[0] == 0
    finished = {path.name: path.stat() for path in project.glob("shards/chair/train/*.safetensors")}
    assert len(finished) == 20
    assert all(
        finished[name].st_ino == old.st_ino and finished[name].st_mtime == old.st_mtime for name, old in first.items()
    )
    assert not list(project.glob(".scratch/render/*"))

    dataset.render_dataset(
        project / "meshes", project / "again", load_params(project / "params.yaml").render, HERE, project / ".scratch"
    )
    assert contents(project / "again") == contents(project / "shards")


def test_a_stage_waits_for_another_that_writes_to_the_same_place(tmp_path):
    """As where DVC was killed, and is started again while the stage lives on."""
    project = write_project(tmp_path, 2)
    with alone(project / "shards"):
        process = stage("render", project)
        assert process.stderr.readline() == "shards: another process works on it; waiting for its end.\n"
        assert not (project / ".scratch").exists()
    assert end(process)[0] == 0
    assert len(list(project.glob("shards/chair/train/*.safetensors"))) == 2


def test_a_killed_pack_is_done_again(tmp_path):
    project = write_project(tmp_path, 20)
    assert end(stage("render", project))[0] == 0
    killed(project, "pack", lambda: (project / "so3" / "train.lmdb.partial").exists())
    assert not (project / "so3" / "info.json").exists()
    assert end(stage("pack", project))[0] == 0
    pack(project / "shards", project / "meshes", project / "again", load_params(project / "params.yaml").render)
    assert contents(project / "again") == contents(project / "so3")


def test_a_full_disk_is_one_sentence_and_leaves_nothing_to_trust(tmp_path):
    project = write_project(tmp_path, 4)
    status, said = end(stage("render", project, limit=100))  # a shard has more
    assert status == 1
    assert re.search(r"chair_\d{4}\.safetensors: it cannot be written \(File too large\)\.", said)
    assert "Traceback" not in said
    assert not [path for path in project.rglob("*.safetensors*") if path.is_file()]
    assert end(stage("render", project))[0] == 0
    before = contents(project / "shards")
    status, said = end(stage("pack", project, limit=500))
    assert status == 1
    assert re.search(
        r"train(\.normals)?\.lmdb: it cannot be written \(.*: Input/output error; is the disk full\?\)\.", said
    )
    assert "Traceback" not in said
    assert not list(project.glob("so3/*"))
    assert contents(project / "shards") == before
