"""Rendered images against closed forms and against their labels."""

import csv
import io
import json
import zipfile
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.pack import pack
from sphreg.render import dataset
from sphreg.render.camera import Camera, decode_normals
from sphreg.render.engine import Engine, choose_engine, open_engine
from sphreg.render.gl import GL, probe
from sphreg.render.sampling import rotations
from sphreg.views import Views

FOV = 40.0
DISTANCE = 1 / np.sin(np.radians(20))
FOCAL = 1 / np.tan(np.radians(20))
SIZE = 64
SETTINGS = Render(
    seed=3,
    size=SIZE,
    fov_deg=FOV,
    train_views=6,
    test_views=4,
    train_normals=6,
    test_normals=2,
    jpeg_quality=95,
    workers=None,
)


@pytest.fixture(scope="module")
def engine():
    return GL(Camera(SIZE, FOV))


@pytest.fixture(scope="module")
def some_rotations():
    return Rotation.random(12, np.random.default_rng(5)).as_matrix()


def normalised(mesh):
    vertices = mesh.vertices - mesh.bounds.mean(axis=0)
    return np.array(vertices / np.linalg.norm(vertices, axis=1).max()), np.array(mesh.faces)


def box(*sides):
    return normalised(trimesh.creation.box(sides))


def asymmetric():
    """An L with a bar to one side: no rotation of it looks like another."""
    parts = [((2, 0.5, 0.4), (0, 0, 0)), ((0.4, 0.5, 1.2), (0.8, 0, 0.8)), ((0.3, 1.4, 0.3), (-0.7, 0.9, 0.1))]
    boxes = [trimesh.creation.box(sides, trimesh.transformations.translation_matrix(at)) for sides, at in parts]
    return normalised(trimesh.util.concatenate(boxes))


# Rays, in closed form: through sub-sample (row, column) of a grid of side x side, from the camera at the origin.


def rays(side, offset=0.5, step=1):
    at = (np.arange(0, side, step) + offset) / side * 2 - 1
    x, y = np.meshgrid(at, -at)
    return np.stack([x / FOCAL, y / FOCAL, -np.ones_like(x)], axis=-1)


def hit_box(half, rotation, directions):
    """The normal towards the viewer and |n . v| where the rays meet a box, zero where they do not."""
    start = rotation.T @ [0, 0, DISTANCE]
    turned = directions @ rotation
    with np.errstate(divide="ignore"):
        near = (-np.sign(turned) * half - start) / turned
        far = (np.sign(turned) * half - start) / turned
    axis = near.argmax(axis=-1)
    hit = near.max(axis=-1) < far.min(axis=-1)
    normals = -np.sign(np.take_along_axis(turned, axis[..., None], -1)) * np.eye(3)[axis]
    return hit, normals @ rotation.T


def hit_sphere(directions):
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    along = -DISTANCE * unit[..., 2]
    under_root = along**2 - DISTANCE**2 + 1
    hit = under_root > 0
    points = unit * (along - np.sqrt(np.where(hit, under_root, 0)))[..., None]
    return hit, points + np.array([0, 0, DISTANCE])


def shade(hit, normals, directions):
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.where(hit, 0.3 + 0.6 * np.abs((normals * unit).sum(axis=-1)), 1.0) * 255


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert isinstance(open_engine(Camera(8, FOV)), Engine)
    assert choose_engine() == engine.info
    assert {"engine", "version", "platform", "gl_vendor", "gl_renderer", "gl_version"} <= set(engine.info)


def test_normals_of_a_box(engine, some_rotations):
    vertices, faces = box(1, 2, 3)
    directions = rays(2 * SIZE, offset=1.5, step=2)
    for rotation, (_, colours) in zip(some_rotations, engine.render(vertices, faces, some_rotations), strict=True):
        hit, normals = hit_box(np.array([1, 2, 3]) / 14**0.5, rotation, directions)
        assert ((normals * directions).sum(axis=-1)[hit] < 0).all()  # towards the viewer
        expected = np.where(hit[..., None], np.rint((normals + 1) / 2 * 255), 0)
        wrong = np.abs(colours - expected).max(axis=-1) > 1
        assert wrong.sum() <= 3  # samples on an edge
        assert hit.mean() > 0.08


def test_grey_of_a_box(engine, some_rotations):
    vertices, faces = box(3, 1, 2)
    directions = rays(2 * SIZE)
    for rotation, (image, _) in zip(some_rotations, engine.render(vertices, faces, some_rotations), strict=True):
        hit, normals = hit_box(np.array([3, 1, 2]) / 14**0.5, rotation, directions)
        samples = shade(hit, normals, directions)
        expected = samples.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3))
        wrong = np.abs(image - expected) > 1.01
        assert wrong.sum() <= 12  # four samples make a pixel


def test_a_sphere(engine):
    vertices, faces = normalised(trimesh.creation.icosphere(subdivisions=5))
    (image, colours), *_ = engine.render(vertices, faces, np.eye(3)[None])
    directions = rays(2 * SIZE, offset=1.5, step=2)
    hit, normals = hit_sphere(directions)
    mask = colours.any(axis=-1)
    assert (mask != hit).mean() < 0.01  # the facets are inside of the sphere
    decoded = decode_normals(colours)
    angles = np.degrees(np.arccos(np.clip((decoded * normals).sum(axis=-1), -1, 1)))[mask & hit]
    edge = np.degrees(np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1).max())
    assert angles.max() < edge  # the normal of a facet is at most that of its farthest point away
    assert angles.mean() < edge / 2
    directions = rays(2 * SIZE)
    samples = shade(*hit_sphere(directions), directions)
    expected = samples.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3))
    inside = hit_sphere(directions)[0].reshape(SIZE, 2, SIZE, 2).all(axis=(1, 3))
    assert np.abs(image - expected)[inside].mean() < 1
    assert (image[~hit_sphere(directions)[0].reshape(SIZE, 2, SIZE, 2).any(axis=(1, 3))] == 255).all()


def test_the_unit_sphere_fills_the_image_to_its_edges(engine):
    vertices, faces = normalised(trimesh.creation.icosphere(subdivisions=5))
    (_, colours), *_ = engine.render(vertices, faces, np.eye(3)[None])
    mask = colours.any(axis=-1)
    for edge in mask[0], mask[-1], mask[:, 0], mask[:, -1]:
        assert 0 < edge.sum() < SIZE / 4
    assert mask.sum() == pytest.approx(np.pi / 4 * SIZE**2, rel=0.01)


def test_a_rod_reaches_the_edge_and_stays_inside(engine):
    vertices, faces = box(0.06, 0.06, 2)
    tilt = np.radians(20)  # where the end of the rod is nearest to the edge of the view
    for turn in np.arange(0, 360, 15):
        rotation = Rotation.from_euler("ZY", [np.radians(turn), np.pi / 2 - tilt]).as_matrix()
        (_, colours), *_ = engine.render(vertices, faces, rotation[None])
        row, column = np.nonzero(colours.any(axis=-1))
        reach = np.hypot(row + 0.75 - SIZE / 2, column + 0.75 - SIZE / 2).max()
        assert SIZE / 2 - 1.5 < reach <= SIZE / 2


def test_both_sides_of_a_face_look_alike(engine, some_rotations):
    vertices, faces = asymmetric()
    mixed = faces.copy()
    mixed[::2] = mixed[::2, ::-1]
    for other in faces[:, ::-1].copy(), mixed:
        pairs = zip(
            engine.render(vertices, faces, some_rotations), engine.render(vertices, other, some_rotations), strict=True
        )
        for (image, colours), (other_image, other_colours) in pairs:
            assert (image != other_image).sum() <= 2
            assert (colours != other_colours).any(axis=-1).sum() <= 2


def test_an_open_sheet_is_seen_from_behind(engine):
    vertices = np.array([[-0.7, -0.7, 0], [0.7, -0.7, 0], [0.7, 0.7, 0], [-0.7, 0.7, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    front_and_back = np.stack([np.eye(3), np.diag([1.0, -1, -1])])
    (front, normals), (back, normals_behind) = engine.render(vertices, faces, front_and_back)
    np.testing.assert_array_equal(front, back)
    np.testing.assert_array_equal(normals, normals_behind)
    assert front[SIZE // 2, SIZE // 2] == pytest.approx(0.9 * 255, abs=1)
    assert (np.unique(normals.reshape(-1, 3), axis=0) == [[0, 0, 0], [128, 128, 255]]).all()


def test_the_nearer_of_two_sheets_is_seen(engine):
    far = np.array([[-0.6, -0.6, -0.1], [0.6, -0.6, -0.1], [0, 0.7, -0.1]])
    near = np.array([[-0.5, -0.5, 0.1], [0.5, -0.5, 0.1], [0, 0.6, 0.4]])
    for order in (far, near), (near, far):
        (_, colours), *_ = engine.render(np.vstack(order), np.arange(6).reshape(2, 3), np.eye(3)[None])
        assert colours[SIZE // 2, SIZE // 2].tolist() != [128, 128, 255]


def test_faces_without_an_area_change_nothing(engine, some_rotations):
    vertices, faces = asymmetric()
    needles = np.array([[0, 0, 1], [2, 2, 2], [0, len(vertices), 1]])
    more = np.vstack([vertices, (vertices[0] + vertices[1]) / 2])
    plain = engine.render(vertices, faces, some_rotations)
    for one, other in zip(plain, engine.render(more, np.vstack([needles, faces]), some_rotations), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    with pytest.raises(UserError, match="no face of the mesh has an area"):
        next(engine.render(more, needles, some_rotations))


def test_engines_of_several_sizes_do_not_disturb_each_other(engine, some_rotations):
    vertices, faces = asymmetric()
    alone = list(engine.render(vertices, faces, some_rotations))
    small = GL(Camera(16, 90.0)).render(*box(1, 1, 1), some_rotations)
    for expected, one, other in zip(alone, engine.render(vertices, faces, some_rotations), small, strict=True):
        np.testing.assert_array_equal(one[0], expected[0])
        np.testing.assert_array_equal(one[1], expected[1])
        assert other[0].shape == (16, 16)


def test_without_a_platform_the_packages_are_named(monkeypatch):
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    monkeypatch.setenv("EGL_DEVICE_ID", "99")
    with pytest.raises(UserError, match=r"libegl1 libgl1 libgl1-mesa-dri .*libosmesa6") as error:
        probe.__wrapped__()
    assert "egl: ValueError('Invalid device ID (99)')" in str(error.value)
    assert "\n" not in str(error.value)


# The images against their labels.


def silhouette(vertices, faces, quaternion):
    """The samples that the projected triangles cover, by a fill of polygons on a grid 16 times as fine as the image."""
    x, y, z, w = quaternion
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    points = vertices @ rotation.T
    depth = DISTANCE - points[:, 2]
    columns = (1 + points[:, 0] * FOCAL / depth) * SIZE / 2
    rows = (1 - points[:, 1] * FOCAL / depth) * SIZE / 2
    # Pixel 16 k of the fine grid is the sample of pixel k: three quarters of the way through it.
    places = np.rint(16 * (np.column_stack([columns, rows]) - 0.75)).astype(int)
    canvas = Image.new("1", (16 * SIZE, 16 * SIZE))
    draw = ImageDraw.Draw(canvas)
    for face in faces:
        draw.polygon([tuple(place) for place in places[face].tolist()], fill=1)
    return np.array(canvas)[::16, ::16]


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def transposed(quaternion):
    return quaternion * [-1, -1, -1, 1]


def test_masks_of_real_meshes_agree_with_their_rotations(engine, modelnet10):
    right, wrong = [], []
    for path in sorted(modelnet10.glob("*/*/*.off")):
        vertices, faces = normalised(trimesh.load_mesh(path, process=False))
        quaternions = rotations(0, path.stem, 3)
        matrices = Rotation.from_quat(quaternions).as_matrix()
        for quaternion, (_, colours) in zip(quaternions, engine.render(vertices, faces, matrices), strict=True):
            right.append(overlap(colours.any(axis=-1), silhouette(vertices, faces, quaternion)))
        wrong.append(overlap(colours.any(axis=-1), silhouette(vertices, faces, transposed(quaternion))))
    assert len(right) == 75
    assert np.mean(right) >= 0.99
    assert np.mean(wrong) < 0.75


# A dataset, rendered by a run that breaks after two meshes and by one that goes on with two processes.

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
        lines += [" ".join(map(repr, row)) for row in vertices.tolist()]
        lines += ["3 " + " ".join(map(str, row)) for row in faces.tolist()]
        path.write_text("\n".join(lines) + "\n")
        rows.append([name, category, split, path.relative_to(folder), len(vertices), len(faces), "x", ""])
    rows.append(["bad", "chair", "train", "", "", "", "x", "has no faces"])
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"])
        table.writerows(rows)
    (folder / "source.json").write_text('{"source": "folder"}')
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The folders of meshes and shards, and what two shards were that a broken run had finished."""
    root = tmp_path_factory.mktemp("rendered")
    meshes, out, scratch = write_meshes(root / "meshes", MESHES), root / "shards", root / "scratch"
    as_completed = dataset.as_completed

    def interrupted(tasks):
        yield next(as_completed(tasks))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "as_completed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dataset.render_dataset(meshes, out, SETTINGS.model_copy(update={"workers": 1}), scratch)
    assert not out.exists()
    finished, *surplus = sorted(scratch.rglob("*.zip"))
    for shard in surplus:  # what was begun when the run broke has been finished too
        shard.unlink()
    before = finished.name, finished.stat()
    dataset.render_dataset(meshes, out, SETTINGS.model_copy(update={"workers": 2}), scratch)
    assert not any(scratch.iterdir())
    return meshes, out, before


def test_there_is_a_shard_per_mesh_and_a_note_on_the_engine(rendered, engine):
    _, out, _ = rendered
    names = {f"{category}/{split}/{name}.zip" for name, (category, split, _) in MESHES.items()}
    assert set(contents(out)) == names | {"engine.json"}
    assert json.loads((out / "engine.json").read_text()) == engine.info


def test_a_restart_keeps_what_was_finished(rendered):
    _, out, (name, before) = rendered
    (shard,) = out.rglob(name)
    assert (shard.stat().st_ino, shard.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_neither_order_nor_processes_nor_other_meshes_matter(rendered, tmp_path):
    meshes, out, _ = rendered
    for entry in reversed(dataset.read_index(meshes)):
        dataset._render_mesh(entry, meshes, tmp_path, SETTINGS)
        assert entry.shard(tmp_path).read_bytes() == entry.shard(out).read_bytes()


@pytest.mark.parametrize(("name", "views", "with_normals"), [("chair_0001", 6, 6), ("vase_0002", 4, 2)])
def test_what_is_in_a_shard(rendered, engine, name, views, with_normals):
    category, split, (vertices, faces) = MESHES[name]
    quaternions = rotations(SETTINGS.seed, name, views)
    pictures = engine.render(vertices, faces, Rotation.from_quat(quaternions).as_matrix())
    with zipfile.ZipFile(rendered[1] / category / split / f"{name}.zip") as shard:
        assert len(shard.namelist()) == views + with_normals + 1
        for number, (image, colours) in enumerate(pictures, start=1):
            jpeg = np.array(Image.open(io.BytesIO(shard.read(f"v{number:03d}.jpg"))))
            assert np.abs(jpeg.astype(int) - image).mean() < 2
            if number <= with_normals:
                np.testing.assert_array_equal(Image.open(io.BytesIO(shard.read(f"v{number:03d}.png"))), colours)
        header, *rows = shard.read("quaternions.csv").decode().splitlines()
    assert header == "view,qw,qx,qy,qz"
    for number, (row, (x, y, z, w)) in enumerate(zip(rows, quaternions, strict=True), start=1):
        view, *numbers = row.split(",")
        assert view == f"v{number:03d}"
        assert [float(number) for number in numbers] == [w, x, y, z]


def test_masks_of_the_packed_dataset_agree_with_its_table(rendered, tmp_path):
    meshes, out, _ = rendered
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
    meshes, _, _ = rendered
    entries = dataset.read_index(meshes)

    def fingerprint(folder=meshes, engine="a", **changes):
        return dataset._fingerprint(folder, entries, SETTINGS.model_copy(update=changes), {"engine": engine})

    assert fingerprint(workers=5) == fingerprint()
    other = write_meshes(tmp_path, MESHES | {"vase_0002": ("vase", "test", box(1, 1, 1))})
    changed = [fingerprint(seed=4), fingerprint(jpeg_quality=90), fingerprint(engine="b"), fingerprint(other)]
    assert len({fingerprint(), *changed}) == 5


def test_a_mesh_that_cannot_be_rendered_is_named(tmp_path):
    line = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]]), np.array([[0, 1, 2]])
    meshes = write_meshes(tmp_path / "meshes", {"line_0001": ("line", "test", line)})
    with pytest.raises(UserError, match=r"mesh line_0001 cannot be rendered: no face of the mesh has an area\."):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, tmp_path / "scratch")
    assert not (tmp_path / "out").exists()


def test_a_missing_mesh_is_named(tmp_path):
    meshes = write_meshes(tmp_path / "meshes", MESHES)
    (meshes / "vase" / "test" / "vase_0002.off").unlink()
    with pytest.raises(UserError, match=r"vase_0002\.off: it cannot be read \(No such file"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, tmp_path / "scratch")


def test_a_process_that_dies_is_explained(tmp_path, monkeypatch):
    class Pool:
        def __init__(self, *arguments):
            pass

        def submit(self, *arguments):
            task = Future()
            task.set_exception(BrokenProcessPool())
            return task

        def shutdown(self, cancel_futures):
            pass

    monkeypatch.setattr(dataset, "ProcessPoolExecutor", Pool)
    meshes = write_meshes(tmp_path / "meshes", MESHES)
    with pytest.raises(UserError, match=r"a process that renders ended early.*fewer render\.workers"):
        dataset.render_dataset(meshes, tmp_path / "out", SETTINGS, tmp_path / "scratch")


def test_a_folder_of_something_else_is_not_replaced(rendered, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(UserError, match="it is not empty and holds no rendered views"):
        dataset.render_dataset(rendered[0], tmp_path, SETTINGS, tmp_path / "scratch")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
