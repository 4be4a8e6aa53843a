"""The dataset card, on datasets written here: its numbers again by plain loops, its Markdown through another reader."""

import csv
import io
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import simplejpeg
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from scipy import integrate, stats
from scipy.spatial.transform import Rotation

from sphreg import card as card_module
from sphreg.card import LICENCES, card, histogram, markdown, read, rotation_angles
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from sphreg.info import Info, write_info
from sphreg.readme import filled
from sphreg.render.camera import encode_normals
from sphreg.sources import SOURCES
from sphreg.split import COLUMNS
from sphreg.viewpoints import viewpoint_angles
from sphreg.views import Views, write_views

ROOT = Path(__file__).parents[1]
README = ROOT / "data/README.md"
FILES = {"card.md", "angles/train.csv", "angles/test.csv", "categories.png", "mesh.png", "angles.png", "directions.png"}
MESHES = [
    *[(f"chair_{number:04d}", "chair", "train") for number in range(1, 6)],
    ("sofa_0001", "sofa", "train"),
    ("chair_0006", "chair", "test"),
    ("sofa_0002", "sofa", "test"),
]
NOTE = "A re-render: the camera and the light of the original ModelNet10-SO3 were never published."
ENGINE = {"engine": "pencil", "version": "2B", "gl_renderer": "paper | <rough>", "platform": "desk_top"}


@dataclass(frozen=True)
class Made:
    """What a dataset is made of. Nothing of it is rendered: images and normals are noise."""

    meshes: list[tuple[str, str, str]] = field(default_factory=lambda: MESHES)
    size: int = 16
    views: tuple[int, int] = (4, 3)  # of each mesh for training and for test
    normals: tuple[int, int] = (2, 1)
    source: dict[str, Any] = field(default_factory=lambda: {"source": "furniture", "seed": 3, "train": 5, "test": 1})
    left_out: Sequence[tuple[str, str]] = ()  # file and reason

    def write(self, folder: Path) -> None:
        """Write the dataset to `so3` and the index of its meshes to `meshes`, as the stages do."""
        (folder / "so3").mkdir()
        (folder / "meshes").mkdir()
        categories = sorted({category for _, category, _ in self.meshes})
        written = {split: self._write_split(folder / "so3", split) for split in ("train", "test")}
        info = {
            "note": NOTE,
            "source": self.source["source"],
            "categories": categories,
            "counts": {
                split: {name: self._counts(split, meshes.count(name)) for name in categories}
                for split, meshes in written.items()
            },
            "render": {"seed": 0, "size": self.size, "fov_deg": 40.0, "jpeg_quality": 95}
            | dict(zip(("train_views", "test_views"), self.views, strict=True))
            | dict(zip(("train_normals", "test_normals"), self.normals, strict=True)),
            "camera": {"distance": 1 / np.sin(np.radians(20))},
            "shading": {"ambient": 0.3, "headlight": 0.6, "background": 1.0},
            "engine": ENGINE,
            "software": {"sphreg": "0.1.0", "numpy": "2.0"},
        }
        write_info(folder / "so3", Info.model_validate(info))
        write_checksums(folder / "so3")
        (folder / "meshes/source.json").write_text(json.dumps(self.source))
        rows = [["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"]]
        for place, (mesh, category, split) in enumerate(self.meshes):
            faces = 4 + 997 * place**2 % 5000
            rows.append([mesh, category, split, f"{mesh}.off", str(faces // 2 + 2), str(faces), mesh, ""])
        rows += [["bad", "chair", "train", "", "", "", file, problem] for file, problem in self.left_out]
        write_csv(folder / "meshes/index.csv", rows)
        write_checksums(folder / "meshes")

    def _counts(self, split: str, meshes: int) -> dict[str, int]:
        views, normals = (both[split == "test"] for both in (self.views, self.normals))
        return {"meshes": meshes, "views": meshes * views, "normals": meshes * normals}

    def _write_split(self, so3: Path, split: str) -> list[str]:
        """The categories of its meshes."""
        rng = np.random.default_rng(len(split))
        rows, images, maps = [list(COLUMNS)], {}, {}
        meshes = sorted((mesh, category) for mesh, category, of in self.meshes if of == split)
        views, with_normals = (both[split == "test"] for both in (self.views, self.normals))
        for (mesh, category), view in product(meshes, range(1, views + 1)):
            key, rotation = f"{mesh}.v{view:03d}", Rotation.random(rng=rng)
            x, y, z, w = rotation.as_quat(canonical=True)
            angles = np.degrees(viewpoint_angles(rotation.as_quat(canonical=True)[None])[0])
            rows.append([key, category, mesh, *map(repr, [float(number) for number in (w, x, y, z, *angles)])])
            images[key] = simplejpeg.encode_jpeg(rng.integers(0, 256, (self.size,) * 2 + (1,), np.uint8), 95, "GRAY")
            if view <= with_normals:
                vectors = rng.normal(size=(self.size, self.size, 3))
                vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
                vectors[rng.uniform(size=(self.size, self.size)) < 0.7] = 0
                maps[key] = png(encode_normals(vectors))
        write_csv(so3 / f"{split}.csv", rows)
        write_views(so3 / f"{split}.lmdb", sorted(images.items()))
        write_views(so3 / f"{split}.normals.lmdb", sorted(maps.items()))
        return [category for _, category in meshes]

    def text(self, folder: Path) -> str:
        """Write the dataset; its card without curve and pictures."""
        self.write(folder)
        return markdown(read(folder / "so3", folder / "meshes"))

    def card(self, folder: Path) -> Path:
        """Write the dataset, and its card to `card`."""
        self.write(folder)
        card(folder / "so3", folder / "meshes", folder / "card")
        return folder / "card"


def write_csv(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset and its card in `card`."""
    return Made().card(tmp_path_factory.mktemp("card")).parent


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """The rows of the table under each heading, as a reader of Markdown sees their text."""
    found: dict[str, list[list[str]]] = {}
    heading, tokens = "", MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
        elif token.type == "tr_open":
            found.setdefault(heading, []).append([])
        elif token.type == "inline" and tokens[place - 1].type in ("td_open", "th_open"):
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            found[heading][-1].append("".join(child.content for child in children))
    return found


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_angles_are_the_magnitudes_that_scipy_gives() -> None:
    rotations = Rotation.random(500, np.random.default_rng(0))
    for sign in 1, -1:
        assert rotation_angles(sign * rotations.as_quat()) == pytest.approx(rotations.magnitude(), abs=1e-12)


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-3, np.pi / 2, np.pi - 1e-9, np.pi])
def test_angles_are_accurate_at_both_ends(angle: float) -> None:
    quaternion = Rotation.from_rotvec(angle * np.array([0, 0.6, -0.8])).as_quat()
    assert rotation_angles(quaternion[None])[0] == pytest.approx(angle, abs=1e-15)


def test_the_histogram_is_that_of_a_loop() -> None:
    angles = np.append(np.random.default_rng(0).uniform(0, np.pi, 300), [0, np.pi])
    table = histogram(angles)
    for place, row in enumerate(table.to_dict("records")):
        low, high = 5 * place, 5 * place + 5
        inside = sum(low <= np.degrees(angle) < high or np.degrees(angle) == high == 180 for angle in angles)
        assert row["angle_deg"] == low + 2.5
        assert row["density_per_deg"] == pytest.approx(inside / 302 / 5)
    assert len(table) == 36 and table["density_per_deg"].sum() * 5 == pytest.approx(1)


def test_the_density_of_haar_is_the_slope_of_its_closed_form() -> None:
    table = histogram(np.array([1.0]))

    def share(degrees: float) -> float:
        return (np.radians(degrees) - np.sin(np.radians(degrees))) / np.pi

    for middle, density in zip(table["angle_deg"], table["haar_per_deg"], strict=True):
        assert (share(middle + 0.01) - share(middle - 0.01)) / 0.02 == pytest.approx(density, rel=1e-4)


def test_random_rotations_have_the_closed_form_and_the_card_its_mean_and_median() -> None:
    angles = rotation_angles(Rotation.random(50_000, np.random.default_rng(1)).as_quat())
    assert stats.kstest(angles, lambda t: (t - np.sin(t)) / np.pi).pvalue > 0.01
    mean, _ = integrate.quad(lambda t: t * (1 - np.cos(t)) / np.pi, 0, np.pi)
    half, _ = integrate.quad(lambda t: (1 - np.cos(t)) / np.pi, 0, card_module.HAAR_MEDIAN)
    assert mean == pytest.approx(card_module.HAAR_MEAN) and half == pytest.approx(0.5)


def test_it_writes_what_the_pipeline_lists(made: Path) -> None:
    assert {path.relative_to(made / "card").as_posix() for path in (made / "card").rglob("*.*")} == FILES
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["card"]
    listed = {path for entry in [*stage["outs"], *stage["plots"]] for path in entry}
    assert listed == {f"metrics/dataset/{'angles' if name.startswith('angles/') else name}" for name in FILES}
    assert all(settings["cache"] is False for entry in [*stage["outs"], *stage["plots"]] for settings in entry.values())


def test_curves_are_those_of_the_rotations_in_the_tables(made: Path) -> None:
    for split in "train", "test":
        with (made / "so3" / f"{split}.csv").open() as file:
            rows = [[float(row[name]) for name in ("qx", "qy", "qz", "qw")] for row in csv.DictReader(file)]
        degrees = np.degrees(Rotation.from_quat(rows).magnitude())
        expected = [sum(low <= angle < low + 5 for angle in degrees) / len(rows) / 5 for low in range(0, 180, 5)]
        found = pd.read_csv(made / "card" / "angles" / f"{split}.csv")
        assert found["density_per_deg"].tolist() == pytest.approx(expected, rel=1e-4)


def test_counts_are_those_of_the_files(made: Path) -> None:
    heading, *rows, last = tables((made / "card" / "card.md").read_text())["Meshes, views and maps of normals"]
    sums = dict.fromkeys(heading[1:], 0)
    assert [row[0] for row in rows] == ["chair", "sofa"]
    for row in rows:
        for split in "train", "test":
            table = pd.read_csv(made / "so3" / f"{split}.csv").query(f"category == '{row[0]}'")
            with_normals = set(table["key"]) & set(Views(made / "so3" / f"{split}.normals.lmdb").keys)
            expected = {"meshes": table["mesh"].nunique(), "views": len(table), "normals": len(with_normals)}
            for kind, count in expected.items():
                assert row[heading.index(f"{kind}, {split}")] == str(count)
                sums[f"{kind}, {split}"] += count
    assert last == ["all", *map(str, sums.values())]
    assert "All 8 meshes of the source were used." in (made / "card" / "card.md").read_text()


def test_sizes_of_meshes_are_those_of_the_index(made: Path) -> None:
    heading, *rows = tables((made / "card" / "card.md").read_text())["Faces and vertices of a mesh"]
    with (made / "meshes" / "index.csv").open() as file:
        index = list(csv.DictReader(file))
    assert [row[0] for row in rows] == ["chair", "sofa", "all"]
    for row in rows:
        for part in "faces", "vertices":
            sizes = [int(mesh[part]) for mesh in index if row[0] in (mesh["category"], "all")]
            for name, of in ("min", min), ("median", statistics.median), ("max", max):
                assert number(row[heading.index(f"{part}, {name}")]) == of(sizes)


def test_images_files_and_software_are_those_of_the_dataset(made: Path) -> None:
    found, info = tables((made / "card" / "card.md").read_text()), json.loads((made / "so3" / "info.json").read_text())
    images = dict(found["Images"])
    assert images["image"] == "16 x 16 pixels, grey, JPEG of quality 95" and images["field of view"] == "40°"
    assert images["distance of the camera"].startswith("2.9238 ")  # 1 / sin 20°
    assert images["grey"] == "0.3 + 0.6 |n · v|, background 1"
    assert images["views of a mesh, train"] == "4, and normals of the first 2"
    assert images["views of a mesh, test"] == "3, and normals of the first 1"
    assert dict(found["Made with"][1:]) == info["engine"] | info["software"] and info["engine"] == ENGINE
    sizes = {name: f"{(made / 'so3' / name).stat().st_size:,}" for name in dict(found["Files"][1:])}
    assert dict(found["Files"][1:]) == sizes
    assert sizes.keys() | {"SHA256SUMS"} == {path.name for path in (made / "so3").iterdir()}


def test_rotations_and_pixels_are_those_of_a_loop(made: Path) -> None:
    _, *rows = tables((made / "card" / "card.md").read_text())["Rotations and pixels"]
    for split, row in zip(("train", "test"), rows, strict=False):
        views, table = Views(made / "so3" / f"{split}.normals.lmdb"), pd.read_csv(made / "so3" / f"{split}.csv")
        maps = np.stack([np.asarray(Image.open(io.BytesIO(views[key]))) for key in views.keys])
        shown = [colour for colour in maps.reshape(-1, 3).tolist() if colour != [0, 0, 0]]
        degrees = np.degrees(Rotation.from_quat(table[["qx", "qy", "qz", "qw"]]).magnitude())
        away = sum(colour[2] < 127.5 for colour in shown) / len(shown)
        shares = len(shown) / maps[..., 0].size, away
        assert row[0] == split and away > 0.3
        for text, value in zip(row[1:], (degrees.mean(), np.median(degrees), *(100 * s for s in shares)), strict=True):
            assert float(text.strip("°%")) == pytest.approx(value, abs=0.00501)
    assert rows[-1] == ["uniform rotations", "126.48°", "132.35°", "", ""]


def test_it_says_that_it_is_a_re_render_and_whose_the_meshes_are(made: Path) -> None:
    text = (made / "card" / "card.md").read_text()
    assert NOTE in text
    assert LICENCES["furniture"] in text and "MIT" in LICENCES["furniture"]
    assert dict(tables(text)["Source"][1:]) == {"source": "furniture", "seed": "3", "train": "5", "test": "1"}
    assert LICENCES.keys() == SOURCES.keys()
    for words in "academic research only", "hold the copyright", "Wu et al.", "CVPR 2015":
        assert words in LICENCES["modelnet10"]


def test_same_dataset_same_bytes_under_any_style(made: Path, tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "savefig.dpi": 30}):
        card(made / "so3", made / "meshes", tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (made / "card" / name).read_bytes(), name


def test_neither_torch_nor_pyplot_is_imported() -> None:
    code = "import sys, stages.card; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_odd_names_survive_in_tables(tmp_path: Path) -> None:
    names = ["a|b", "<b>&amp; <!-- /card -->", "*x* _y_ `z`", "$x_1^", "NA", "1", "night_stand", "[l](u) \\| ~~s~~"]
    meshes = [(f"m{place} {name}", name, split) for place, name in enumerate(names) for split in ("train", "test")]
    meshes = [(f"{mesh} {split}".replace("/", ""), name.replace("/", ""), split) for mesh, name, split in meshes]
    text = Made(meshes).text(tmp_path)
    expected = sorted(name.replace("/", "") for name in names)
    for heading in "Meshes, views and maps of normals", "Faces and vertices of a mesh":
        heads, *rows = tables(text)[heading]
        assert [row[0] for row in rows] == [*expected, "all"]
        assert {len(row) for row in rows} == {len(heads)}
    assert "| night_stand |" in text
    assert dict(tables(text)["Made with"])["gl_renderer"] == ENGINE["gl_renderer"]


def test_no_text_of_the_card_is_a_marker(tmp_path: Path) -> None:
    text = Made(left_out=[("<!-- /card -->", "<!-- card -->")]).text(tmp_path)
    assert "card" in text
    once = filled("<!-- card --><!-- /card -->", "card", text)
    assert filled(once, "card", text) == once


def test_meshes_that_were_left_out_are_named(tmp_path: Path) -> None:
    left_out = [(f"chair/train/bad|{place}.off", "has no faces:\nline 2") for place in range(12)]
    text = Made(left_out=left_out).text(tmp_path)
    assert "Meshes of the source that were left out: 12 of 20; `data/meshes/index.csv` has all, here are 10:" in text
    found = [row for row in tables(text)["Meshes, views and maps of normals"] if row[0].startswith("chair/")]
    assert found == [[f"chair/train/bad|{place}.off", "has no faces: line 2"] for place in range(10)]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (
            {"source": "modelnet10", "archive": "/home/me/ModelNet10.zip", "train": None, "bytes": 7, "sha256": "ab"},
            {"source": "modelnet10", "archive": "ModelNet10.zip", "train": "all", "bytes": "7", "sha256": "ab"},
        ),
        ({"source": "folder", "path": "/home/me/meshes", "up": "y"}, {"source": "folder", "up": "y"}),
    ],
)
def test_no_folder_of_the_machine_is_told(tmp_path: Path, source: dict[str, Any], shown: dict[str, str]) -> None:
    text = Made(source=source).text(tmp_path)
    assert dict(tables(text)["Source"][1:]) == shown
    assert LICENCES[source["source"]] in text and "/home" not in text and str(tmp_path) not in text


@pytest.mark.parametrize(
    "made_of",
    [
        Made([("a", "chair", "train"), ("b", "sofa", "train"), ("c", "chair", "test")], size=8),
        Made([("a", "chair", "train"), ("b", "sofa", "test")], views=(1, 1), normals=(1, 1)),
        Made([("a", "chair", "train"), ("b", "chair", "test")], size=230, views=(25, 12)),
    ],
    ids=["a category without test", "one view of each split", "large images"],
)
def test_small_and_uneven_datasets(tmp_path: Path, made_of: Made) -> None:
    out = made_of.card(tmp_path)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.*")} == FILES
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_a_dataset_that_shows_nothing(tmp_path: Path) -> None:
    """A sheet seen edge-on has no pixel: no share of its pixels exists."""
    Made([("a", "chair", "train"), ("b", "chair", "test")]).write(tmp_path)
    write_views(tmp_path / "so3/test.normals.lmdb", [("b.v001", png(np.zeros((16, 16, 3), np.uint8)))])
    write_checksums(tmp_path / "so3")
    text = markdown(read(tmp_path / "so3", tmp_path / "meshes"))
    assert tables(text)["Rotations and pixels"][2][3:] == ["0.00%", ""]


@pytest.mark.parametrize("name", ["so3/info.json", "so3/test.csv", "so3/train.lmdb", "so3/test.normals.lmdb"])
def test_a_missing_file_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    Made().write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path / name))}: .*\.$"):
        card(tmp_path / "so3", tmp_path / "meshes", tmp_path / "card")
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_a_damaged_file_is_an_error_in_one_sentence(tmp_path: Path, content: str) -> None:
    Made().write(tmp_path)
    (tmp_path / "so3/info.json").write_text(content)
    write_checksums(tmp_path / "so3")
    with pytest.raises(UserError, match=r"so3/info\.json: .*\.$"):
        card(tmp_path / "so3", tmp_path / "meshes", tmp_path / "card")


def test_the_code_in_the_readme_reads_a_dataset(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/so3").symlink_to(made / "so3")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    ours: dict[str, Any] = {}
    exec(blocks[0], ours)
    save = "import sys; assert 'sphreg' not in sys.modules; np.savez('plain.npz', image=image, normal=normal)"
    subprocess.run([sys.executable, "-c", f"{blocks[1]}\n{save}"], check=True)
    with np.load("plain.npz") as plain:
        assert np.array_equal(ours["image"], plain["image"]) and ours["image"].shape == (16, 16)
        assert ours["normal"] == pytest.approx(plain["normal"], abs=1e-6)


def test_the_readme_has_the_columns_and_shows_the_pictures() -> None:
    text = README.read_text(encoding="utf-8")
    rows = tables(re.sub("`", "", text))["Files"]
    names = [name for row in rows for name in row[0].split(", ") if not name.endswith((".csv", ".lmdb", ".json"))]
    assert [name for name in names if name in COLUMNS] == list(COLUMNS)
    assert set(re.findall(r"!\[.*?\]\((.*?)\)", text)) == {
        f"../metrics/dataset/{name}" for name in FILES if name.endswith(".png")
    }
    for link in re.findall(r"[^!]\[.*?\]\((\.\..*?)\)", text):
        assert (README.parent / link.partition("#")[0]).resolve().exists(), link


def test_nothing_but_the_card_stands_between_the_markers() -> None:
    text = README.read_text(encoding="utf-8")
    assert filled(filled(text, "card", "x"), "card", "y").count("y\n\n<!-- /card -->") == 1
