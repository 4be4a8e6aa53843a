"""The page of all heads, on results that are made up: all is there, and nothing of it is taken for HTML."""

import base64
import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.report import NOTE, make, write
from sphreg.errors import UserError
from sphreg.page import flatten
from sphreg.page.gallery import gallery, signs_right
from sphreg.page.results import ResultFolder, errors, find_results, scores
from sphreg.page.tables import Table, compared_tables, published_tables, score_table
from sphreg.published import published
from sphreg.render.camera import Camera
from sphreg.views import Views

TASKS = ("rotation", "viewpoint", "normals")
EVIL = "<b>\"x\" & 'y'</b>--><script>alert(1)</script>{{ 7 * 7 }}"
SIZE = 32


def written(folder: Path, heads: Sequence[str], categories: Sequence[str], views: int, tasks: Sequence[str]) -> Path:
    """One seed, a mesh of each category."""
    make(folder, categories, len(categories), views, SIZE, 3, heads, [0], tasks)
    write(folder, heads, [0], tasks)
    return folder


class Page(HTMLParser):
    """Elements with their attributes, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(folder: Path) -> Page:
    return Page((folder / "reports" / "index.html").read_text())


def test_it_asks_nothing_of_any_network(study: Path) -> None:
    page = read(study)
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value)
    text = (study / "reports" / "index.html").read_text()
    assert not re.search(r"@import|url\((?!#)", text)
    policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1 and policy[0].startswith("default-src 'none'; img-src data:")


def test_every_picture_has_a_text(study: Path) -> None:
    page = read(study)
    drawings = [attributes for attributes in page.all("div") if attributes.get("role") == "img"]
    assert len(drawings) == len(page.all("svg")) == 10 + 10 + 9
    assert all(len(attributes["aria-label"]) > 20 for attributes in drawings)
    pictures = page.all("img")
    assert pictures and all(len(attributes["alt"]) > 10 for attributes in pictures)


def test_every_picture_of_the_gallery_is_an_image(study: Path) -> None:
    pictures = read(study).all("img")
    assert len(pictures) == 2 * 3 * 2 * 3 * 2 * 4  # tasks, heads, categories, ranks, both, views of each
    for attributes in pictures[::7]:
        start, _, content = attributes["src"].partition(",")
        assert start == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (SIZE, SIZE)


def test_links_on_the_page_have_a_target_and_names_are_unique(study: Path) -> None:
    page = read(study)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    links = [
        attributes[name] for _, attributes in page.elements for name in ("href", "xlink:href") if name in attributes
    ]
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(names)


def test_figures_are_files_too(study: Path) -> None:
    files = sorted(str(path.relative_to(study / "reports" / "figures")) for path in (study / "reports").rglob("*.svg"))
    assert len(files) == 29 and "rotation/error_cdf.svg" in files and "normals/normal_maps.svg" in files


def test_same_results_same_bytes(tmp_path: Path) -> None:
    folder = written(tmp_path, ["flat", "sexp"], ["chair"], 3, ["viewpoint"])
    before = {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}
    write(folder, ["flat", "sexp"], [0], ["viewpoint"])
    assert before == {path: path.read_bytes() for path in (folder / "reports").rglob("*") if path.is_file()}


def test_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    page = read(written(tmp_path, [EVIL, "sexp"], ["chair", '<i>"so&fa'], 1, ["rotation", "normals"]))
    assert len(page.all("script")) == 1 and not page.all("b") and not page.all("i")
    text = "".join(page.text)
    assert EVIL in text and '<i>"so&fa' in text and "49" not in re.findall(r"\{\{.{0,9}", text)
    labels = [attributes["aria-label"] for attributes in page.all("div") if "aria-label" in attributes]
    assert any(EVIL in label for label in labels)


def test_one_view_of_one_mesh_with_one_head(tmp_path: Path) -> None:
    page = read(written(tmp_path, ["sexp"], ["chair"], 1, TASKS))
    assert len(page.all("img")) == 2 * 3 * 2
    assert "1 test view of 1 mesh" in "".join(page.text)


def test_metrics_are_those_of_the_files(study: Path) -> None:
    for task in TASKS:
        runs = [ResultFolder(task, "flat", seed, study / "results" / "1" / str(seed) / task, "") for seed in (0, 1)]
        frame = score_table(runs).frame
        overall = "all" if task == "normals" else "macro"
        both = [json.loads((run.folder / "metrics.json").read_text())[overall] for run in runs]
        assert frame["head"].tolist() == ["flat"] and frame["seeds"].tolist() == ["2"]
        assert frame["median (°)"][0] == f"{(both[0]['median_deg'] + both[1]['median_deg']) / 2:.1f}"
        assert frame["Acc@30°"][0] == f"{(both[0]['acc_30'] + both[1]['acc_30']) / 2:.3f}"
        table = scores(runs)
        assert table["category"].tolist() == ["chair", "table", "all"] * 2


def test_angles_of_views_are_those_of_scipy(study: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    run = ResultFolder("rotation", "flat", 0, study / "results" / "1" / "0" / "rotation", "")
    table = errors([run], views)
    expected = np.degrees(Rotation.from_quat(views[["qx", "qy", "qz", "qw"]].to_numpy()).magnitude())
    assert table["key"].tolist() == views["key"].tolist()
    assert table["angle_deg"].to_numpy() == pytest.approx(expected, abs=1e-9)
    assert table["elevation_deg"].tolist() == views["elevation_deg"].tolist()


def test_other_views_than_those_of_the_dataset_are_an_error(study: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    run = ResultFolder("rotation", "flat", 0, study / "results" / "1" / "0" / "rotation", "")
    with pytest.raises(UserError, match="tested on other views than those of the dataset"):
        errors([run], views[1:])


def test_runs_on_different_views_are_an_error(study: Path, tmp_path: Path) -> None:
    views = pd.read_csv(study / "so3" / "test.csv")
    one = ResultFolder("rotation", "flat", 0, study / "results" / "1" / "0" / "rotation", "")
    pd.read_csv(one.folder / "errors.csv")[1:].to_csv(tmp_path / "errors.csv", index=False)
    with pytest.raises(UserError, match="were tested on different views"):
        errors([one, ResultFolder("rotation", "sexp", 0, tmp_path, "")], views)


def test_results_are_found_or_named(tmp_path: Path) -> None:
    (tmp_path / "flat" / "normals").mkdir(parents=True)
    (tmp_path / "flat" / "normals" / "metrics.json").touch()
    (run,) = find_results(tmp_path, ["flat"], ["normals"], 3)
    assert (run.task, run.head, run.seed, run.folder) == ("normals", "flat", 3, tmp_path / "flat" / "normals")
    assert run.command == "uv run dvc exp run -S seed=3 stages/dvc.yaml:evaluate@normals-flat"
    with pytest.raises(UserError, match=r"sexp/normals: there is no result; `dvc repro -P` makes all of them\."):
        find_results(tmp_path, ["flat", "sexp"], ["normals"], 3)


def test_a_right_prediction_is_drawn_as_the_image_was(study: Path) -> None:
    """Truth for prediction: what is drawn again is the image, but for the loss of JPEG."""
    table = pd.read_csv(study / "results" / "0" / "0" / "rotation" / "errors.csv")
    for name in ("qx", "qy", "qz", "qw", "sign_class"):
        table[f"predicted_{name}"] = table[f"true_{name}"]
    table["error_deg"] = np.arange(len(table), dtype=float)
    first = table[table["mesh"].str.endswith("_0001")]  # the images are of the first mesh of each category
    shown = list(gallery(first, Views(study / "so3" / "test.lmdb"), study / "meshes", Camera(SIZE, 40.0), 1))
    assert [(view.category, view.rank) for view in shown] == [
        (category, rank) for category in ("chair", "table") for rank in ("best", "median", "worst")
    ]
    for view in shown:
        one, other = (np.asarray(Image.open(io.BytesIO(image)), float) for image in (view.image, view.predicted))
        assert np.abs(one - other).mean() < 4 and view.signs
    assert shown[0].error_deg < shown[1].error_deg < shown[2].error_deg


def test_a_missing_mesh_is_named(study: Path, tmp_path: Path) -> None:
    table = pd.read_csv(study / "results" / "0" / "0" / "rotation" / "errors.csv")
    (tmp_path / "index.csv").write_text((study / "meshes" / "index.csv").read_text())
    with pytest.raises(UserError, match=r"the mesh chair_000\d, which was tested, is not there"):
        list(gallery(table, Views(study / "so3" / "test.lmdb"), tmp_path, Camera(SIZE, 40.0), 1))


def test_signs_are_right_where_all_are() -> None:
    row = {"true_sign_class": 3, "predicted_sign_class": 3, "true_qw": 1.0, "predicted_qw": 0.5}
    assert signs_right(pd.Series(row))
    assert not signs_right(pd.Series(row | {"predicted_sign_class": 2}))
    row = {f"{side}_{name}_sign_class": 1 for side in ("true", "predicted") for name in ("azimuth", "tilt")}
    assert signs_right(pd.Series(row)) and not signs_right(pd.Series(row | {"true_tilt_sign_class": 0}))


def test_settings_have_dotted_names() -> None:
    settings = {"a": {"b": {"c": 1, "d": None}, "e": {}}, "f": [1, "x"], "g": True, "h": "null"}
    assert dict(flatten(settings)) == {
        **{"a.b.c": "1", "a.b.d": "null", "a.e": "{}", "f": "1, x", "g": "true", "h": "null"},
    }


def test_columns_of_numbers_are_known() -> None:
    frame = pd.DataFrame(
        {"a": ["1.5 [1, 2]", ""], "b": ["x", "2"], "c": ["< 0.001", "-3"], "d": ["", ""], "e": ["a fifth: 3", "all 9"]}
    )
    assert Table("", frame).numeric == [True, False, True, False, False]


def record(**values: object) -> dict[str, object]:
    return {"task": "rotation", "low": None, "high": None} | values


def test_compared_rows_and_pairs_are_tables() -> None:
    rows = [
        record(head="flat", differs="", seeds="0 1", metric="median_deg", mean=50.04, sd=0.31, low=48.0, high=52.0),
        record(head="flat", differs="", seeds="0 1", metric="acc_30", mean=0.25, sd=None),
        record(head="sexp", differs="lr 0.1", seeds="7", metric="median_deg", mean=30.0, sd=None, low=29.0, high=31.0),
    ]
    pairs = [
        record(
            a="flat", b="sexp", metric="median_deg", difference=20.0, low=18.0, high=22.0, p=0.0002, beyond_chance=True
        ),
        record(a="flat", b="sexp", metric="acc_30", difference=-0.2, p=None, beyond_chance=False),
    ]
    heads, differences = compared_tables({"rows": rows, "pairs": pairs})["rotation"]
    assert heads.frame.to_dict("records") == [
        {"head": "flat", "seeds": "0 1", "median (°)": "50.0 ± 0.3 [48.0, 52.0]", "Acc@30°": "0.250"},
        {"head": "sexp (lr 0.1)", "seeds": "7 (one seed)", "median (°)": "30.0 [29.0, 31.0]", "Acc@30°": ""},
    ]
    (row,) = differences.frame.to_dict("records")
    assert list(row.values())[1:] == ["20.0 [18.0, 22.0]\np < 0.001", "-0.200"]
    assert differences.strong == {(0, 1)}


def test_published_numbers_have_a_source_and_withdrawn_ones_say_so() -> None:
    for task in TASKS:
        assert published(task) and len(published_tables(task)) == len(published(task))
        for table in published_tables(task):
            assert {"method", "network", "test views", "source"} <= set(table.frame)
            assert (table.frame["source"] != "").all()
    rotation = published_tables("rotation")[0].frame
    corrected = rotation[(rotation["method"] == "S_exp") & (rotation["network"] == "VGG16")]
    assert corrected["median (°)"].tolist() == ["28.7", "20.3"]
    assert corrected["remark"].tolist() == ["corrected by the authors", "withdrawn: √2 too small"]
    assert pytest.approx(28.7, abs=0.05) == 20.3 * 2**0.5


def test_the_page_says_what_it_is_of(study: Path) -> None:
    text = " ".join("".join(read(study).text).split())
    for words in (
        *("Heads direct, flat, sexp; seeds 0, 1.", NOTE, "not those of the paper's dataset", f"{SIZE} x {SIZE} pixels"),
        *("24 test views of 6 meshes", "What others published, on other data", "python -m benchmarks.report"),
    ):
        assert words in text, words
