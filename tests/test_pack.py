"""Packing of shards that are written here by hand."""

import csv
import json
import zlib

import numpy as np
import pytest
import simplejpeg
from safetensors.numpy import save_file
from scipy.spatial.transform import Rotation

from sphreg.checksums import check, write_checksums
from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.pack import pack
from sphreg.render.index import read_index
from sphreg.render.png import png
from sphreg.views import Views

SETTINGS = Render(
    engine="auto",
    seed=0,
    size=16,
    fov_deg=40.0,
    train_views=3,
    test_views=2,
    train_normals=2,
    test_normals=1,
    jpeg_quality=95,
)
# "a.v002" is a name that falls between the keys of "a"; one has a comma; the skipped one has no shard.
MESHES = [
    ("a", "sofa", "train"),
    ("a.v002", "sofa", "train"),
    ("sofa, red", "sofa", "train"),
    ("b", "bed", "train"),
    ("z", "bed", "test"),
    ("c", "sofa", "test"),
]
ENGINE = {"engine": "pencil", "version": "2B"}


def noise(mesh, view, *shape):
    return np.random.default_rng([zlib.crc32(mesh.encode()), view]).integers(0, 256, (16, 16, *shape), np.uint8)


def image(mesh, view):
    return simplejpeg.encode_jpeg(noise(mesh, view, 1), 95, "GRAY")


def normals(mesh, view):
    return png(noise(mesh, view, 3))


def quaternions(mesh, n):
    return Rotation.random(n, np.random.default_rng(zlib.crc32(mesh.encode()))).as_quat(canonical=True)


def write_shard(path, mesh, views, with_normals, **changes):
    """Changes replace arrays; a null leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"quaternions": quaternions(mesh, views)}
    for view in range(1, views + 1):
        arrays[f"v{view:03d}.jpg"] = np.frombuffer(image(mesh, view), np.uint8)
        if view <= with_normals:
            arrays[f"v{view:03d}.png"] = np.frombuffer(normals(mesh, view), np.uint8)
    save_file({name: array for name, array in (arrays | changes).items() if array is not None}, path)


@pytest.fixture
def folders(tmp_path):
    meshes, shards = tmp_path / "meshes", tmp_path / "shards"
    meshes.mkdir()
    with (meshes / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"])
        for mesh, category, split in MESHES:
            rows.writerow([mesh, category, split, f"{category}/{split}/{mesh}.off", 8, 12, "x", ""])
            counts = (3, 2) if split == "train" else (2, 1)
            write_shard(shards / category / split / f"{mesh}.safetensors", mesh, *counts)
        rows.writerow(["bad", "bath", "test", "", "", "", "x", "has no faces"])
    (meshes / "source.json").write_text(json.dumps({"source": "folder", "path": "here"}))
    (shards / "engine.json").write_text(json.dumps(ENGINE))
    write_checksums(meshes)
    write_checksums(shards)
    return shards, meshes, tmp_path / "so3"


def expected_keys(split, counts):
    return sorted(f"{mesh}.v{view:03d}" for mesh, _, s in MESHES if s == split for view in range(1, counts + 1))


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_dataset_is_six_files_and_their_description(folders):
    pack(*folders, SETTINGS)
    names = [f"{split}{end}" for split in ("test", "train") for end in (".csv", ".lmdb", ".normals.lmdb")]
    assert sorted(path.name for path in folders[2].iterdir()) == sorted(["SHA256SUMS", "info.json", *names])


@pytest.mark.parametrize(("split", "views", "with_normals"), [("train", 3, 2), ("test", 2, 1)])
def test_images_and_normals_are_found_by_their_keys(folders, split, views, with_normals):
    pack(*folders, SETTINGS)
    for name, count, content in (split, views, image), (f"{split}.normals", with_normals, normals):
        packed = Views(folders[2] / f"{name}.lmdb")
        assert packed.keys == expected_keys(split, count)
        for key in packed.keys:
            mesh, _, view = key.rpartition(".v")
            assert packed[key] == content(mesh, int(view))


@pytest.mark.parametrize(("split", "views"), [("train", 3), ("test", 2)])
def test_the_table_has_a_row_per_view(folders, split, views):
    pack(*folders, SETTINGS)
    header = (folders[2] / f"{split}.csv").read_text().splitlines()[0]
    assert header == "key,category,mesh,qw,qx,qy,qz,azimuth_deg,elevation_deg,tilt_deg"
    rows = read_csv(folders[2] / f"{split}.csv")
    assert [row["key"] for row in rows] == expected_keys(split, views)
    categories = {mesh: category for mesh, category, _ in MESHES}
    for row in rows:
        mesh, _, view = row["key"].rpartition(".v")
        assert (row["mesh"], row["category"]) == (mesh, categories[mesh])
        quaternion = [float(row[f"q{axis}"]) for axis in "xyzw"]
        assert quaternion == quaternions(mesh, views)[int(view) - 1].tolist()  # to the last bit


def test_the_viewpoint_in_the_table_is_the_rotation(folders):
    pack(*folders, SETTINGS)
    for row in read_csv(folders[2] / "train.csv"):
        azimuth, elevation, tilt = (float(row[f"{angle}_deg"]) for angle in ("azimuth", "elevation", "tilt"))
        product = [
            Rotation.from_euler(axis, angle, degrees=True)
            for axis, angle in (("z", tilt), ("x", elevation - 90), ("z", -azimuth))
        ]
        rotation = Rotation.from_quat([float(row[f"q{axis}"]) for axis in "xyzw"])
        assert (product[0] * product[1] * product[2] * rotation.inv()).magnitude() < 1e-12
        assert -180 <= azimuth < 180
        assert -90 <= elevation <= 90
        assert -180 <= tilt < 180


def test_the_description_counts_and_names_what_matters(folders):
    pack(*folders, SETTINGS)
    info = json.loads((folders[2] / "info.json").read_text())
    assert info["source"] == "folder"
    assert info["categories"] == ["bed", "sofa"]
    assert info["counts"] == {
        "train": {"bed": {"meshes": 1, "views": 3, "normals": 2}, "sofa": {"meshes": 3, "views": 9, "normals": 6}},
        "test": {"bed": {"meshes": 1, "views": 2, "normals": 1}, "sofa": {"meshes": 1, "views": 2, "normals": 1}},
    }
    assert info["render"]["size"] == 16
    assert "engine" not in info["render"]
    assert info["camera"]["distance"] == pytest.approx(1 / np.sin(np.radians(20)))
    assert info["engine"] == ENGINE
    assert info["software"]["simplejpeg"] == simplejpeg.__version__
    assert "re-render" in info["note"]


def test_packing_twice_gives_the_same_bytes(folders):
    shards, meshes, out = folders
    pack(shards, meshes, out, SETTINGS)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    pack(shards, meshes, out, SETTINGS.model_copy(update={"engine": "numba"}))  # what drew stands in engine.json
    pack(shards, meshes, out.with_name("again"), SETTINGS)
    for folder in out, out.with_name("again"):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def nan(mesh, views):
    """Rotations of which the second is none."""
    found = quaternions(mesh, views)
    found[1, 2] = np.nan
    return found


DAMAGED = r"z\.safetensors: it is not a shard, or is damaged"


def raw(content):
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda shard: shard.write_bytes(shard.read_bytes()[:-30]),
            DAMAGED,
        ),
        (lambda shard: shard.write_bytes(b""), DAMAGED),
        (
            lambda shard: write_shard(shard, "z", 5, 1),
            r"z\.safetensors: it has v003\.jpg, which `render` does not ask for",
        ),
        (lambda shard: write_shard(shard, "z", 2, 0), r"z\.safetensors: it lacks v001\.png, which `render` asks for"),
        (lambda shard: write_shard(shard, "z", 2, 1, quaternions=None), r"z\.safetensors: it lacks quaternions"),
        (lambda shard: write_shard(shard, "z", 2, 1, quaternions=nan("z", 2)), r"z\.safetensors: .* v002 is \[.*nan, "),
        (
            lambda shard: write_shard(shard, "z", 2, 1, quaternions=2 * quaternions("z", 2)),
            r"z\.safetensors: the quaternion of v001 is \[.*\], allowed: of length 1",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, quaternions=0 * quaternions("z", 2)),
            r"z\.safetensors: the quaternion of v001 is \[-?0\.0, .*\], allowed",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, quaternions=quaternions("z", 2).astype(np.float32)),
            r"z\.safetensors: quaternions is of type F32 and shape \[2, 4\], allowed: F64 and \[2, 4\]",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, quaternions=quaternions("z", 3)),
            r"z\.safetensors: quaternions is of type F64 and shape \[3, 4\]",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, **{"v001.jpg": noise("z", 1)}),
            r"z\.safetensors: v001\.jpg is of type U8 and shape \[16, 16\]",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, **{"v002.jpg": raw(b"")}),
            r"z\.safetensors: v002\.jpg is no grey JPEG of 16 x 16 pixels",
        ),
        (
            lambda shard: write_shard(
                shard, "z", 2, 1, **{"v002.jpg": raw(simplejpeg.encode_jpeg(noise("z", 1, 1)[:8].copy(), 95, "GRAY"))}
            ),
            r"z\.safetensors: v002\.jpg is no grey JPEG of 16 x 16 pixels",
        ),
        (
            lambda shard: write_shard(
                shard, "z", 2, 1, **{"v002.jpg": raw(simplejpeg.encode_jpeg(noise("z", 1, 3), 95, "RGB"))}
            ),
            r"z\.safetensors: v002\.jpg is no grey JPEG of 16 x 16 pixels",
        ),
        (
            lambda shard: write_shard(shard, "z", 2, 1, **{"v001.png": raw(png(noise("z", 1, 3)[:8].copy()))}),
            r"z\.safetensors: v001\.png is no PNG of 16 x 16 pixels in colour",
        ),
        (
            lambda shard: (shard.parents[2] / "engine.json").write_text(json.dumps({"engine": 3})),
            r"engine\.json: engine: Input should be a valid string",
        ),
        (lambda shard: (shard.parents[2] / "engine.json").write_text("{}"), r"engine\.json: engine is missing"),
    ],
)
def test_a_bad_shard_is_named(folders, spoil, message):
    shards, _, out = folders
    spoil(shards / "bed" / "test" / "z.safetensors")
    write_checksums(shards)
    with pytest.raises(UserError, match=message):
        pack(*folders, SETTINGS)
    assert not (out / "info.json").exists() and not (out / "test.lmdb").exists()


@pytest.mark.parametrize("file", ["bed/test/z.safetensors", "engine.json", "index.csv", "source.json"])
def test_what_has_changed_since_it_was_written_is_not_packed(folders, file):
    """A shard of another mesh, or one file for another."""
    shards, meshes, _ = folders
    path = next(folder / file for folder in (shards, meshes) if (folder / file).exists())
    path.write_bytes((shards / "sofa/test/c.safetensors").read_bytes())
    with pytest.raises(UserError, match=rf"{path.name}: it is not what was written"):
        pack(*folders, SETTINGS)
    path.unlink()
    with pytest.raises(UserError, match=rf"{path.name}: it cannot be read"):
        pack(*folders, SETTINGS)


def test_the_checksums_are_those_of_all_files(folders):
    pack(*folders, SETTINGS)
    out = folders[2]
    check(out, [path.name for path in out.iterdir() if path.name != "SHA256SUMS"])


def test_meshes_that_were_skipped_are_left_out(folders):
    assert [entry.mesh for entry in read_index(folders[1])] == [mesh for mesh, _, _ in MESHES]


def test_an_index_without_meshes_is_refused(folders):
    shards, meshes, out = folders
    index = meshes / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([lines[0], lines[-1]]))
    write_checksums(meshes)
    with pytest.raises(UserError, match=r"index\.csv: it lists no mesh"):
        pack(shards, meshes, out, SETTINGS)
    index.unlink()
    with pytest.raises(UserError, match=r"index\.csv: it cannot be read"):
        pack(shards, meshes, out, SETTINGS)
