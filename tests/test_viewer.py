"""`python -m sphreg.views`: the views that were asked for, with their labels, and a sentence for all that is wrong."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import matplotlib
import numpy as np
import pytest
from jaxtyping import UInt8
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from sphreg.figures.sheet import sheet
from sphreg.split import COLUMNS, views_table
from sphreg.viewpoints import viewpoint_quaternions
from sphreg.views import __main__ as viewer
from sphreg.views import write_views

KEYS = [f"{mesh}.v{view:03d}" for mesh in ("chair_0001", "chair_0002", "night_stand_0001") for view in range(1, 5)]
HEADER = list(COLUMNS)


def grey(number: int) -> np.ndarray:
    return np.full((16, 16), 20 * number, np.uint8)


def encoded(array: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def decoded(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def normals(number: int) -> np.ndarray:
    """One row without an object, whose colour is black."""
    colours = np.full((16, 16, 3), (100 + number, 200, 30), np.uint8)
    colours[0] = 0
    return colours


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed split in the folder `so3`; the working folder is beside it."""
    folder = tmp_path / "so3"
    folder.mkdir()
    write_views(folder / "test.lmdb", [(key, encoded(grey(number), "JPEG")) for number, key in enumerate(KEYS)])
    write_views(
        folder / "test.normals.lmdb",
        [(key, encoded(normals(number), "PNG")) for number, key in enumerate(KEYS) if number % 2 == 0],
    )
    categories = ["chair"] * 8 + ["night_stand"] * 4
    degrees = np.array([(number - 0.4, -7 * number, 179.6) for number in range(len(KEYS))])
    table = views_table(KEYS, categories, [key[:-5] for key in KEYS], viewpoint_quaternions(np.radians(degrees)))
    table.to_csv(folder / "test.csv", index=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "test_20V.Rawjpg.lmdb"
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for number, key in enumerate(KEYS):
            image = np.full((16, 16, 3), (20 * number, 0, 255), np.uint8)
            transaction.put(key.encode(), encoded(image, "JPEG"))
    (folder / "lock.mdb").unlink()
    (folder / "viewID2quat.pkl").write_bytes(
        pickle.dumps({key: np.array([0.001, -0.6, -0.001, 0.8]) for key in KEYS[1:]})
    )
    return folder


class Sheets(list[dict[str, Any]]):
    """The arguments of each call of `sheet`."""

    def draw(
        self, images: list[UInt8[np.ndarray, "..."]], labels: list[str], title: str, note: str, columns: int
    ) -> Figure:
        self.append({"images": images, "labels": labels, "title": title, "note": note, "columns": columns})
        return sheet(images, labels, title, note, columns)


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    drawn = Sheets()
    monkeypatch.setattr(viewer, "sheet", drawn.draw)
    return drawn


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The sentence."""
    assert viewer.main([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(".\n") and err.count("\n") == 1
    assert list(Path().iterdir()) == []
    return err


def test_a_sheet_of_all_views(data: Path, sheets: Sheets, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in data.iterdir()}
    assert viewer.main([str(data / "test.lmdb")]) == 0
    assert capsys.readouterr() == (f"test.png: 12 of 12 views in {data / 'test.lmdb'}.\n", "")
    assert {path: path.read_bytes() for path in data.iterdir()} == before  # no lock file
    (drawn,) = sheets
    assert drawn["title"] == "test.lmdb: 12 of 12 views" and drawn["columns"] == 8
    assert drawn["labels"] == [f"{key}\n{number}° {-7 * number}° 180°" for number, key in enumerate(KEYS)]
    assert "azimuth, elevation and tilt" in drawn["note"] and "re-render" in drawn["note"]
    for number, image in enumerate(drawn["images"]):
        assert np.abs(image.astype(int) - grey(number)).max() <= 2
    assert decoded(Path("test.png")).shape[1] > 480


def test_of_a_folder_it_is_the_test(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert viewer.main([str(data)]) == 0
    assert capsys.readouterr() == (f"test.png: 12 of 12 views in {data / 'test.lmdb'}.\n", "")


def test_it_runs_as_a_module(data: Path) -> None:
    command = [sys.executable, "-m", "sphreg.views", str(data / "test.lmdb"), "--out", "new/sheet.png", "--count", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[1]), "HOME": "."}
    )
    assert (done.returncode, done.stdout) == (0, f"new/sheet.png: 2 of 12 views in {data / 'test.lmdb'}.\n"), (
        done.stderr
    )
    assert Path("new/sheet.png").read_bytes().startswith(b"\x89PNG")


def test_normals_are_colours_on_white(data: Path, sheets: Sheets) -> None:
    assert viewer.main([str(data / "test.normals.lmdb")]) == 0
    (drawn,) = sheets
    assert Path("test.normals.png").is_file() and drawn["title"] == "test.normals.lmdb: 6 of 6 views"
    assert [label.split("\n") for label in drawn["labels"]] == [
        [key, f"{number}° {-7 * number}° 180°"] for number, key in enumerate(KEYS) if number % 2 == 0
    ]
    for number, image in enumerate(drawn["images"]):
        assert (image[0] == 255).all()
        assert (image[1:] == (100 + 2 * number, 200, 30)).all()


def test_without_the_table_labels_are_keys(data: Path, sheets: Sheets, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "test.csv").unlink()
    sentence = refused(capsys, data / "test.lmdb", "--category", "chair")
    assert "the table with the categories is not beside it" in sentence
    assert viewer.main([str(data / "test.lmdb")]) == 0
    assert sheets[0]["labels"] == KEYS and "azimuth" not in sheets[0]["note"]


def test_a_view_that_the_table_lacks_has_its_key_alone(data: Path, sheets: Sheets) -> None:
    lines = (data / "test.csv").read_text().splitlines(keepends=True)
    (data / "test.csv").write_text("".join(lines[:-1]))
    assert viewer.main([str(data / "test.lmdb")]) == 0
    assert sheets[0]["labels"][-2:] == [f"{KEYS[-2]}\n10° -70° 180°", KEYS[-1]]


def test_a_category(data: Path, sheets: Sheets, capsys: pytest.CaptureFixture[str]) -> None:
    assert viewer.main([str(data / "test.lmdb"), "--category", "night_stand", "--columns", "2"]) == 0
    assert capsys.readouterr().out == f"test.png: 4 of 4 views of category night_stand in {data / 'test.lmdb'}.\n"
    (drawn,) = sheets
    assert [label.split("\n")[0] for label in drawn["labels"]] == KEYS[8:] and drawn["columns"] == 2
    assert drawn["title"] == "test.lmdb: 4 of 4 views of category night_stand"


def test_names_stay_what_they_are(data: Path, sheets: Sheets) -> None:
    text = (data / "test.csv").read_text().replace("night_stand,", "NA,")
    (data / "test.csv").write_text(text)
    assert viewer.main([str(data / "test.lmdb"), "--category", "NA"]) == 0
    assert len(sheets[0]["labels"]) == 4


def test_keys_are_shown_in_the_order_given(data: Path, sheets: Sheets) -> None:
    assert viewer.main([str(data / "test.lmdb"), "--keys", KEYS[7], KEYS[2], "--count", "1"]) == 0
    assert [label.split("\n")[0] for label in sheets[0]["labels"]] == [KEYS[7], KEYS[2]]
    assert sheets[0]["title"] == "test.lmdb: 2 of 12 views"


def test_a_name_of_any_bytes(data: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    out = os.fsdecode(os.fsencode(data) + b"/\xfe.png")
    assert viewer.main([str(data / "test.lmdb"), "--out", out]) == 0
    assert capfdbinary.readouterr().out.startswith(os.fsencode(out) + b": ")
    assert Path(out).is_file()


def test_the_draw_depends_on_the_seed_alone(data: Path, sheets: Sheets) -> None:
    for seed in 0, 0, 1, 2, 3:
        assert viewer.main([str(data / "test.lmdb"), "--count", "5", "--seed", str(seed)]) == 0
    labels = [drawn["labels"] for drawn in sheets]
    assert labels[0] == labels[1]
    assert len({tuple(shown) for shown in labels}) > 2
    for shown in labels:
        assert len(shown) == len(set(shown)) == 5 and shown == sorted(shown)


def test_any_view_may_be_drawn() -> None:
    counts = dict.fromkeys(KEYS, 0)
    for seed in range(600):
        for key in viewer.choose(KEYS, 3, seed):
            counts[key] += 1
    assert all(abs(count - 150) < 50 for count in counts.values())  # of 600 draws of 3 of 12: more than 4 sigma


def test_large_images_are_shown_smaller(data: Path, sheets: Sheets) -> None:
    write_views(data / "large.lmdb", [("a", encoded(np.full((400, 300), 77, np.uint8), "JPEG"))])
    assert viewer.main([str(data / "large.lmdb")]) == 0
    (image,) = sheets[0]["images"]
    assert image.shape == (256, 192) and np.abs(image.astype(int) - 77).max() <= 1


def test_the_original_dataset(original: Path, sheets: Sheets, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(original.iterdir())
    assert viewer.main([str(original), "--category", "night_stand"]) == 0
    assert capsys.readouterr().out == f"test_20V.Rawjpg.png: 4 of 4 views of category night_stand in {original}.\n"
    assert viewer.main([str(original)]) == 0
    assert sorted(original.iterdir()) == before
    few, every = sheets
    assert few["labels"] == [f"{key}\n0.00 -0.60 0.00 0.80" for key in KEYS[8:]]
    assert every["labels"] == [KEYS[0], *(f"{key}\n0.00 -0.60 0.00 0.80" for key in KEYS[1:])]
    assert "original" in every["note"] and "re-render" not in every["note"]
    for number, image in enumerate(every["images"]):
        assert np.abs(image.astype(int) - (20 * number, 0, 255)).max() <= 6


def test_the_original_dataset_without_rotations(original: Path, sheets: Sheets) -> None:
    (original / "viewID2quat.pkl").unlink()
    assert viewer.main([str(original), "--category", "chair"]) == 0
    assert sheets[0]["labels"] == KEYS[:8]


def test_a_poisoned_original_is_refused(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (original / "viewID2quat.pkl").write_bytes(b"cos\nsystem\n(S'touch marker'\ntR.")
    assert "it asks for 'os.system', allowed: arrays of numbers" in refused(capsys, original)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["so3/none.lmdb"], "so3/none.lmdb: there is no such file."),
        (["so3/folder.png"], "so3/folder.png: it is a folder without data.mdb, allowed: that of the original dataset"),
        (["so3/test.lmdb", "--category", "sofa"], "it has no view of category 'sofa', allowed: chair, night_stand."),
        (["so3/test.lmdb", "--category", ""], "it has no view of category '', allowed: chair, night_stand."),
        (["so3/test.lmdb", "--keys", KEYS[0], "x"], f"it has no view 'x', allowed: {KEYS[0]} to {KEYS[-1]}."),
        (["so3/test.lmdb", "--count", "0"], "--count is 0, allowed: 1 to 1000."),
        (["so3/test.lmdb", "--count", "1001"], "--count is 1001, allowed: 1 to 1000."),
        (["so3/test.lmdb", "--keys", *["x"] * 1001], "--keys has 1001 keys, allowed: at most 1000."),
        (["so3/test.lmdb", "--columns", "-1"], "--columns is -1, allowed: 1 to 1000."),
        (["so3/test.lmdb", "--seed", "-1"], "--seed is -1, allowed: 0 to 4294967296."),
        (["so3/test.lmdb", "--out", "sheet.jpg"], "--out is sheet.jpg, allowed: a name that ends in .png."),
        (["so3/test.lmdb", "--out", "so3/test.csv/a.png"], "so3/test.csv/a.png: it cannot be written"),
        (["so3/test.lmdb", "--out", "so3/folder.png"], "so3/folder.png: it cannot be written (Is a directory)."),
        (["so3/test.csv"], "so3/test.csv: it is no LMDB file"),
        (["so3/empty.lmdb"], "so3/empty.lmdb: it holds no view."),
        (["so3/short.lmdb"], "so3/short.lmdb: it is cut short"),
        (["so3/text.lmdb"], "so3/text.lmdb: the view 'a' is no image that can be decoded."),
        (["so3/half.lmdb"], "so3/half.lmdb: the view 'a' is no image that can be decoded."),
        (["so3/png.lmdb"], "so3/png.lmdb: the view 'a' is no image that can be decoded."),
        (["so3/other.lmdb"], "so3/other.csv: it has no column 'key', only 'a', 'b'."),
        (["so3/angles.lmdb"], "so3/angles.csv, line 2: qw is 'x', allowed: a number from 0 to 1"),
        (["so3/binary.lmdb"], "so3/binary.csv: it has no column 'key', only "),
    ],
)
def test_what_is_wrong_is_one_sentence(
    data: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = encoded(grey(3), "JPEG")
    write_views(data / "empty.lmdb", [])
    (data / "short.lmdb").write_bytes((data / "test.lmdb").read_bytes()[:-4096])
    (data / "folder.png").mkdir()
    write_views(data / "text.lmdb", [("a", b"hello")])
    write_views(data / "half.lmdb", [("a", good[:200])])
    write_views(data / "png.lmdb", [("a", encoded(normals(0), "PNG")[:60])])
    for name, table in ("other", b"a,b\n1,2\n"), ("angles", (",".join(HEADER) + "\na" + ",x" * 9).encode()):
        write_views(data / f"{name}.lmdb", [("a", good)])
        (data / f"{name}.csv").write_bytes(table)
    write_views(data / "binary.lmdb", [("a", good)])
    (data / "binary.csv").write_bytes(bytes(range(256)))
    before = sorted(data.iterdir())
    there = [f"{tmp_path}/{word}" if word.startswith("so3") else word for word in arguments]
    assert sentence in refused(capsys, *there).replace(f"{tmp_path}/", "")
    assert sorted(data.iterdir()) == before


@pytest.mark.parametrize("backend", ["agg", "tkagg"])
def test_without_a_display_there_is_no_window(
    data: Path, backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_found(*arguments: Any, **options: Any) -> None:
        raise ImportError("Cannot load backend 'TkAgg' which requires the 'tk' interactive framework")

    monkeypatch.setattr(matplotlib, "get_backend", lambda: backend)
    monkeypatch.setattr(pyplot, "figure", none_found)
    assert viewer.main([str(data / "test.lmdb"), "--show"]) == 1
    out, err = capsys.readouterr()
    assert out == f"test.png: 12 of 12 views in {data / 'test.lmdb'}.\n" and Path("test.png").is_file()
    assert err == "--show: there is no display that matplotlib can open a window on.\n"


def test_a_window_shows_the_sheet(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[Figure] = []
    shown: list[bool] = []

    def open_window(name: str, figsize: tuple[float, float]) -> Figure:
        windows.append(Figure(figsize=figsize))
        return windows[-1]

    monkeypatch.setattr(matplotlib, "get_backend", lambda: "tkagg")
    monkeypatch.setattr(pyplot, "figure", open_window)
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(True))
    assert viewer.main([str(data / "test.lmdb"), "--show", "--columns", "1"]) == 0
    (window,) = windows
    (axes,) = window.axes
    pixels = decoded(Path("test.png"))
    assert shown == [True] and np.array_equal(axes.images[0].get_array(), pixels)
    width, height = window.get_size_inches()
    assert height <= 9 and width / height == pytest.approx(pixels.shape[1] / pixels.shape[0])


def test_help_names_all_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        viewer.main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for word in (
        "LMDB",
        "--out",
        "--show",
        "--category",
        "--keys",
        "--count",
        "--seed",
        "--columns",
        "data/so3/train.lmdb",
    ):
        assert word in text
